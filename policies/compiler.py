"""The compiler: a shape becomes the SELECT that a worker makes a view of.

Owns every piece of SQL that policies cause. Its output must mean what the evaluator says, row by row; it names columns only
through the quoting module and writes literals only as `literals` made them.
"""

from __future__ import annotations

from policies.canonical import canonical_sql
from policies.columntypes import ColumnType, Family
from policies.model import MaskKind, Op
from policies.quoting import sql_name, sql_text
from policies.shape import (
    NULL,
    Alternative,
    CellMask,
    Condition,
    Every,
    Inverse,
    LevelShape,
    Shape,
    ShapeColumn,
    Some,
    Test,
    strictest,
)

HASH_KEY_BYTES = 32
_SOURCE = "source"

_OPERATORS = {
    Op.EQ: "=",
    Op.NE: "<>",
    Op.LT: "<",
    Op.LE: "<=",
    Op.GT: ">",
    Op.GE: ">=",
    Op.IN: "IN",
    Op.NOT_IN: "NOT IN",
}


def compile_view(shape: Shape, relation: str, hash_key: bytes) -> str:
    """The SELECT over `relation` that shows exactly what the shape allows.

    relation: trusted SQL that can follow FROM and has the version's columns, e.g. a call of `read_parquet`. hash_key: 32
    bytes; it stands in the text, so the text must be out of reach for the caller's SQL. ValueError for another length or a
    shape without columns.
    """
    if len(hash_key) != HASH_KEY_BYTES:
        raise ValueError(f"the hash key must have {HASH_KEY_BYTES} bytes")
    if not shape.columns:
        raise ValueError("a view needs at least one column")
    cells = ", ".join(f"{_cell(shape, column, hash_key)} AS {sql_name(column.name)}" for column in shape.columns)
    conditions = [_rows(level) for level in shape.levels if all(a.rows is not None for a in level.alternatives)]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {cells} FROM {relation} AS {_SOURCE}{where}"


def _rows(level: LevelShape) -> str:
    """True for the rows that some permit of the level covers.

    No IS TRUE is needed: in a WHERE of ANDs of ORs over whole filters, unknown counts as false already, and a bare
    comparison can be pushed down into the scan.
    """
    return "(" + " OR ".join(_condition(a.rows) for a in level.alternatives if a.rows is not None) + ")"


def _condition(condition: Condition) -> str:
    if isinstance(condition, Every):
        return "(" + " AND ".join(_condition(item) for item in condition.items) + ")"
    if isinstance(condition, Some):
        return "(" + " OR ".join(_condition(item) for item in condition.items) + ")"
    if isinstance(condition, Inverse):
        return f"(NOT {_condition(condition.item)})"
    return _test(condition)


def _test(test: Test) -> str:
    column = _column(test.column)
    if test.op is Op.IS_NULL:
        return f"({column} IS NULL)"
    if test.op is Op.NOT_NULL:
        return f"({column} IS NOT NULL)"
    operand = ", ".join(literal.sql for literal in test.literals)
    return f"({column} {_OPERATORS[test.op]} ({operand}))"


def _column(name: str) -> str:
    return f"{_SOURCE}.{sql_name(name)}"


def _cell(shape: Shape, column: ShapeColumn, hash_key: bytes) -> str:
    """The expression of one column: a mask where one is certain, else a CASE over the permits that cover the row."""
    branches: list[tuple[str | None, CellMask]] = [(None, CellMask(MaskKind.CLEAR))]
    for level in shape.levels:
        branches = [
            (_both(outer, inner), strictest(mask, other))
            for outer, mask in branches
            for inner, other in _branches(level, column.name)
        ]
    return _case([(condition, _masked(mask, column, hash_key)) for condition, mask in branches])


def _branches(level: LevelShape, column: str) -> list[tuple[str | None, CellMask]]:
    """The level's masks of a column in the order to try them, each with its condition; the last one's is None: else.

    Right for visible rows only, of which at least one alternative covers each.
    """
    choices = sorted(level.choices(column), key=lambda choice: -choice.mask(column).kind.leniency)
    branches: list[tuple[str | None, CellMask]] = []
    for kind in dict.fromkeys(choice.mask(column).kind for choice in choices):
        alike: dict[CellMask, list[Alternative]] = {}
        for choice in choices:
            if choice.mask(column).kind is kind:
                alike.setdefault(choice.mask(column), []).append(choice)
        branches += _alike_branches(alike)
    last = next((index for index, (condition, _) in enumerate(branches) if condition is None), len(branches) - 1)
    return [*branches[:last], (None, branches[last][1])]


def _alike_branches(alike: dict[CellMask, list[Alternative]]) -> list[tuple[str | None, CellMask]]:
    """Masks of one kind: each where only its own permits cover the row, null where permits that differ do."""
    if len(alike) == 1:
        mask, permits = next(iter(alike.items()))
        return [(_covered(permits), mask)]
    branches: list[tuple[str | None, CellMask]] = []
    for mask, permits in alike.items():
        others = _covered([a for other, rest in alike.items() if other != mask for a in rest])
        own = _covered(permits)
        if others is not None:
            branches.append((_both(own, f"NOT {others}"), mask))
    return [*branches, (_covered([a for permits in alike.values() for a in permits]), NULL)]


def _covered(permits: list[Alternative]) -> str | None:
    """Two-valued: true where one of the permits covers the row; None where one covers every row."""
    conditions = [f"({_condition(permit.rows)} IS TRUE)" for permit in permits if permit.rows is not None]
    return "(" + " OR ".join(conditions) + ")" if len(conditions) == len(permits) else None


def _both(one: str | None, other: str | None) -> str | None:
    return f"({one} AND {other})" if one and other else one or other


def _case(branches: list[tuple[str | None, str]]) -> str:
    """CASE over the branches, as short as it can be: what equals the branch after it needs no condition of its own."""
    *tried, (_, otherwise) = branches
    while tried and tried[-1][1] == otherwise:
        tried.pop()
    if not tried:
        return otherwise
    return "CASE " + " ".join(f"WHEN {condition} THEN {shown}" for condition, shown in tried) + f" ELSE {otherwise} END"


def _masked(mask: CellMask, column: ShapeColumn, hash_key: bytes) -> str:
    """The cell under one mask, in the column's result type."""
    cell = _column(column.name)
    if mask.kind in {MaskKind.DROP, MaskKind.NULL}:
        # The type's own text is never written: that of a nested type comes from the provider's file.
        return f"CASE WHEN false THEN {cell} END" if column.result == column.type else "CAST(NULL AS VARCHAR)"
    if mask.kind is MaskKind.HASH:
        salt = f"from_hex('{hash_key.hex()}00')"
        return f"substr(sha256({salt} || encode({canonical_sql(cell, column.type)})), 1, 32)"
    if mask.kind is MaskKind.FIXED:
        if mask.typed is None:
            return sql_text(mask.fixed or "")
        cell = mask.typed.sql
    if mask.kind is MaskKind.YEAR:
        cell = _first_of_year(cell, column.type)
    return cell if column.result == column.type else canonical_sql(cell, column.type)


def _first_of_year(cell: str, type_: ColumnType) -> str:
    """The first instant of the cell's year (UTC); NULL for infinity and where the type cannot carry it."""
    if type_.family is Family.TIMESTAMPTZ:
        utc = f"timezone('UTC', {cell})"
        return f"TRY(timezone('UTC', CAST(make_date(year({utc}), 1, 1) AS TIMESTAMP)))"
    return f"TRY(CAST(make_date(year({cell}), 1, 1) AS {type_.sql}))"
