"""The second gate: the engine's own tree must say what the first gate said, in a shape that is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from datalab.flow.errors import StatementRefused
from datalab.flow.parse import SERIALIZE, check
from datalab.flow.sql.types import ALLOWED, REFUSED
from datalab.flow.statement import parse

Serialize = Callable[[str], str]
T = ("", "s", "t")


@pytest.fixture(scope="module")
def serialize() -> Serialize:
    connection = duckdb.connect()

    def ask(sql: str) -> str:
        row = connection.execute(SERIALIZE, [sql]).fetchone()
        assert row is not None
        return str(row[0])

    return ask


def refused(serialized: str, tables: Any = (T,)) -> StatementRefused:
    with pytest.raises(StatementRefused) as refusal:
        check(serialized, frozenset(tables))
    return refusal.value


def test_the_gates_agree_on_a_plain_statement(serialize: Serialize) -> None:
    sql = "SELECT a, ?, $1 FROM S.T WHERE b IN (SELECT c FROM s.u)"
    check(serialize(sql), parse(sql).tables)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1 FROM s.t", ()),
        ("SELECT 1 FROM s.t", (T, ("", "s", "u"))),
        ("SELECT 1 FROM s.t", (("", "s", "u"),)),
        ("SELECT 1 FROM c.s.t", (T,)),
        ("SELECT 1 FROM s.t, s.u", (T,)),
        ("SELECT 1 FROM s.t", (("c", "s", "t"),)),
    ],
)
def test_other_tables_than_expected_are_a_disagreement(serialize: Serialize, sql: str, tables: Any) -> None:
    assert refused(serialize(sql), tables).code == "statement.disagreement"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM t", "statement.unqualified"),
        ("SELECT * FROM s.t, 'x.csv'", "statement.file"),
        ("SELECT * FROM s.t, duckdb_views", "statement.engine_catalogue"),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a, s.t", "statement.unqualified"),
        ('WITH "a.csv" AS (SELECT 1) SELECT * FROM "a.csv", s.t', "statement.name"),
        ("SELECT * FROM s.t AT (VERSION => 1)", "statement.time_travel"),
        ("SELECT a::variant FROM s.t", "statement.type"),
        ("SELECT a::x.mood FROM s.t", "statement.type"),
        ("SELECT a::STRUCT(b regclass[]) FROM s.t", "statement.type"),
        ("SELECT getvariable('a') FROM s.t", "statement.function"),
        ("SELECT s.current_setting('a') FROM s.t", "statement.function"),
        ("SELECT current_catalog FROM s.t", "statement.function"),
        ("SELECT * FROM s.t, main.range(1)", "statement.function"),
        ("SELECT * FROM s.t, read_csv('x')", "statement.function"),
        ("SELECT read_csv('x') FROM s.t", "statement.function"),
        ("SELECT * FROM s.t, abs(1)", "statement.function"),
        ("SELECT nothing_like_it(1) FROM s.t", "statement.unknown_function"),
        ("SELECT sum(a) EXPORT_STATE FROM s.t", "statement.unsupported"),
        ("SELECT DEFAULT FROM s.t", "statement.unsupported"),
        ("FROM (DESCRIBE s.t)", "statement.unsupported"),
        ("SHOW TABLES", "statement.unsupported"),
        ("PIVOT s.t ON a IN some_enum USING count(*)", "statement.pivot"),
        ("PIVOT s.t ON a USING count(*)", "statement.not_select"),
        ("SELECT * FROM s.t PIVOT (sum(a) FOR b IN (1 + 1))", "statement.unsupported"),
        ("INSERT INTO s.t VALUES (1)", "statement.not_select"),
        ("SELECT 1; SELECT 2", "statement.several"),
        ("", "statement.several"),
        ("SELECT 1 FROM FROM", "statement.syntax"),
        ("SELECT " + "1 + " * 2000 + "1", "statement.too_deep"),
        ("SELECT " + "NOT " * 2000 + "true", "statement.too_deep"),
    ],
)
def test_the_second_gate_stands_without_the_first(serialize: Serialize, sql: str, code: str) -> None:
    assert refused(serialize(sql)).code == code


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"error": false}',
        '{"error": false, "statements": []}',
        '{"error": false, "statements": [{}]}',
        '{"error": false, "statements": [{"node": {}, "named_param_map": []}]}',
        '{"error": false, "statements": [{"node": null, "named_param_map": []}], "more": 1}',
        '{"error": false, "statements": ' + "[" * 100_000,
        '{"error": true}',
    ],
)
def test_an_answer_that_is_none_of_the_engines_is_refused(answer: str) -> None:
    assert refused(answer).code.startswith("statement.")


def test_a_deep_tree_is_read_without_recursion(serialize: Serialize) -> None:
    tree = json.loads(serialize("SELECT 1 FROM s.t"))
    inner: Any = {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "query_location": 0, "value": {}}
    column = tree["statements"][0]["node"]["select_list"]
    for _ in range(240):  # each is two levels of JSON; the reader of JSON itself gives up at about a thousand
        inner = {
            "class": "CONJUNCTION",
            "type": "CONJUNCTION_AND",
            "alias": "",
            "query_location": 0,
            "children": [inner],
        }
    column[0] = inner
    check(json.dumps(tree), frozenset({T}))


def test_every_type_of_the_engine_is_sorted_and_no_other() -> None:
    rows = duckdb.connect().execute("SELECT type_name, logical_type FROM duckdb_types()").fetchall()
    assert {name.lower() for row in rows for name in row} == ALLOWED | REFUSED
    assert not ALLOWED & REFUSED
