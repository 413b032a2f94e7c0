"""The compiler against the reference evaluator, on real DuckDB, with random policies, data and queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from policies import decide as decide_module
from policies.columntypes import OPS, Family, column_type
from policies.compiler import compile_view
from policies.evaluator import evaluate
from policies.model import Action, Op
from policies.quoting import sql_name
from policies.shape import Shape
from tests.policies.world import (
    COLUMNS,
    KEY,
    VALUES,
    dataset,
    permit,
    rows_of,
    ruling,
    shape_of,
    table,
    texts,
    written,
)

SCOPES = ("dataset:health/cohort", "space:health", "federation", "lab:lab")


DENSE = {"id": "INTEGER", "name": "VARCHAR", "day": "DATE"}
"""Few columns and values, so that permits meet on the same cells."""


def _leaves(columns: Mapping[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    def leaf(name: str) -> st.SearchStrategy[dict[str, Any]]:
        type_ = column_type(columns[name])
        finite = [written(v) for v in VALUES[type_.sql] if not isinstance(v, float) or abs(v) < 1e301]
        value = st.sampled_from(finite[:3] if columns is DENSE else finite)

        def with_operand(op: Op) -> st.SearchStrategy[dict[str, Any]]:
            reference = {"column": name.swapcase() if name.isascii() else name, "op": op.value}
            if op.takes_nothing:
                return st.just(reference)
            operand = st.lists(value, min_size=1, max_size=3) if op.takes_list else value
            return operand.map(lambda chosen: reference | {"value": chosen})

        return st.sampled_from(sorted(OPS[type_.family])).flatmap(with_operand)

    return st.sampled_from(sorted(columns)).flatmap(leaf)


def _filters(columns: Mapping[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        _leaves(columns),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda items: {"all": items}),
            st.lists(inner, min_size=1, max_size=3).map(lambda items: {"any": items}),
            inner.map(lambda item: {"not": item}),
        ),
        max_leaves=5,
    )


def _masks(columns: Mapping[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    def mask(name: str) -> st.SearchStrategy[dict[str, Any]]:
        family = column_type(columns[name]).family
        kinds: list[dict[str, Any]] = [{"with": "null"}, {"with": "drop"}]
        if family is not Family.OTHER:
            kinds += [{"with": "hash"}, {"with": "fixed", "value": "x'\"\\"}, {"with": "fixed", "value": "y"}]
        if family in {Family.DATE, Family.TIMESTAMP, Family.TIMESTAMPTZ}:
            moment = written(VALUES[columns[name]][1])
            kinds += [{"with": "year"}, {"with": "year"}, {"with": "fixed", "value": moment}]
        if family in {Family.INTEGER, Family.DECIMAL, Family.FLOAT}:
            kinds += [{"with": "fixed", "value": 1}]
        return st.sampled_from(kinds).map(lambda kind: {"column": name} | kind)

    return st.sampled_from(sorted(columns)).flatmap(mask)


def _policies(columns: Mapping[str, str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    dense = columns is DENSE
    scopes = st.sampled_from(SCOPES[:2] if dense else SCOPES)
    listed = st.lists(st.sampled_from(sorted(columns)), min_size=2 if dense else 4, unique=True)
    masks = st.lists(_masks(columns), min_size=1, max_size=6)
    always = {"rows": _filters(columns), "masks": masks} if dense else {}
    some = {"columns": listed} | ({} if dense else {"rows": _filters(columns), "masks": masks})
    obligations = st.fixed_dictionaries(always, optional=some)
    drawn = st.lists(st.tuples(scopes, obligations), min_size=2 if dense else 1, max_size=5)
    return drawn.map(
        lambda permits: [
            permit(f"p{index}", scope if index else SCOPES[0], obligations=obligations)
            for index, (scope, obligations) in enumerate(permits)
        ]
    )


QUERIES = (
    "SELECT * FROM {t}",
    "SELECT count(*), min(COLUMNS(*)) FROM {t}",
    "SELECT * FROM {t} WHERE {c} IS NOT NULL ORDER BY {c}",
    "SELECT {c}, count(*) FROM {t} GROUP BY ALL",
    "SELECT a.{c}, b.{c} FROM {t} a JOIN {t} b ON a.{c} = b.{c}",
    "SELECT count(*) FROM {t} WHERE CAST({c} AS VARCHAR) LIKE '%1%' OR {c} IS NULL",
    "SELECT DISTINCT {c} FROM {t}",
    "SELECT {c}, row_number() OVER (ORDER BY CAST({c} AS VARCHAR), 1) FROM {t} WHERE {c} IS NULL",
    "WITH x AS (SELECT {c} FROM {t}) SELECT * FROM x UNION ALL SELECT * FROM x",
)

SOME = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


@given(documents=_policies(COLUMNS), rows=rows_of(COLUMNS), query=st.sampled_from(QUERIES), choice=st.integers(0, 100))
@SOME
def test_the_view_shows_what_the_evaluator_says_of_every_type(
    connection: duckdb.DuckDBPyConnection,
    documents: list[dict[str, Any]],
    rows: list[Mapping[str, object]],
    query: str,
    choice: int,
) -> None:
    _agree(connection, COLUMNS, documents, rows, query, choice)


@given(documents=_policies(DENSE), rows=rows_of(DENSE, 3), query=st.sampled_from(QUERIES), choice=st.integers(0, 100))
@MANY
def test_the_view_shows_what_the_evaluator_says_where_permits_meet(
    connection: duckdb.DuckDBPyConnection,
    documents: list[dict[str, Any]],
    rows: list[Mapping[str, object]],
    query: str,
    choice: int,
) -> None:
    _agree(connection, DENSE, documents, rows, query, choice)


def _agree(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, str],
    documents: list[dict[str, Any]],
    rows: list[Mapping[str, object]],
    query: str,
    choice: int,
) -> None:
    grants = ruling(documents, about=dataset(columns)).grants
    assume(Action.QUERY in grants)
    shape = grants[Action.QUERY].shape
    assert shape is not None
    table(connection, "raw", columns, rows)
    table(connection, "expected", shape.columns, evaluate(shape, rows, KEY))
    connection.execute(f"CREATE OR REPLACE VIEW shown AS {compile_view(shape, 'raw', KEY)}")
    column = sql_name(shape.columns[choice % len(shape.columns)].name)
    shown, expected = (texts(connection, query.format(t=name, c=column)) for name in ("shown", "expected"))
    assert shown == expected


@given(documents=_policies(DENSE), rows=rows_of(DENSE))
@MANY
def test_leaving_out_what_an_unrestricted_permit_covers_changes_no_answer(
    documents: list[dict[str, Any]], rows: list[Mapping[str, object]]
) -> None:
    documents[-1]["obligations"] = {}
    grants = ruling(documents, about=dataset(DENSE)).grants
    assume(Action.QUERY in grants)
    simplified = grants[Action.QUERY].shape
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decide_module, "_simplified", lambda alternatives: alternatives)
        whole = ruling(documents, about=dataset(DENSE)).grants[Action.QUERY].shape
    assert simplified is not None
    assert whole is not None
    plain = replace(whole, columns=simplified.columns)
    assert repr(evaluate(plain, rows, KEY)) == repr(evaluate(simplified, rows, KEY))


def test_a_single_permit_makes_no_case() -> None:
    shape = shape_of([permit(obligations={"masks": [{"column": "id", "with": "hash"}], "rows": _id_is(1)})])
    assert "CASE" not in compile_view(shape, "raw", KEY)


def test_a_bare_comparison_reaches_the_scan() -> None:
    shape = shape_of([permit(obligations={"rows": _id_is(1)})])
    assert compile_view(shape, "raw", KEY).endswith("WHERE ((source.\"id\" = (CAST('1' AS INTEGER))))")


def test_without_obligations_the_view_is_the_relation() -> None:
    assert "WHERE" not in compile_view(shape_of([permit()]), "raw", KEY)
    assert "CASE" not in compile_view(shape_of([permit()]), "raw", KEY)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        compile_view(shape_of([permit()]), "raw", KEY[:31])


def test_a_shape_without_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one column"):
        compile_view(Shape(levels=(), columns=()), "raw", KEY)


def _id_is(value: int) -> dict[str, Any]:
    return {"column": "id", "op": "eq", "value": value}


EXTREMES = {
    "DATE": ("5877642-06-25 (BC)", "5881580-07-10", "infinity", "-infinity"),
    "TIMESTAMP": ("290309-12-22 (BC) 00:00:00", "294247-01-10 04:00:54.775806", "infinity", "-infinity"),
    "TIMESTAMP_S": ("290309-12-22 (BC) 00:00:00", "294247-01-10 04:00:54", "infinity", "-infinity"),
    "TIMESTAMP_MS": ("290309-12-22 (BC) 00:00:00", "294247-01-10 04:00:54", "infinity", "-infinity"),
    "TIMESTAMP_NS": ("1677-09-22 00:00:00", "2262-04-11 23:47:16.854775806"),
    "TIMESTAMP WITH TIME ZONE": ("290308-12-23 (BC) 00:00:00+00", "294247-01-10 04:00:54+00", "infinity", "-infinity"),
}


@pytest.mark.parametrize(("type_", "text"), [(type_, text) for type_, texts in EXTREMES.items() for text in texts])
def test_no_mask_raises_on_the_ends_of_a_type(connection: duckdb.DuckDBPyConnection, type_: str, text: str) -> None:
    about = dataset({"x": type_})
    for kind in ({"with": "year"}, {"with": "hash"}):
        shape = shape_of([permit(obligations={"masks": [{"column": "x", **kind}]})], about=about)
        relation = f"(SELECT CAST('{text}' AS {type_}) AS x)"
        view = compile_view(shape, relation, KEY)
        found = connection.execute(f"SELECT typeof(x), CAST(x AS VARCHAR) FROM ({view})").fetchone()
        assert found is not None
        assert found[0] == shape.columns[0].result.sql
        if kind["with"] == "year" and found[1] is not None:
            assert "-01-01" in found[1] or "-12-31" in found[1]  # the session is west of UTC
