"""Worked cases as readable files: policies, a few rows, and what each caller is answered.

Each case is decided, evaluated by the reference and run as SQL on DuckDB; all three must say what the file says. The form
is told by `KEYS` and the files themselves; an unknown key fails.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from catalog.yaml import load
from policies.canonical import plain
from policies.columntypes import column_type
from policies.compiler import compile_view
from policies.evaluator import evaluate
from policies.inputs import AgreementInput, ContextInput, DatasetInput, PrincipalInput
from policies.literals import literal
from policies.model import Action
from policies.ruling import Ruling
from tests.policies.world import KEY, NOW, PRINCIPAL, dataset, ruling, table, texts

KEYS = {
    "case": "what it shows, a sentence",
    "who": "what differs from the usual caller",
    "policies": "ids of those in force, all of the file's if not given",
    "dataset": "what differs from the file's dataset",
    "now": "the moment, if it is not the usual one",
    "agreement": "purpose and actions of the agreement in the context",
    "action": "query if not given",
    "discover": "whether the dataset may be known of",
    "refused": "slugs of the reasons",
    "void": "slugs why permits are void",
    "columns": "visible columns and their types as shown",
    "rows": "what is seen",
    "schema": "the columns as the caller sees them without asking for data",
    "max_rows": "",
    "queries_per_day": "",
    "min_group_size": "",
    "aggregates_only": "",
    "applies": "ids of the policies whose obligations apply",
    "unrestricted": "",
    "whole": "",
    "alarm": "",
}


@dataclass(frozen=True)
class Case:
    file: Path
    common: Mapping[str, Any]
    expected: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.file.stem}: {self.expected['case']}"


def cases(folder: Path) -> Iterator[Case]:
    for file in sorted(folder.glob("*.yaml")):
        (document,) = load(file.read_bytes(), file=str(file))
        content = document.value
        assert isinstance(content, dict)
        for expected in content["cases"]:
            assert not expected.keys() - KEYS.keys(), f"{file}: {expected.keys() - KEYS.keys()}"
            yield Case(file, content, expected)


def check(case: Case, documents: list[dict[str, Any]], connection: duckdb.DuckDBPyConnection) -> None:
    """Fail where the case is not answered as its file says."""
    expected = case.expected
    if "policies" in expected:
        documents = [document for document in documents if document["id"] in expected["policies"]]
        assert len(documents) == len(expected["policies"]), "the case names a policy that the file lacks"
    about, raw = _dataset(case)
    decided = ruling(documents, principal=_caller(expected), about=about, context=_context(expected))
    action = Action(expected.get("action", "query"))
    _check_refusals(decided, action, expected)
    grant = decided.grants.get(action)
    facts = {
        "discover": decided.discover,
        "alarm": decided.alarm,
        "schema": [column.name for column in decided.columns],
        "void": sorted({reason.slug.value for level in decided.levels[action] for reason in level.void}),
    }
    if grant is not None:
        facts |= {
            "max_rows": grant.max_rows,
            "queries_per_day": grant.queries_per_day,
            "min_group_size": grant.min_group_size,
            "aggregates_only": grant.aggregates_only,
            "unrestricted": grant.unrestricted,
            "whole": grant.whole,
            "applies": sorted(policy.id for policy in grant.policies),
        }
    for name in facts.keys() & expected.keys():
        assert facts[name] == expected[name], name
    if not {"columns", "rows"} & expected.keys():
        return
    assert grant is not None, decided.refusals
    assert grant.shape is not None
    if "columns" in expected:
        assert {column.name: column.result.sql for column in grant.shape.columns} == expected["columns"]
    if "rows" in expected:
        table(connection, "raw", {column.name: column.type for column in about.columns or ()}, raw)
        table(connection, "evaluated", grant.shape.columns, evaluate(grant.shape, raw, KEY))
        connection.execute(f"CREATE OR REPLACE VIEW shown AS {compile_view(grant.shape, 'raw', KEY)}")
        wanted = [tuple(_text(cell) for cell in row) for row in expected["rows"]]
        wanted.sort(key=lambda row: [(cell is None, cell or "") for cell in row])
        assert texts(connection, "FROM evaluated")[1] == wanted
        assert texts(connection, "FROM shown") == texts(connection, "FROM evaluated")


def _check_refusals(decided: Ruling, action: Action, expected: Mapping[str, Any]) -> None:
    slugs = [reason.slug.value for reason in decided.refusals.get(action, ())]
    if "refused" in expected:
        assert slugs == expected["refused"]
        assert action not in decided.grants
    elif action is not Action.DISCOVER and not {"discover", "schema", "alarm"} & expected.keys():
        assert action in decided.grants, slugs


def _dataset(case: Case) -> tuple[DatasetInput, list[dict[str, object]]]:
    facts = dict(case.common.get("dataset", {})) | case.expected.get("dataset", {})
    columns, rows = facts.pop("columns", {"id": "INTEGER"}), facts.pop("rows", [])
    if columns is None:
        return replace(dataset({}, **facts), columns=None), []
    raw = [
        {name: _value(cell, type_) for (name, type_), cell in zip(columns.items(), row, strict=True)} for row in rows
    ]
    return dataset(columns, **facts), raw


def _value(cell: object, type_: str) -> object:
    if cell is None:
        return None
    known = literal(cell, column_type(type_))
    return cell if known is None else plain(known.value, column_type(type_))


def _text(cell: object) -> str | None:
    return None if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)


def _caller(expected: Mapping[str, Any]) -> PrincipalInput:
    who = dict(expected.get("who", {}))
    for name in ("spaces", "roles"):
        if name in who:
            who[name] = frozenset(who[name])
    return replace(PRINCIPAL, **who)


def _context(expected: Mapping[str, Any]) -> ContextInput:
    now = dt.datetime.fromisoformat(expected["now"]) if "now" in expected else NOW
    given = expected.get("agreement")
    if given is None:
        return ContextInput(now=now)
    actions = frozenset(Action(action) for action in given["actions"])
    agreement = AgreementInput(
        id="a1", purpose=given["purpose"], valid_until=NOW + dt.timedelta(days=1), actions=actions
    )
    return ContextInput(now=now, agreement=agreement)


def parameters(folder: Path) -> list[Any]:
    return [pytest.param(case, id=str(case).replace(" ", "_")) for case in cases(folder)]
