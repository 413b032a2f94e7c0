"""Ids and the words that the engine keeps for itself."""

from __future__ import annotations

import duckdb
import pytest

from catalog.errors import NameRefused
from catalog.names import check_id, check_sql_name, name_problem, reserved_words


def _engine_words() -> set[str]:
    with duckdb.connect() as connection:
        return {
            word
            for source in (
                "select keyword_name from duckdb_keywords()",
                "select schema_name from duckdb_schemas()",
                "select database_name from duckdb_databases()",
            )
            for (word,) in connection.execute(source).fetchall()
        }


OURS = {"datalab_local", "recurring"}
"""What the SQL gates refuse as a schema although the engine lists it nowhere."""


def test_the_reserved_words_are_exactly_those_of_the_engine_and_of_the_gates() -> None:
    assert reserved_words() == _engine_words() | OURS


@pytest.mark.parametrize("name", ["a", "health", "green_deal", "x9_", "a" * 63])
def test_plain_lower_case_words_are_ids(name: str) -> None:
    assert check_id(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "9a", "_a", "a-b", "a.b", "a b", "ä", "a" * 64, "a\n", "health\n", 'a"', "\u0430bc", "aé"]
)
def test_anything_else_is_no_id(name: str) -> None:
    with pytest.raises(NameRefused) as refused:
        check_id(name)
    assert refused.value.code == "catalog.name"


@pytest.mark.parametrize(
    "name", ["main", "temp", "system", "memory", "information_schema", "pg_catalog", "order", "table", "recurring"]
)
def test_reserved_words_name_no_space_peer_or_dataset(name: str) -> None:
    assert name_problem(name) is None
    with pytest.raises(NameRefused, match=f"try `{name}_data`"):
        check_sql_name(name)


def test_every_name_we_allow_can_stand_unquoted_in_sql() -> None:
    with duckdb.connect() as connection:
        for name in ("health", "green_deal", "order_data", "x9_"):
            connection.execute(f"create schema {name}")
            connection.execute(f"create table {name}.{name} as select 1 as one")
            assert connection.execute(f"select {name}.one from {name}.{name}").fetchall() == [(1,)]
