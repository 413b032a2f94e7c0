"""The rules that ship: each is valid, each has its cases, and the cases hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

import policies
from catalog.yaml import load
from policies.validation import validate
from tests.policies.casefile import Case, check, parameters

HOME = Path(policies.__file__).parent
RULES = sorted((HOME / "rules").glob("*.yaml"))


def _documents(file: Path) -> list[dict[str, Any]]:
    values = [document.value for document in load(file.read_bytes(), file=str(file))]
    assert all(isinstance(value, dict) for value in values)
    return values  # type: ignore[return-value] # just checked


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_every_rule_is_a_valid_policy(file: Path) -> None:
    documents = _documents(file)
    assert documents[0]["id"] == file.stem
    for document in documents:
        assert validate(document) == []


def test_every_rule_has_cases_and_every_case_a_rule() -> None:
    assert [file.name for file in RULES] == sorted(file.name for file in (HOME / "cases").glob("*.yaml"))


@pytest.mark.parametrize("case", parameters(HOME / "cases"))
def test_the_rule_answers_as_its_cases_say(case: Case, connection: duckdb.DuckDBPyConnection) -> None:
    documents = _documents(HOME / "rules" / case.file.name) + list(case.common.get("policies", ()))
    check(case, documents, connection)
