"""The engine's parse tree as JSON: which nodes a query may consist of, and what each names.

Owns a description of every node that is allowed, field by field. A node, a field or a value that is not described is
refused: a later engine can only make this gate stricter. Must never recurse: the tree is as deep as the caller's text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import fold
from datalab.flow.sql.names import VALUE_FUNCTIONS, require_plain
from datalab.flow.sql.types import require_type

Json: TypeAlias = Any
Scope: TypeAlias = frozenset[str]


@dataclass(slots=True)
class Found:
    """tables: as written, unqualified ones only where no CTE of that name is in scope. functions, relations: folded
    names of calls in expressions and in FROM.
    """

    tables: set[tuple[str, str, str]] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)
    frames: list[tuple[Json, Mapping[str, Kind], Scope]] = field(default_factory=list)


Visit: TypeAlias = Callable[[Json, Scope, Found], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A node: all its fields, those that hold one expression (or null), those that hold a list of them, the values
    that other fields must have, and what else is to be done with it.
    """

    fields: frozenset[str]
    one: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    fixed: tuple[tuple[str, Json], ...] = ()
    types: frozenset[str] = frozenset()
    visit: Visit | None = None


def read_query(statement: Json) -> Found:
    """Everything that one entry of `statements` names. Raises StatementRefused for an unknown node; KeyError,
    TypeError, ValueError or AttributeError for a shape that is none of the engine's.
    """
    found = Found()
    _push_query(statement, frozenset(), found)
    frames = found.frames
    while frames:
        node, kinds, scope = frames.pop()
        name = node["class"] if kinds is EXPRESSIONS else node["type"]
        kind = kinds.get(name)
        if kind is None or node.keys() != kind.fields:
            _refuse(name)
        if kind.types and node["type"] not in kind.types:
            _refuse(node["type"])
        for key, value in kind.fixed:
            if node[key] != value:
                _refuse(f"{name}.{key}")
        for key in kind.one:
            child = node[key]
            if child is not None:
                frames.append((child, EXPRESSIONS, scope))
        for key in kind.many:
            for child in node[key]:
                frames.append((child, EXPRESSIONS, scope))
        if kind.visit is not None:
            kind.visit(node, scope, found)
    return found


def _refuse(what: str) -> NoReturn:
    word = "".join(sign if sign.isalnum() else " " for sign in what.lower())[:63]
    raise StatementRefused("statement.unsupported", f"This part of SQL is not supported here: {word}.", part=word)


def _expect(node: Json, *fields: str) -> None:
    if node.keys() != set(fields):
        _refuse("unknown field")


def _push(items: Json, found: Found, kinds: Mapping[str, Kind], scope: Scope) -> None:
    found.frames.extend((item, kinds, scope) for item in items)


# Queries


def _push_query(statement: Json, scope: Scope, found: Found) -> None:
    _expect(statement, "node", "named_param_map")
    found.frames.append((statement["node"], QUERIES, scope))


def _enter(node: Json, scope: Scope, found: Found) -> Scope:
    """Queue the bodies of a WITH, each with what it may see, and the modifiers; the scope of the query itself."""
    _expect(node["cte_map"], "map")
    for entry in node["cte_map"]["map"]:
        _expect(entry, "key", "value")
        _expect(entry["value"], "aliases", "query", "materialized", "key_targets")
        require_plain(entry["key"])
        _push(entry["value"]["key_targets"], found, EXPRESSIONS, scope)
        _push_query(entry["value"]["query"], scope, found)
        scope |= {fold(entry["key"])}
    _push(node["modifiers"], found, MODIFIERS, scope)
    return scope


def _select(node: Json, scope: Scope, found: Found) -> None:
    scope = _enter(node, scope, found)
    found.frames.append((node["from_table"], RELATIONS, scope))
    _sample(node)
    for key in ("select_list", "group_expressions"):
        _push(node[key], found, EXPRESSIONS, scope)
    _push(
        [node[key] for key in ("where_clause", "having", "qualify") if node[key] is not None], found, EXPRESSIONS, scope
    )


def _set_operation(node: Json, scope: Scope, found: Found) -> None:
    scope = _enter(node, scope, found)
    _push((node["left"], node["right"]), found, QUERIES, scope)


def _recursive(node: Json, scope: Scope, found: Found) -> None:
    scope = _enter(node, scope, found)
    _push(node["key_targets"], found, EXPRESSIONS, scope)
    found.frames.append((node["left"], QUERIES, scope))
    found.frames.append((node["right"], QUERIES, scope | {fold(node["cte_name"])}))


def _orders(node: Json, scope: Scope, found: Found) -> None:
    for order in node["orders"]:
        _expect(order, "type", "null_order", "expression")
        found.frames.append((order["expression"], EXPRESSIONS, scope))


# Relations


def _base_table(node: Json, scope: Scope, found: Found) -> None:
    if node["at_clause"] is not None:
        raise StatementRefused(
            "statement.time_travel", "AT (...) is not supported. Choose a version with `versions` in the request."
        )
    _sample(node)
    name = (node["catalog_name"], node["schema_name"], node["table_name"])
    if any(name[:2]) or fold(name[2]) not in scope:
        found.tables.add(name)


def _join(node: Json, scope: Scope, found: Found) -> None:
    _sample(node)
    _push((node["left"], node["right"]), found, RELATIONS, scope)


def _values(node: Json, scope: Scope, found: Found) -> None:
    for row in node["values"]:
        _push(row, found, EXPRESSIONS, scope)


def _subquery(node: Json, scope: Scope, found: Found) -> None:
    if "sample" in node:
        _sample(node)
    _push_query(node["subquery"], scope, found)


def _table_function(node: Json, scope: Scope, found: Found) -> None:
    _sample(node)
    call = node["function"]
    if call["class"] != "FUNCTION" or call["schema"] or call["catalog"]:
        raise StatementRefused("statement.function", "Functions in FROM are called by their plain name.")
    found.relations.add(fold(call["function_name"]))
    _push(call["children"], found, EXPRESSIONS, scope)
    _call_options(call, scope, found)
    if call.keys() != EXPRESSIONS["FUNCTION"].fields or call["filter"] is not None:
        _refuse("table function")


def _pivot(node: Json, scope: Scope, found: Found) -> None:
    _sample(node)
    found.frames.append((node["source"], RELATIONS, scope))
    for pivot in node["pivots"]:
        _expect(pivot, "pivot_expressions", "unpivot_names", "entries", "pivot_enum")
        if pivot["pivot_enum"]:
            raise StatementRefused("statement.pivot", "PIVOT needs the values themselves: ON column IN (value, ...).")
        _push(pivot["pivot_expressions"], found, EXPRESSIONS, scope)
        for entry in pivot["entries"]:
            _expect(entry, "values", "star_expr", "alias")
            if entry["star_expr"] is not None:
                found.frames.append((entry["star_expr"], EXPRESSIONS, scope))


def _sample(node: Json) -> None:
    if node["sample"] is not None:
        _expect(node["sample"], "sample_size", "is_percentage", "method", "seed")


# Expressions


def _call_options(node: Json, scope: Scope, found: Found) -> None:
    _expect(node["order_bys"], "type", "orders")
    _orders(node["order_bys"], scope, found)


def _function(node: Json, scope: Scope, found: Found) -> None:
    found.functions.add(fold(node["function_name"]))
    _call_options(node, scope, found)


def _window(node: Json, scope: Scope, found: Found) -> None:
    found.functions.add(fold(node["function_name"]))
    _orders(node, scope, found)
    _orders({"orders": node["arg_orders"]}, scope, found)


def _column(node: Json, _scope: Scope, found: Found) -> None:
    names = node["column_names"]
    if len(names) == 1 and fold(names[0]) in VALUE_FUNCTIONS:
        found.functions.add(VALUE_FUNCTIONS[fold(names[0])])


def _case(node: Json, scope: Scope, found: Found) -> None:
    for check in node["case_checks"]:
        _expect(check, "when_expr", "then_expr")
        _push((check["when_expr"], check["then_expr"]), found, EXPRESSIONS, scope)


def _cast(node: Json, _scope: Scope, _found: Found) -> None:
    require_type(node["cast_type"])


def _star(node: Json, scope: Scope, found: Found) -> None:
    for entry in node["replace_list"]:
        _expect(entry, "key", "value")
        found.frames.append((entry["value"], EXPRESSIONS, scope))


def _subquery_expression(node: Json, scope: Scope, found: Found) -> None:
    _push_query(node["subquery"], scope, found)


def _kind(
    fields: str,
    *,
    base: str,
    one: str = "",
    many: str = "",
    fixed: Mapping[str, Json] | None = None,
    types: str = "",
    visit: Visit | None = None,
) -> Kind:
    return Kind(
        fields=frozenset([*base.split(), *fields.split(), *one.split(), *many.split()]),
        one=tuple(one.split()),
        many=tuple(many.split()),
        fixed=tuple((fixed or {}).items()),
        types=frozenset(types.split()),
        visit=visit,
    )


_E = "class type alias query_location"
_R = "type alias sample query_location"
_Q = "type modifiers cte_map"

EXPRESSIONS: Mapping[str, Kind] = {
    "BETWEEN": _kind("", base=_E, one="input lower upper"),
    "CASE": _kind("case_checks", base=_E, one="else_expr", visit=_case),
    "CAST": _kind("cast_type try_cast", base=_E, one="child", visit=_cast),
    "COLLATE": _kind("collation", base=_E, one="child"),
    "COLUMN_REF": _kind("column_names", base=_E, visit=_column),
    "COMPARISON": _kind("", base=_E, one="left right"),
    "CONJUNCTION": _kind("", base=_E, many="children"),
    "CONSTANT": _kind("value", base=_E),
    "FUNCTION": _kind(
        "function_name schema order_bys distinct is_operator export_state catalog",
        base=_E,
        one="filter",
        many="children",
        fixed={"export_state": False},
        visit=_function,
    ),
    "LAMBDA": _kind("", base=_E, one="lhs expr"),
    "OPERATOR": _kind(
        "",
        base=_E,
        many="children",
        types="ARRAY_CONSTRUCTOR ARRAY_EXTRACT ARRAY_SLICE COMPARE_IN COMPARE_NOT_IN GROUPING_FUNCTION "
        "OPERATOR_COALESCE OPERATOR_IS_NOT_NULL OPERATOR_IS_NULL OPERATOR_NOT OPERATOR_TRY OPERATOR_UNPACK "
        "STRUCT_EXTRACT",
    ),
    "PARAMETER": _kind("identifier", base=_E),
    "POSITIONAL_REFERENCE": _kind("index", base=_E),
    "STAR": _kind(
        "relation_name exclude_list replace_list columns qualified_exclude_list rename_list",
        base=_E,
        one="expr",
        visit=_star,
    ),
    "SUBQUERY": _kind("subquery_type subquery comparison_type", base=_E, one="child", visit=_subquery_expression),
    "WINDOW": _kind(
        "function_name schema catalog orders start end ignore_nulls exclude_clause distinct arg_orders",
        base=_E,
        one="start_expr end_expr offset_expr default_expr filter_expr",
        many="children partitions",
        visit=_window,
    ),
}

RELATIONS: Mapping[str, Kind] = {
    "BASE_TABLE": _kind("schema_name table_name column_name_alias catalog_name at_clause", base=_R, visit=_base_table),
    "EMPTY": _kind("", base=_R, fixed={"sample": None}),
    "EXPRESSION_LIST": _kind("expected_names expected_types values", base=_R, visit=_values),
    "JOIN": _kind(
        "left right join_type ref_type using_columns delim_flipped",
        base=_R,
        one="condition",
        many="duplicate_eliminated_columns",
        visit=_join,
    ),
    "PIVOT": _kind(
        "source unpivot_names pivots groups column_name_alias include_nulls", base=_R, many="aggregates", visit=_pivot
    ),
    "SUBQUERY": _kind("subquery column_name_alias", base=_R, visit=_subquery),
    "TABLE_FUNCTION": _kind("function column_name_alias with_ordinality", base=_R, visit=_table_function),
}

QUERIES: Mapping[str, Kind] = {
    "SELECT_NODE": _kind(
        "select_list from_table where_clause group_expressions group_sets aggregate_handling having sample qualify",
        base=_Q,
        visit=_select,
    ),
    "SET_OPERATION_NODE": _kind("setop_type left right setop_all", base=_Q, visit=_set_operation),
    "RECURSIVE_CTE_NODE": _kind("cte_name union_all left right aliases key_targets", base=_Q, visit=_recursive),
}

MODIFIERS: Mapping[str, Kind] = {
    "DISTINCT_MODIFIER": _kind("", base="type", many="distinct_on_targets"),
    "LIMIT_MODIFIER": _kind("", base="type", one="limit offset"),
    "LIMIT_PERCENT_MODIFIER": _kind("", base="type", one="limit offset"),
    "ORDER_MODIFIER": _kind("orders", base="type", visit=_orders),
}
