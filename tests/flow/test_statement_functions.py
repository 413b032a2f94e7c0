"""The list of functions against the engine itself: nothing unsorted, nothing that is gone, and what is allowed works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import duckdb_extension_httpfs
import pytest

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import REASONS, Function, fold, load
from datalab.flow.parse import SERIALIZE, check
from datalab.flow.statement import parse

HTTPFS = str(next(Path(duckdb_extension_httpfs.__path__[0]).rglob("httpfs.duckdb_extension")))
CALLS = {
    (name, kind): call
    for name, kind, call in (
        line.split("\t")
        for line in Path(__file__).with_name("statement_functions.tsv").read_text(encoding="utf-8").splitlines()[2:]
    )
}
COLUMNS = """
    i, n, d, d::DECIMAL(10, 2) AS c, s, i > 1 AS b, DATE '2024-02-29' + i AS dt, TIME '12:34:56' AS tm,
    TIMESTAMP '2024-02-29 12:34:56' + to_days(i) AS ts, TIMESTAMPTZ '2024-02-29 12:34:56+00' AS tz,
    INTERVAL 3 DAY AS iv, [i, 2, 3] AS l, [s, 'b'] AS ls, [[1, i], [3]] AS ll, [1.0::DOUBLE, d, 2.0] AS ld,
    [1.0, 2.0, 3.0]::DOUBLE[3] AS a3, {'a': i, 'b': s} AS st, MAP {s: i} AS m, '{"a": [1, 2]}'::JSON AS j,
    s::BLOB AS bl, '0101'::BIT AS bi, '7f1d5a94-1111-4111-8111-111111111111'::UUID AS u,
    'x'::ENUM('x', 'y') AS e, 'POINT (1 2)'::GEOMETRY AS g, union_value(num := i) AS un
"""
ROWS = "SELECT 1::INTEGER AS i, 10::BIGINT AS n, 1.5::DOUBLE AS d, 'ab' AS s UNION ALL SELECT 2, 20, 2.5, 'cd'"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The pinned engine with httpfs loaded and one view, `demo.t`, over a Parquet file."""
    file = tmp_path_factory.mktemp("functions") / "t.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{HTTPFS}'")
        connection.execute(f"COPY ({ROWS}) TO '{file}' (FORMAT parquet)")
        connection.execute("CREATE SCHEMA demo")
        connection.execute(f"CREATE VIEW demo.t AS SELECT {COLUMNS} FROM read_parquet('{file}')")
        yield connection


def serialized(engine: duckdb.DuckDBPyConnection, sql: str) -> str:
    row = engine.execute(SERIALIZE, [sql]).fetchone()
    assert row is not None
    return str(row[0])


def test_every_function_of_the_engine_is_sorted_once_and_no_other(engine: duckdb.DuckDBPyConnection) -> None:
    found = engine.execute("SELECT DISTINCT function_name, function_type FROM duckdb_functions()").fetchall()
    listed = [(line.name, line.kind) for line in load().lines]
    assert sorted(listed) == sorted(set(listed))
    assert sorted(set(listed) - set(found)) == [], "these lines are gone from the engine"
    assert sorted(set(found) - set(listed)) == [], "these functions are in no line"


def test_every_refusal_has_a_reason_and_a_sentence() -> None:
    refused = [line for line in load().lines if not line.allowed]
    assert {line.reason for line in refused} == set(REASONS)
    assert all(line.reason is None for line in load().lines if line.allowed)


def test_every_allowed_function_has_a_call_and_no_other() -> None:
    assert set(CALLS) == {(line.name, line.kind) for line in load().lines if line.allowed}


@pytest.mark.parametrize(("name", "kind"), sorted(CALLS), ids=lambda value: value)
def test_an_allowed_function_passes_both_gates_and_runs(
    engine: duckdb.DuckDBPyConnection, name: str, kind: str
) -> None:
    call = CALLS[name, kind]
    sql = f"SELECT * FROM {call}, demo.t" if kind == "table" else f"SELECT {call} FROM demo.t"
    statement = parse(sql)
    assert [str(dataset) for dataset in statement.datasets] == ["demo.t"]
    check(serialized(engine, sql), statement.tables)
    assert engine.execute(sql).to_arrow_table().num_rows > 0


@pytest.mark.parametrize("line", [line for line in load().lines if not line.allowed], ids=lambda line: line.name)
def test_a_refused_function_passes_neither_gate(engine: duckdb.DuckDBPyConnection, line: Function) -> None:
    name, relation = line.name, line.kind in {"table", "table_macro", "pragma"}
    if not re.fullmatch(r"\w+", name):
        name = f'"{name}"'
    sql = f"SELECT * FROM {name}('x', 2)" if relation else f"SELECT {name}('x', 2)"
    for spelled in (sql, sql.replace(name, f'"{name.strip(chr(34)).upper()}"')):
        with pytest.raises(StatementRefused) as refusal:
            parse(spelled)
        assert refusal.value.code == "statement.function"
        with pytest.raises(StatementRefused) as refusal:
            check(serialized(engine, spelled), frozenset())
        assert refusal.value.code in {"statement.function", "statement.syntax"}  # SHOW is a keyword to the engine


@pytest.mark.parametrize("name", ["getenv", "no_such_function", "read_excel", "st_read"])
def test_a_function_that_the_list_does_not_know_is_refused(engine: duckdb.DuckDBPyConnection, name: str) -> None:
    for sql in (f"SELECT {name}('x')", f"SELECT * FROM {name}('x')"):
        with pytest.raises(StatementRefused) as refusal:
            parse(sql)
        assert refusal.value.code == "statement.unknown_function"
        with pytest.raises(StatementRefused) as refusal:
            check(serialized(engine, sql), frozenset())
        assert refusal.value.code == "statement.unknown_function"


def test_a_misspelt_function_gets_a_suggestion() -> None:
    with pytest.raises(StatementRefused) as refusal:
        parse("SELECT date_trnc('month', d) FROM s.t")
    assert "Did you mean date_trunc" in refusal.value.sentence


def test_names_fold_as_the_engine_folds_them() -> None:
    kelvin = "\u212a"  # Unicode lowers it to k, the engine leaves it
    assert fold("ABZ" + kelvin) == "abz" + kelvin
