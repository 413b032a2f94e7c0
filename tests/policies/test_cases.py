"""The table of worked cases: decided, evaluated and run."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.policies.casefile import Case, check, parameters

FOLDER = Path(__file__).with_name("cases")


@pytest.mark.parametrize("case", parameters(FOLDER))
def test_the_case_is_answered_as_its_file_says(case: Case, connection: duckdb.DuckDBPyConnection) -> None:
    defaults = {"title": "t", "scope": "dataset:health/cohort", "effect": "permit", "actions": ["query"]}
    check(case, [defaults | document for document in case.common["policies"]], connection)
