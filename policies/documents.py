"""Policy documents: the reading of their YAML and JSON form into a `Policy`, with every problem and its place.

Owns what a problem is called and where it is. Must never hand on what the form did not accept, and bounds size and depth
before anything descends into a document.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from policies import model
from policies.errors import PolicyInvalid, Problem
from policies.forms import (
    AggregateDocument,
    AllDocument,
    AnyDocument,
    LeafDocument,
    LimitsDocument,
    MaskDocument,
    NotDocument,
    ObligationsDocument,
    PolicyDocument,
    RoleRef,
    did_you_mean,
)
from policies.model import Action, Effect, Level, MaskKind, Op, Scope

_MAX_DEPTH = 16
_MAX_NODES = 5000


def parse(document: Mapping[str, Any]) -> model.Policy:
    """The policy that a document says. PolicyInvalid with every problem of its form; Cedar is not asked (`validation`)."""
    plain = _plain(document)
    try:
        return _policy(PolicyDocument.model_validate(plain))
    except ValidationError as invalid:
        problems = [_problem(error) for error in invalid.errors(include_url=False, include_input=False)]
        raise PolicyInvalid(problems) from None


def _plain(document: object, depth: int = 0, budget: list[int] | None = None) -> Any:
    """The document with dates as ISO text, as some YAML readers make dates of what was written so; bounded in size."""
    budget = budget if budget is not None else [_MAX_NODES]
    budget[0] -= 1
    if depth > _MAX_DEPTH or budget[0] < 0:
        raise PolicyInvalid([Problem(path=(), message="the document is nested too deeply or too large")])
    if isinstance(document, Mapping):
        return {key: _plain(value, depth + 1, budget) for key, value in document.items()}
    if isinstance(document, Sequence) and not isinstance(document, str | bytes):
        return [_plain(value, depth + 1, budget) for value in document]
    return document.isoformat() if isinstance(document, dt.date) else document


def _policy(document: PolicyDocument) -> model.Policy:
    level, _, id_ = document.scope.partition(":")
    return model.Policy(
        id=document.id,
        title=document.title,
        scope=Scope(Level(level), id_),
        effect=Effect(document.effect),
        actions=frozenset(Action(action) for action in document.actions),
        when=document.when,
        obligations=_obligations(document.obligations) if document.obligations else model.Obligations(),
    )


def _obligations(document: ObligationsDocument) -> model.Obligations:
    limits = document.limits or LimitsDocument()
    return model.Obligations(
        columns=tuple(_column_ref(column) for column in document.columns) if document.columns is not None else None,
        rows=_rows(document.rows) if document.rows else None,
        masks=tuple(
            model.Mask(ref=mask.ref(), kind=MaskKind(mask.with_), value=mask.value, if_present=mask.if_present)
            for mask in document.masks
        ),
        min_group_size=document.aggregate.min_group_size if document.aggregate else None,
        limits=model.Limits(max_rows=limits.max_rows, queries_per_day=limits.queries_per_day),
    )


def _column_ref(column: str | RoleRef) -> model.Ref:
    return model.Ref(column) if isinstance(column, str) else model.Ref(column.role, is_role=True)


def _rows(document: AllDocument | AnyDocument | NotDocument | LeafDocument) -> model.Rows:
    if isinstance(document, AllDocument):
        return model.AllOf(tuple(_rows(item) for item in document.all))
    if isinstance(document, AnyDocument):
        return model.AnyOf(tuple(_rows(item) for item in document.any))
    if isinstance(document, NotDocument):
        return model.Not(_rows(document.not_))
    if document.claim is not None:
        return model.Leaf(document.ref(), Op(document.op), model.Claim(document.claim))
    value = tuple(document.value) if isinstance(document.value, list) else document.value
    return model.Leaf(document.ref(), Op(document.op), value)


def _problem(error: Any) -> Problem:
    path = tuple(part for part in error["loc"] if not (isinstance(part, str) and part.startswith("<")))
    message, hint = str(error["msg"]).removeprefix("Value error, "), None
    if error["type"] == "extra_forbidden":
        message = f"unknown key `{path[-1]}`"
        hint = did_you_mean(str(path[-1]), _KEYS).strip(" ;") or None
    elif error["type"] == "missing":
        message = "this key is missing"
    elif "; " in message:
        message, hint = message.split("; ", 1)
    return Problem(path=path, message=message, hint=hint)


_KEYS = [
    field.alias or name
    for form in (
        PolicyDocument,
        ObligationsDocument,
        MaskDocument,
        LeafDocument,
        AllDocument,
        AnyDocument,
        NotDocument,
        AggregateDocument,
        LimitsDocument,
    )
    for name, field in form.model_fields.items()
]
