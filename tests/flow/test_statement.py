"""The first gate: what a statement says, and what is wrong with one. The tricks are in `tests/hostile`."""

from __future__ import annotations

import logging

import pytest

from datalab.flow.errors import StatementRefused
from datalab.flow.sql.names import DatasetName
from datalab.flow.statement import Limits, Statement, parse, require_parameters


def refused(sql: str, limits: Limits | None = None) -> StatementRefused:
    with pytest.raises(StatementRefused) as refusal:
        parse(sql, limits=limits or Limits())
    return refusal.value


def test_a_statement_says_what_it_names() -> None:
    sql = 'SELECT upper(p.Name), $x FROM Health."Cohort" p JOIN energy.meters USING (id) WHERE p.id > $y'
    assert parse(sql) == Statement(
        sql=sql,
        datasets=(DatasetName("energy", "meters"), DatasetName("health", "cohort")),
        functions=frozenset({"upper"}),
        parameters=frozenset({"x", "y"}),
    )


def test_a_dataset_named_often_counts_once_and_the_engine_gets_it_folded() -> None:
    statement = parse("SELECT * FROM A.T, a.t x, (SELECT 1 FROM a.T) y")
    assert [str(name) for name in statement.datasets] == ["a.t"]
    assert statement.tables == {("", "a", "t")}


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT 1", set()),
        ("SELECT ?, ?", {"1", "2"}),
        ("SELECT $2, $1, $1", {"1", "2"}),
        ("SELECT $a, $B", {"a", "B"}),
        ("SELECT '?', $$ $a $$ -- $b", set()),
    ],
)
def test_placeholders_are_known_by_name(sql: str, parameters: set[str]) -> None:
    assert parse(sql).parameters == parameters


@pytest.mark.parametrize(
    ("sql", "params"), [("SELECT ?, ?", [1, None]), ("SELECT $a", {"a": 1}), ("SELECT 1", []), ("SELECT 1", {})]
)
def test_fitting_parameters_pass(sql: str, params: list[object] | dict[str, object]) -> None:
    require_parameters(parse(sql), params)


def test_parameters_that_do_not_fit_are_named() -> None:
    with pytest.raises(StatementRefused) as refusal:
        require_parameters(parse("SELECT $a, $b"), {"b": 1, "c": 2})
    assert refusal.value.code == "statement.parameters"
    assert refusal.value.detail == {"missing": ["a"], "surplus": ["c"]}
    assert "$a" in refusal.value.sentence
    assert "$c" in refusal.value.sentence


def test_a_syntax_error_has_a_place() -> None:
    error = refused("SELECT a\nFROM s.t WHERE (b = 1")
    assert (error.code, error.detail["line"]) == ("statement.syntax", 2)
    assert "line 2" in error.sentence


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("DESCRIBE s.t", "/schema"),
        ("SHOW TABLES", "/api/v1/datasets"),
        ("EXPLAIN SELECT 1", "/api/v1/explain"),
        ("INSERT INTO s.t VALUES (1)", "read-only"),
        ("COPY s.t TO 'x'", "Accept"),
    ],
)
def test_what_is_no_select_is_told_what_to_do_instead(sql: str, hint: str) -> None:
    error = refused(sql)
    assert error.code == "statement.not_select"
    assert sql.split(maxsplit=1)[0] in error.sentence
    assert hint in error.sentence


def test_each_limit_holds_exactly() -> None:
    limits = Limits(max_chars=20, max_tokens=8, max_nesting=2)
    assert parse("SELECT ((1))        ", limits=limits).datasets == ()
    assert refused("SELECT ((1))         ", limits).code == "statement.too_long"
    assert parse("SELECT 1, 2, 3, 4", limits=limits).datasets == ()
    assert refused("SELECT 1,2,3,4,5", limits).code == "statement.too_long"
    assert refused("SELECT (((1", limits).code == "statement.too_deep"
    assert refused("SELECT [{'a': (1", limits).code == "statement.too_deep"


def test_brackets_inside_quotes_and_comments_do_not_count_as_depth() -> None:
    assert parse(f"SELECT '{'(' * 100}' /* {'(' * 100} */", limits=Limits(max_nesting=1)).datasets == ()


def test_a_method_chain_may_be_used_often_but_not_over_long_operands() -> None:
    columns = ", ".join(f"c{number}.upper().trim()" for number in range(300))
    assert parse(f"SELECT {columns} FROM s.t").functions == {"upper", "trim"}
    long = " + ".join(["1"] * 600)
    assert refused(f"SELECT ({long}){'.abs()' * 30}").code == "statement.too_long"


def test_a_statement_is_parsed_once_if_it_is_short_and_refusals_are_not_remembered() -> None:
    sql = "SELECT * FROM remembered.statement"
    assert parse(sql) is parse(sql)
    long = sql + " -- " + "x" * 5000
    assert parse(long) == parse(long)
    assert parse(long) is not parse(long)
    assert refused("SELECT 1 FROM").code == refused("SELECT 1 FROM").code


def test_other_limits_are_not_answered_from_memory() -> None:
    sql = "SELECT ((((1))))"
    assert parse(sql).datasets == ()
    assert refused(sql, Limits(max_nesting=2)).code == "statement.too_deep"


def test_no_statement_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        parse("SELECT a->'$.x[', l[1] FROM s.t")
        refused("CALL secret_literal('x')")
        refused("SELECT 'secret_literal' FROM (SHOW x)")
    assert caplog.text == ""


def test_refusals_quote_no_more_than_a_name() -> None:
    name = "x" * 5000
    for sql in (f"SELECT {name}(1)", f"SELECT * FROM {name}", f"SELECT 1::{name}", f"SELECT * FROM a.b.{name}"):
        error = refused(sql)
        assert len(error.sentence) < 400
        assert len(str(dict(error.detail))) < 400
