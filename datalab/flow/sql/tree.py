"""The engine's parse tree as JSON: what each node names, and where its parts stand.

Owns the walk's steps and the scope of common table expressions. Must never recurse, as the tree is as deep as the caller's
text, nor pass over a part: `nodes.py` describes which fields there are, and what is not an expression is queued here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NoReturn, TypeAlias

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import fold
from datalab.flow.sql.names import VALUE_FUNCTIONS, require_plain
from datalab.flow.sql.types import require_type

Json: TypeAlias = Any
Scope: TypeAlias = frozenset[str]


class Place(Enum):
    """Where a node stands, which decides what it may be."""

    EXPRESSION = auto()
    CALL = auto()  # of a function in FROM
    RELATION = auto()
    QUERY = auto()
    MODIFIER = auto()


@dataclass(slots=True)
class Found:
    """tables: as written, unqualified ones only where no CTE of that name is in scope. functions, relations: folded
    names of calls in expressions and in FROM. frames: what is still to be read.
    """

    tables: set[tuple[str, str, str]] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)
    frames: list[tuple[Json, Place, Scope]] = field(default_factory=list)


def refuse(what: str) -> NoReturn:
    word = "".join(sign if sign.isalnum() else " " for sign in what.lower())[:63]
    raise StatementRefused("statement.unsupported", f"This part of SQL is not supported here: {word}.", part=word)


def expect(node: Json, *fields: str) -> None:
    if node.keys() != set(fields):
        refuse("unknown field")


def _push(items: Json, found: Found, place: Place, scope: Scope) -> None:
    found.frames.extend((item, place, scope) for item in items)


# Queries


def push_query(statement: Json, scope: Scope, found: Found) -> None:
    expect(statement, "node", "named_param_map")
    found.frames.append((statement["node"], Place.QUERY, scope))


def enter(node: Json, scope: Scope, found: Found) -> Scope:
    """Queue the bodies of a WITH, each with what it may see, and the modifiers; the scope of the query itself."""
    expect(node["cte_map"], "map")
    for entry in node["cte_map"]["map"]:
        expect(entry, "key", "value")
        expect(entry["value"], "aliases", "query", "materialized", "key_targets")
        require_plain(entry["key"])
        _push(entry["value"]["key_targets"], found, Place.EXPRESSION, scope)
        push_query(entry["value"]["query"], scope, found)
        scope |= {fold(entry["key"])}
    _push(node["modifiers"], found, Place.MODIFIER, scope)
    return scope


def select(node: Json, scope: Scope, found: Found) -> None:
    scope = enter(node, scope, found)
    found.frames.append((node["from_table"], Place.RELATION, scope))
    _sample(node)
    for key in ("select_list", "group_expressions"):
        _push(node[key], found, Place.EXPRESSION, scope)
    _push(
        [node[key] for key in ("where_clause", "having", "qualify") if node[key] is not None],
        found,
        Place.EXPRESSION,
        scope,
    )


def set_operation(node: Json, scope: Scope, found: Found) -> None:
    scope = enter(node, scope, found)
    _push((node["left"], node["right"]), found, Place.QUERY, scope)


def recursive(node: Json, scope: Scope, found: Found) -> None:
    scope = enter(node, scope, found)
    _push(node["key_targets"], found, Place.EXPRESSION, scope)
    found.frames.append((node["left"], Place.QUERY, scope))
    found.frames.append((node["right"], Place.QUERY, scope | {fold(node["cte_name"])}))


def orders(node: Json, scope: Scope, found: Found) -> None:
    for order in node["orders"]:
        expect(order, "type", "null_order", "expression")
        found.frames.append((order["expression"], Place.EXPRESSION, scope))


# Relations


def base_table(node: Json, scope: Scope, found: Found) -> None:
    if node["at_clause"] is not None:
        raise StatementRefused(
            "statement.time_travel", "AT (...) is not supported. Choose a version with `versions` in the request."
        )
    _sample(node)
    name = (node["catalog_name"], node["schema_name"], node["table_name"])
    if any(name[:2]) or fold(name[2]) not in scope:
        found.tables.add(name)


def join(node: Json, scope: Scope, found: Found) -> None:
    _sample(node)
    _push((node["left"], node["right"]), found, Place.RELATION, scope)


def values(node: Json, scope: Scope, found: Found) -> None:
    for row in node["values"]:
        _push(row, found, Place.EXPRESSION, scope)


def subquery(node: Json, scope: Scope, found: Found) -> None:
    if "sample" in node:
        _sample(node)
    push_query(node["subquery"], scope, found)


def table_function(node: Json, scope: Scope, found: Found) -> None:
    _sample(node)
    if node["function"]["schema"] or node["function"]["catalog"]:
        raise StatementRefused("statement.function", "Functions in FROM are called by their plain name.")
    found.frames.append((node["function"], Place.CALL, scope))


def pivot(node: Json, scope: Scope, found: Found) -> None:
    _sample(node)
    found.frames.append((node["source"], Place.RELATION, scope))
    for pivot in node["pivots"]:
        expect(pivot, "pivot_expressions", "unpivot_names", "entries", "pivot_enum")
        if pivot["pivot_enum"]:
            raise StatementRefused("statement.pivot", "PIVOT needs the values themselves: ON column IN (value, ...).")
        _push(pivot["pivot_expressions"], found, Place.EXPRESSION, scope)
        for entry in pivot["entries"]:
            expect(entry, "values", "star_expr", "alias")
            if entry["star_expr"] is not None:
                found.frames.append((entry["star_expr"], Place.EXPRESSION, scope))


def _sample(node: Json) -> None:
    if node["sample"] is not None:
        expect(node["sample"], "sample_size", "is_percentage", "method", "seed")


# Expressions


def call_options(node: Json, scope: Scope, found: Found) -> None:
    expect(node["order_bys"], "type", "orders")
    if node["order_bys"]["type"] != "ORDER_MODIFIER":
        refuse("order")
    orders(node["order_bys"], scope, found)


def call(node: Json, scope: Scope, found: Found) -> None:
    found.functions.add(fold(node["function_name"]))
    call_options(node, scope, found)


def relation_call(node: Json, scope: Scope, found: Found) -> None:
    found.relations.add(fold(node["function_name"]))
    call_options(node, scope, found)


def window(node: Json, scope: Scope, found: Found) -> None:
    found.functions.add(fold(node["function_name"]))
    orders(node, scope, found)
    orders({"orders": node["arg_orders"]}, scope, found)


def column(node: Json, _scope: Scope, found: Found) -> None:
    names = node["column_names"]
    if len(names) == 1 and fold(names[0]) in VALUE_FUNCTIONS:
        found.functions.add(VALUE_FUNCTIONS[fold(names[0])])


def case(node: Json, scope: Scope, found: Found) -> None:
    for check in node["case_checks"]:
        expect(check, "when_expr", "then_expr")
        _push((check["when_expr"], check["then_expr"]), found, Place.EXPRESSION, scope)


def cast(node: Json, _scope: Scope, _found: Found) -> None:
    require_type(node["cast_type"])


def star(node: Json, scope: Scope, found: Found) -> None:
    for entry in node["replace_list"]:
        expect(entry, "key", "value")
        found.frames.append((entry["value"], Place.EXPRESSION, scope))


def subquery_expression(node: Json, scope: Scope, found: Found) -> None:
    push_query(node["subquery"], scope, found)
