"""Both corpora against both gates and a locked engine: what is hostile is never bound, what is honest runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest

from datalab.flow.errors import StatementRefused
from datalab.flow.parse import check
from datalab.flow.sql.nodes import read_query
from datalab.flow.statement import Statement, parse, require_parameters
from tests.hostile.corpus import Case, load

HOSTILE, ALLOWED = load("sql.yaml"), load("allowed.yaml")
Serialize = Callable[[str], str]


def of(*cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [case for part in cases for case in part], ids=lambda case: case.id)


def through_both_gates(case: Case, serialize: Serialize) -> Statement:
    statement = parse(case.sql)
    require_parameters(statement, case.params)
    check(serialize(case.sql), statement.tables)
    return statement


@of([case for case in HOSTILE if case.names is None])
def test_a_hostile_statement_is_refused_with_its_code(case: Case, serialize: Serialize) -> None:
    with pytest.raises(StatementRefused) as refusal:
        through_both_gates(case, serialize)
    assert refusal.value.code == case.code
    assert refusal.value.sentence.endswith((".", "?"))
    json.dumps(dict(refusal.value.detail))


@of([case for case in HOSTILE if case.names is not None and case.code != "statement.syntax"])
def test_both_gates_see_every_dataset_that_a_hostile_statement_names(case: Case, serialize: Serialize) -> None:
    statement = through_both_gates(case, serialize)
    assert tuple(str(name) for name in statement.datasets) == case.names


# The engine does not bind what nothing uses; the decision refuses these all the same.
UNUSED = {"hide-cte-unused"}


@of([case for case in HOSTILE if case.code == "decision.not_found" and case.id not in UNUSED])
def test_a_dataset_without_a_view_does_not_bind(case: Case, engine: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error):
        engine.execute(f"EXPLAIN {case.sql}")


@of(ALLOWED)
def test_an_honest_statement_passes_both_gates_and_runs(
    case: Case, serialize: Serialize, engine: duckdb.DuckDBPyConnection
) -> None:
    statement = through_both_gates(case, serialize)
    assert tuple(str(name) for name in statement.datasets) == case.names
    params: Any = case.params
    engine.execute(case.sql, params).to_arrow_table()


def test_each_line_of_the_corpora_has_a_name_of_its_own_and_a_fitting_expectation() -> None:
    for corpus in (HOSTILE, ALLOWED):
        assert [name for name, count in Counter(case.id for case in corpus).items() if count > 1] == []
    assert {case.expect for case in ALLOWED} == {"allowed"}
    for case in HOSTILE:
        assert case.expect in {"refused", "bounded", "allowed"}
        assert (case.expect == "refused") == bool(case.code and case.code.startswith(("statement.", "decision.")))
        assert case.names is not None or case.expect == "refused"


LITERALS = {"value", "values", "sample_size", "named_param_map", "qualified_exclude_list", "rename_list"}


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the engine's tree that is no part of a literal."""
    if isinstance(tree, dict):
        yield tree
        for key, value in tree.items():
            if key not in LITERALS or not is_literal(value):
                yield from nodes(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from nodes(item)


def is_literal(value: Any) -> bool:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict | list):
            return True
        if isinstance(item, dict) and item.keys() & {"is_null", "table", "key"}:
            return True
    return False


def trees(serialize: Serialize) -> Iterator[Any]:
    """The engine's tree of each honest statement; two of TPC-H's, whose rest has the same nodes."""
    for case in ALLOWED:
        if not case.id.startswith("tpch") or case.id in {"tpch-01", "tpch-22"}:
            yield json.loads(serialize(case.sql))["statements"][0]


def test_a_field_that_the_second_gate_does_not_know_is_refused_wherever_it_stands(serialize: Serialize) -> None:
    for tree in trees(serialize):
        read_query(tree)
        for node in list(nodes(tree)):
            node["from_a_later_engine"] = {"type": "BASE_TABLE"}
            with pytest.raises(StatementRefused):
                read_query(tree)
            del node["from_a_later_engine"]


def test_a_node_that_the_second_gate_does_not_know_is_refused_wherever_it_stands(serialize: Serialize) -> None:
    for tree in trees(serialize):
        for node in list(nodes(tree)):
            if "null_order" in node:
                continue  # its type is only a direction
            for key in {"class", "type"} & node.keys():
                was, node[key] = node[key], "FROM_A_LATER_ENGINE"
                with pytest.raises((StatementRefused, KeyError, TypeError)):  # `check` makes one of them
                    read_query(tree)
                node[key] = was
