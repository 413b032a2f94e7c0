"""Literal forms and canonical texts, a table per type; each must mean the same in Python and in DuckDB."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.canonical import canonical_sql, canonical_text, comparable
from policies.columntypes import OPS, Family, column_type
from policies.literals import literal
from policies.model import Op
from policies.quoting import sql_name, sql_text
from tests.policies.world import COLUMNS, VALUES, permit, ruling, table, written

# type -> (what may be written, its canonical text)
GOOD: Mapping[str, list[tuple[object, str]]] = {
    "BOOLEAN": [(True, "true"), (False, "false")],
    "TINYINT": [(-128, "-128"), (127, "127")],
    "UTINYINT": [(0, "0"), (255, "255")],
    "SMALLINT": [(-32768, "-32768")],
    "USMALLINT": [(65535, "65535")],
    "INTEGER": [(-2147483648, "-2147483648"), (2147483647, "2147483647")],
    "UINTEGER": [(4294967295, "4294967295")],
    "BIGINT": [(-(2**63), "-9223372036854775808"), (2**63 - 1, "9223372036854775807")],
    "UBIGINT": [(2**64 - 1, "18446744073709551615")],
    "HUGEINT": [(-(2**127), str(-(2**127))), (2**127 - 1, str(2**127 - 1))],
    "UHUGEINT": [(2**128 - 1, str(2**128 - 1))],
    "DECIMAL(10,2)": [
        ("12.5", "12.50"),
        ("-0.01", "-0.01"),
        (7, "7.00"),
        ("00012.500", "12.50"),
        ("99999999.99", "99999999.99"),
    ],
    "DECIMAL(38,0)": [("9" * 38, "9" * 38)],
    "DECIMAL(4,4)": [("0.1234", ".1234"), ("-0.05", "-.0500"), (0, ".0000")],
    "DOUBLE": [(1, "1.0"), (0.1, "0.1"), (1e300, "1e+300"), (-2.5, "-2.5"), (5e-324, "5e-324")],
    "FLOAT": [(0.1, "0.10000000149011612"), (1.5, "1.5"), (16777216, "16777216.0")],
    "VARCHAR": [("", ""), ("d'e\"\\ß€\n%_😀", "d'e\"\\ß€\n%_😀")],
    "DATE": [("2024-02-29", "2024-02-29"), ("0001-01-01", "0001-01-01"), ("9999-12-31", "9999-12-31")],
    "TIME": [("23:59:59", "23:59:59"), ("01:02:03.45", "01:02:03.45"), ("01:02:03.450000000", "01:02:03.45")],
    "TIMESTAMP": [
        ("2024-02-29T01:02:03", "2024-02-29 01:02:03"),
        ("2024-02-29 01:02:03.123456", "2024-02-29 01:02:03.123456"),
        ("1969-12-31T23:59:59.5", "1969-12-31 23:59:59.5"),
        ("2024-02-29T01:02", "2024-02-29 01:02:00"),
    ],
    "TIMESTAMP_S": [("2024-02-29T01:02:03.000", "2024-02-29 01:02:03")],
    "TIMESTAMP_MS": [("2024-02-29T01:02:03.250", "2024-02-29 01:02:03.25")],
    "TIMESTAMP_NS": [("2024-02-29T01:02:03.123456789", "2024-02-29 01:02:03.123456789")],
    "TIMESTAMP WITH TIME ZONE": [
        ("2024-02-29T01:02:03Z", "2024-02-29 01:02:03+00"),
        ("2024-02-29T01:02:03.5+02:00", "2024-02-28 23:02:03.5+00"),
    ],
    "UUID": [("0F0E0D0C-0b0a-0908-0706-050403020100", "0f0e0d0c-0b0a-0908-0706-050403020100")],
}

BAD: Mapping[str, list[object]] = {
    "BOOLEAN": [1, 0, "true"],
    "TINYINT": [128, -129, "1", True, 1.0],
    "UTINYINT": [-1, 256],
    "INTEGER": [2**31, "5", 1.5, True, None],
    "UHUGEINT": [-1, 2**128],
    "DECIMAL(10,2)": ["1.234", "100000000.00", 1.5, "1e3", "", ".5", "1.", "+1", "\u0661", True, "9" * 100],
    "DECIMAL(4,4)": ["1.0", 1],
    "DOUBLE": ["1.5", True, float("nan"), float("inf"), 2**53 + 1, 10**400],
    "FLOAT": [1e39, 16777217],
    "VARCHAR": [5, True, "a\0b", "\ud800"],
    "DATE": [
        "2024-02-30",
        "2024-2-3",
        "20240203",
        "2024-02-03T00:00:00",
        "2024-W01-1",
        20240203,
        "infinity",
        "\uff12024-01-01",
    ],
    "TIME": ["24:00:00", "01:02", "01:02:03.1234567", "01:02:03+00:00"],
    "TIMESTAMP": ["2024-02-29", "2024-02-29T01:02:03Z", "2024-02-29T01:02:03.1234567", "2024-02-29T25:00:00", "now"],
    "TIMESTAMP_S": ["2024-02-29T01:02:03.5"],
    "TIMESTAMP_MS": ["2024-02-29T01:02:03.2501"],
    "TIMESTAMP_NS": ["1600-01-01T00:00:00", "2300-01-01T00:00:00"],
    "TIMESTAMP WITH TIME ZONE": ["2024-02-29T01:02:03", "0001-01-01T00:00:00+02:00", "2024-02-29T01:02:03+99:00"],
    "UUID": ["0f0e0d0c0b0a09080706050403020100", "x", 5],
    "BLOB": ["00", ""],
    "VARCHAR[]": ["a", []],
    "INTERVAL": ["1 day"],
}


def _pairs(table_: Mapping[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(type_, entry) for type_, entries in table_.items() for entry in entries]


@pytest.mark.parametrize(("type_", "entry"), _pairs(GOOD))
def test_a_literal_is_a_value_of_its_type(connection: duckdb.DuckDBPyConnection, type_: str, entry: Any) -> None:
    value, text = entry
    known = literal(value, column_type(type_))
    assert known is not None
    query = f"SELECT typeof({known.sql}), {canonical_sql(known.sql, column_type(type_))}"
    assert connection.execute(query).fetchone() == (type_, text)
    assert canonical_text(known.value, column_type(type_)) == text


@pytest.mark.parametrize(("type_", "value"), _pairs(BAD))
def test_what_the_table_does_not_list_is_no_literal(type_: str, value: object) -> None:
    assert literal(value, column_type(type_)) is None


def test_every_family_with_literals_is_in_the_table() -> None:
    assert {column_type(type_).family for type_ in GOOD} == set(Family) - {Family.BLOB, Family.OTHER}


@pytest.mark.parametrize(
    "name", [name for name, type_ in COLUMNS.items() if column_type(type_).family is not Family.OTHER]
)
def test_the_texts_of_cells_are_those_of_the_evaluator(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    type_ = column_type(COLUMNS[name])
    rows = [{name: value} for value in VALUES[type_.sql]]
    table(connection, "cells", {name: type_.sql}, rows)
    shown = connection.execute(f"SELECT {canonical_sql(sql_name(name), type_)} FROM cells ORDER BY rowid").fetchall()
    assert [text for (text,) in shown] == [canonical_text(comparable(row[name]), type_) for row in rows]


@given(value=st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=300, deadline=None)
def test_any_double_is_written_as_duckdb_writes_it(connection: duckdb.DuckDBPyConnection, value: float) -> None:
    shown = connection.execute(
        f"SELECT {canonical_sql('CAST(? AS DOUBLE)', column_type('DOUBLE'))}", [value]
    ).fetchone()
    assert shown == (canonical_text(value, column_type("DOUBLE")),)


@given(text=st.text(max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_text_survives_as_a_literal_and_as_a_name(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    known = literal(text, column_type("VARCHAR"))
    if known is None:
        assert "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)
        return
    assert connection.execute(f"SELECT {known.sql}").fetchone() == (text,)
    named = connection.execute(f"SELECT 1 AS {sql_name('x' + text)}").description
    assert named is not None
    assert named[0][0] == "x" + text


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_sql_cannot_carry_is_never_quoted(text: str) -> None:
    for quote in (sql_text, sql_name):
        with pytest.raises(ValueError, match="cannot be written"):
            quote(text)


@pytest.mark.parametrize("type_", ["VARCHAR[]", "STRUCT(a INTEGER)", "INTERVAL", "MAP(VARCHAR, INTEGER)", "DECIMAL"])
def test_a_type_that_is_not_listed_is_never_guessed(type_: str) -> None:
    assert column_type(type_).family is Family.OTHER
    for written_by in (canonical_sql, canonical_text):
        with pytest.raises(ValueError, match="no canonical text"):
            written_by("x", column_type(type_))


@pytest.mark.parametrize(("name", "op"), [(name, op) for name in COLUMNS for op in Op])
def test_an_operator_is_taken_by_the_types_that_define_it(name: str, op: Op) -> None:
    value = written(VALUES[COLUMNS[name]][1])
    value = value if isinstance(value, str | int | float) else "x"
    operand = {} if op.takes_nothing else {"value": [value] if op.takes_list else value}
    decided = ruling([permit(obligations={"rows": {"column": name, "op": op.value} | operand})])
    defined = op in OPS[column_type(COLUMNS[name]).family]
    assert bool(decided.grants) is defined
    if not defined:
        assert {reason.slug.value for level in decided.levels.values() for view in level for reason in view.void} == {
            "operator_type"
        }


def test_duckdb_reads_a_moment_with_its_zone(connection: duckdb.DuckDBPyConnection) -> None:
    known = literal("2024-02-29T01:02:03+02:00", column_type("TIMESTAMP WITH TIME ZONE"))
    assert known is not None
    moment = dt.datetime(2024, 2, 28, 23, 2, 3, tzinfo=dt.UTC)
    assert connection.execute(f"SELECT {known.sql} = ?", [moment]).fetchone() == (True,)
