"""Differential tests: two parsers and the engine's binder on random SQL must mean the same tables by the same text."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from datalab.flow.errors import StatementRefused
from datalab.flow.parse import check
from datalab.flow.statement import parse
from tests.hostile.corpus import load
from tests.hostile.grammar import DATASETS, Around, query

Serialize = Callable[[str], str]
LOOKED_FOR = re.compile(
    r"(Table|Schema|Type|View) with name|Catalog \"|Permission Error|No files found|Cannot open file"
)
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
CASES = [case for file in ("sql.yaml", "allowed.yaml") for case in load(file)]
TEXTS = [case.sql for case in CASES if len(case.sql) < 1500 and case.expect != "bounded"]
WORDS = sorted({word for text in TEXTS for word in re.findall(r"\w+|[^\w\s]+|\s+", text)})


@pytest.fixture(scope="module")
def binder() -> Iterator[duckdb.DuckDBPyConnection]:
    """An instance without a single table: what a statement may see is created for it, and rolled back."""
    with duckdb.connect() as connection:
        connection.execute("SET python_enable_replacements=false; SET enable_external_access=false")
        yield connection


def missing(connection: duckdb.DuckDBPyConnection, sql: str, tables: set[tuple[str, str]]) -> str | None:
    """What the binder cannot find when exactly `tables` exist; None if it looks for nothing else."""
    connection.execute("BEGIN")
    try:
        for space, name in tables:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{space}"')
            connection.execute(f'CREATE VIEW "{space}"."{name}" AS SELECT 1::INTEGER AS x, \'k\' AS y')
        connection.execute(f"EXPLAIN {sql}")
    except duckdb.Error as error:
        return str(error) if LOOKED_FOR.search(str(error)) else None
    finally:
        connection.execute("ROLLBACK")
    return None


def binds(connection: duckdb.DuckDBPyConnection, sql: str, tables: set[tuple[str, str]]) -> bool:
    connection.execute("BEGIN")
    try:
        for space, name in tables:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {space}")
            connection.execute(f"CREATE VIEW {space}.{name} AS SELECT 1::INTEGER AS x, 'k' AS y")
        connection.execute(f"EXPLAIN {sql}")
    except duckdb.Error:
        return False
    else:
        return True
    finally:
        connection.execute("ROLLBACK")


def agreed(sql: str, serialize: Serialize) -> set[tuple[str, str]] | None:
    """The tables that both gates see; None if one refuses. A disagreement fails the test."""
    try:
        statement = parse(sql)
        check(serialize(sql), statement.tables)
    except StatementRefused as refusal:
        if refusal.code == "statement.disagreement":
            pytest.fail(f"the gates see different tables: {sql}")
        return None
    return {(name.space, name.name) for name in statement.datasets}


def compare(sql: str, serialize: Serialize, binder: duckdb.DuckDBPyConnection) -> None:
    seen = agreed(sql, serialize)
    everything = set(DATASETS)
    if seen is None:
        return
    assert seen <= everything
    assert missing(binder, sql, seen) is None, "the binder wants a table that the gates did not see"


SETTINGS = settings(deadline=None, suppress_health_check=QUIET, derandomize=True, max_examples=120)


@SETTINGS
@given(sql=query(Around(2)))
@example(sql="WITH t AS (FROM a.t) SELECT * FROM t, (WITH t AS (FROM t) FROM t) AS q")
def test_the_gates_and_the_binder_mean_the_same_tables(
    sql: str, serialize: Serialize, binder: duckdb.DuckDBPyConnection
) -> None:
    compare(sql, serialize, binder)


@pytest.mark.slow
@settings(SETTINGS, max_examples=600)
@given(sql=query(Around(3)))
def test_the_gates_and_the_binder_mean_the_same_tables_at_length(
    sql: str, serialize: Serialize, binder: duckdb.DuckDBPyConnection
) -> None:
    compare(sql, serialize, binder)


@SETTINGS
@given(sql=query(Around(2, used=True)))
def test_a_statement_that_binds_is_not_refused_for_its_names(
    sql: str, serialize: Serialize, binder: duckdb.DuckDBPyConnection
) -> None:
    if not binds(binder, sql, set(DATASETS)):
        return
    try:
        check(serialize(sql), parse(sql).tables)
    except StatementRefused as refusal:
        if refusal.code != "statement.syntax":  # the first parser knows less of the grammar than the engine's
            pytest.fail(f"{refusal.code}, though the engine needs no other tables: {sql}")


def mutate(text: str, seed: int) -> str:
    """`text` with a few of its words dropped, doubled, swapped, or replaced by words of other lines."""
    dice = random.Random(seed)
    words = re.findall(r"\w+|[^\w\s]+|\s+", text)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(words)) if words else 0
        kind = dice.randrange(5)
        if kind == 0 and words:
            del words[at]
        elif kind == 1:
            words.insert(at, dice.choice(WORDS))
        elif kind == 2 and words:
            words[at] = dice.choice(WORDS)
        elif kind == 3 and words:
            words.insert(at, words[dice.randrange(len(words))])
        else:
            other = re.findall(r"\w+|[^\w\s]+|\s+", dice.choice(TEXTS))
            start = dice.randrange(len(other)) if other else 0
            words[at:at] = other[start : start + dice.randint(1, 12)]
    return "".join(words)


def withstand(text: str, serialize: Serialize, binder: duckdb.DuckDBPyConnection) -> None:
    """Neither gate raises anything but refusals, and what passes both needs no table that they did not see."""
    try:
        statement = parse(text)
    except StatementRefused:
        return
    try:
        check(serialize(text), statement.tables)
    except StatementRefused:
        return
    assert missing(binder, text, {(name.space, name.name) for name in statement.datasets}) is None, text


@pytest.mark.parametrize("part", range(4))
def test_mutated_statements_are_refused_or_harmless(
    part: int, serialize: Serialize, binder: duckdb.DuckDBPyConnection
) -> None:
    for number, text in enumerate(TEXTS):
        if number % 4 == part:
            withstand(mutate(text, number), serialize, binder)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(40))
def test_mutated_statements_are_refused_or_harmless_at_length(
    round_: int, serialize: Serialize, binder: duckdb.DuckDBPyConnection
) -> None:
    for number, text in enumerate(TEXTS):
        withstand(mutate(text, 1_000_003 * (round_ + 1) + number), serialize, binder)


@SETTINGS
@given(text=st.text(max_size=60))
def test_any_text_at_all_is_refused_or_harmless(
    text: str, serialize: Serialize, binder: duckdb.DuckDBPyConnection
) -> None:
    withstand(text, serialize, binder)


@SETTINGS
@given(
    tree=st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["FUNCTION", "SELECT_NODE", "BASE_TABLE", "x"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "statements", "node", "named_param_map", "type", "class", "children", "value"]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=25,
    )
)
def test_any_json_at_all_is_refused(tree: object) -> None:
    with pytest.raises(StatementRefused):
        check(json.dumps(tree), frozenset())
