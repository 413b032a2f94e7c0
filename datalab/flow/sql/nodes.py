"""The engine's parse tree as JSON: which nodes a query may consist of, and what each names.

Owns a description of every node that is allowed, field by field. A node, a field or a value that is not described is
refused: a later engine can only make this gate stricter. Must never recurse: the tree is as deep as the caller's text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from datalab.flow.sql import tree
from datalab.flow.sql.tree import Found, Json, Place, Scope

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
    tree.push_query(statement, frozenset(), found)
    frames = found.frames
    while frames:
        node, place, scope = frames.pop()
        kind = _known(node, place)
        for key in kind.one:
            child = node[key]
            if child is not None:
                frames.append((child, Place.EXPRESSION, scope))
        for key in kind.many:
            for child in node[key]:
                frames.append((child, Place.EXPRESSION, scope))
        if kind.visit is not None:
            kind.visit(node, scope, found)
    return found


def _known(node: Json, place: Place) -> Kind:
    """What is known of a node; refuses one that is not exactly as described."""
    name = node["class"] if place is Place.EXPRESSION or place is Place.CALL else node["type"]
    kind = _KINDS[place].get(name)
    if kind is None or node.keys() != kind.fields:
        tree.refuse(name)
    if kind.types and node["type"] not in kind.types:
        tree.refuse(node["type"])
    for key, value in kind.fixed:
        if node[key] != value:
            tree.refuse(f"{name} {key}")
    return kind


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

_CALL = "function_name schema order_bys distinct is_operator export_state catalog"
_STATELESS = {"export_state": False}

_EXPRESSIONS: Mapping[str, Kind] = {
    "BETWEEN": _kind("", base=_E, types="COMPARE_BETWEEN", one="input lower upper"),
    "CASE": _kind("case_checks", base=_E, types="CASE_EXPR", one="else_expr", visit=tree.case),
    "CAST": _kind("cast_type try_cast", base=_E, types="OPERATOR_CAST", one="child", visit=tree.cast),
    "COLLATE": _kind("collation", base=_E, types="COLLATE", one="child"),
    "COLUMN_REF": _kind("column_names", base=_E, types="COLUMN_REF", visit=tree.column),
    "COMPARISON": _kind(
        "",
        base=_E,
        types="COMPARE_DISTINCT_FROM COMPARE_EQUAL COMPARE_GREATERTHAN COMPARE_GREATERTHANOREQUALTO COMPARE_LESSTHAN "
        "COMPARE_LESSTHANOREQUALTO COMPARE_NOTEQUAL COMPARE_NOT_DISTINCT_FROM",
        one="left right",
    ),
    "CONJUNCTION": _kind("", base=_E, types="CONJUNCTION_AND CONJUNCTION_OR", many="children"),
    "CONSTANT": _kind("value", base=_E, types="VALUE_CONSTANT"),
    "FUNCTION": _kind(
        f"{_CALL} filter", base=_E, types="FUNCTION", one="filter", many="children", fixed=_STATELESS, visit=tree.call
    ),
    "LAMBDA": _kind("", base=_E, types="LAMBDA", one="lhs expr"),
    "OPERATOR": _kind(
        "",
        base=_E,
        many="children",
        types="ARRAY_CONSTRUCTOR ARRAY_EXTRACT ARRAY_SLICE COMPARE_IN COMPARE_NOT_IN GROUPING_FUNCTION "
        "OPERATOR_COALESCE OPERATOR_IS_NOT_NULL OPERATOR_IS_NULL OPERATOR_NOT OPERATOR_TRY OPERATOR_UNPACK "
        "STRUCT_EXTRACT",
    ),
    "PARAMETER": _kind("identifier", base=_E, types="VALUE_PARAMETER"),
    "POSITIONAL_REFERENCE": _kind("index", base=_E, types="POSITIONAL_REFERENCE"),
    "STAR": _kind(
        "relation_name exclude_list replace_list columns qualified_exclude_list rename_list",
        base=_E,
        types="STAR",
        one="expr",
        visit=tree.star,
    ),
    "SUBQUERY": _kind(
        "subquery_type subquery comparison_type", base=_E, types="SUBQUERY", one="child", visit=tree.subquery_expression
    ),
    "WINDOW": _kind(
        "function_name schema catalog orders start end ignore_nulls exclude_clause distinct arg_orders",
        base=_E,
        types="WINDOW_AGGREGATE WINDOW_CUME_DIST WINDOW_FILL WINDOW_FIRST_VALUE WINDOW_LAG WINDOW_LAST_VALUE WINDOW_LEAD "
        "WINDOW_NTH_VALUE WINDOW_NTILE WINDOW_PERCENT_RANK WINDOW_RANK WINDOW_RANK_DENSE WINDOW_ROW_NUMBER",
        one="start_expr end_expr offset_expr default_expr filter_expr",
        many="children partitions",
        visit=tree.window,
    ),
}

_CALLS: Mapping[str, Kind] = {
    "FUNCTION": _kind(
        f"{_CALL} filter",
        base=_E,
        types="FUNCTION",
        many="children",
        fixed={**_STATELESS, "filter": None},
        visit=tree.relation_call,
    ),
}

_RELATIONS: Mapping[str, Kind] = {
    "BASE_TABLE": _kind(
        "schema_name table_name column_name_alias catalog_name at_clause", base=_R, visit=tree.base_table
    ),
    "EMPTY": _kind("", base=_R, fixed={"sample": None}),
    "EXPRESSION_LIST": _kind("expected_names expected_types values", base=_R, visit=tree.values),
    "JOIN": _kind(
        "left right join_type ref_type using_columns delim_flipped",
        base=_R,
        one="condition",
        many="duplicate_eliminated_columns",
        visit=tree.join,
    ),
    "PIVOT": _kind(
        "source unpivot_names pivots groups column_name_alias include_nulls",
        base=_R,
        many="aggregates",
        visit=tree.pivot,
    ),
    "SUBQUERY": _kind("subquery column_name_alias", base=_R, visit=tree.subquery),
    "TABLE_FUNCTION": _kind("function column_name_alias with_ordinality", base=_R, visit=tree.table_function),
}

_QUERIES: Mapping[str, Kind] = {
    "SELECT_NODE": _kind(
        "select_list from_table where_clause group_expressions group_sets aggregate_handling having sample qualify",
        base=_Q,
        visit=tree.select,
    ),
    "SET_OPERATION_NODE": _kind("setop_type left right setop_all", base=_Q, visit=tree.set_operation),
    "RECURSIVE_CTE_NODE": _kind("cte_name union_all left right aliases key_targets", base=_Q, visit=tree.recursive),
}

_MODIFIERS: Mapping[str, Kind] = {
    "DISTINCT_MODIFIER": _kind("", base="type", many="distinct_on_targets"),
    "LIMIT_MODIFIER": _kind("", base="type", one="limit offset"),
    "LIMIT_PERCENT_MODIFIER": _kind("", base="type", one="limit offset"),
    "ORDER_MODIFIER": _kind("orders", base="type", visit=tree.orders),
}

_KINDS: Mapping[Place, Mapping[str, Kind]] = {
    Place.EXPRESSION: _EXPRESSIONS,
    Place.CALL: _CALLS,
    Place.RELATION: _RELATIONS,
    Place.QUERY: _QUERIES,
    Place.MODIFIER: _MODIFIERS,
}
