"""`POST /api/v1/explain`: what a query would be allowed to see and why, without running it.

Owns the form of that answer. Says only what the caller may know: a dataset that may not be discovered is unknown here too,
and policies are named by id and level, never by their text.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from datalab.api.auth import caller
from datalab.api.query import QueryBody
from datalab.api.services import Provided
from datalab.flow.decision import Sight
from datalab.flow.principal import Principal
from datalab.flow.request import Format, Mode, Query
from datalab.flow.statement import parse, require_parameters
from datalab.flow.token import Scope
from policies.model import DATA_ACTIONS, Action
from policies.words import masks_in_words, rows_in_words

router = APIRouter(prefix="/api/v1", tags=["query"])


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class PolicyName(Answer):
    id: str
    scope: str
    revision: int


class ColumnView(Answer):
    """masks: what is changed, in words; empty: shown as stored."""

    name: str
    type: str
    masks: list[str]


class DatasetView(Answer):
    """What the caller may do with one dataset, and what it would look like.

    refusals: for each action that is not granted, why. rows: which rows are visible, in words; empty: all of them.
    """

    dataset: str
    version: int | None
    actions: list[str]
    policies: list[PolicyName]
    rows: list[str]
    columns: list[ColumnView]
    max_rows: int | None
    min_group_size: int | None
    refusals: dict[str, list[dict[str, str]]]


class Explanation(Answer):
    """action: the one action of the statement; None: it would be refused."""

    action: str | None
    datasets: list[DatasetView]


@router.post("/explain")
def post_explain(
    body: QueryBody, services: Provided, principal: Annotated[Principal, Depends(caller(Scope.DATA_QUERY))]
) -> Explanation:
    """Explain the decisions that a query would get; nothing is run."""
    query = body.query(Format.JSON)
    statement = parse(query.sql, limits=services.flow.limits)
    require_parameters(statement, query.params)
    sights = [
        services.flow.decider.sight(
            principal, name.space, name.name, version=query.versions.get(f"{name.space}.{name.name}")
        )
        for name in statement.datasets
    ]
    return Explanation(action=chosen_action(query, sights), datasets=[dataset_view(sight) for sight in sights])


def chosen_action(query: Query, sights: list[Sight]) -> str | None:
    """Query if granted for all datasets, else aggregate; what `mode` asks for, if it does."""
    wanted = [Action(query.mode.value)] if query.mode else [Action(Mode.QUERY.value), Action(Mode.AGGREGATE.value)]
    return next((action.value for action in wanted if all(action in sight.ruling.grants for sight in sights)), None)


def dataset_view(sight: Sight) -> DatasetView:
    ruling = sight.ruling
    granted = [action for action in DATA_ACTIONS if action in ruling.grants]
    grant = (
        ruling.grants[Action.QUERY]
        if Action.QUERY in ruling.grants
        else ruling.grants[granted[-1]]
        if granted
        else None
    )
    shape = grant.shape if grant else None
    return DatasetView(
        dataset=sight.dataset.sql_name,
        version=sight.version.number if sight.version else None,
        actions=[Action.DISCOVER.value, *(action.value for action in granted)],
        policies=[
            PolicyName(id=policy.id, scope=str(policy.scope), revision=policy.revision)
            for policy in (grant.policies if grant else ())
        ],
        rows=rows_in_words(shape) if shape else [],
        columns=[
            ColumnView(
                name=column.name, type=column.result.sql, masks=masks_in_words(shape, column.name) if shape else []
            )
            for column in sight.columns
        ],
        max_rows=grant.max_rows if grant else None,
        min_group_size=grant.min_group_size if grant else None,
        refusals={action.value: [one.as_json() for one in reasons] for action, reasons in ruling.refusals.items()},
    )
