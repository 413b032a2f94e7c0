"""The reference: what a shape shows of given rows, one row at a time, slow and obvious.

Owns the meaning of shapes; the compiler is tested against it. Must stay free of every cleverness, and must never serve a
request.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

from policies.canonical import canonical_text, comparable, plain
from policies.columntypes import ColumnType, Family
from policies.model import MaskKind, Op
from policies.shape import NULL, Alternative, CellMask, Condition, Every, Inverse, Shape, ShapeColumn, Some, Test

Row = Mapping[str, object]
HASH_HEX_DIGITS = 32


def evaluate(shape: Shape, rows: Iterable[Row], hash_key: bytes) -> list[dict[str, object]]:
    """The visible rows with masked cells. rows: column name -> value as DuckDB's Python client yields it."""
    shown = []
    for row in rows:
        covering = [[a for a in level.alternatives if covers(a, row)] for level in shape.levels]
        if all(covering):
            shown.append({column.name: _cell(column, row, covering, hash_key) for column in shape.columns})
    return shown


def covers(alternative: Alternative, row: Row) -> bool:
    """Whether the permit's whole filter IS TRUE for the row."""
    return alternative.rows is None or truth(alternative.rows, row) is True


def truth(condition: Condition, row: Row) -> bool | None:
    """Three-valued: None is unknown."""
    if isinstance(condition, Every):
        return _all_of([truth(item, row) for item in condition.items])
    if isinstance(condition, Some):
        inverted = _all_of([_inverse(truth(item, row)) for item in condition.items])
        return _inverse(inverted)
    if isinstance(condition, Inverse):
        return _inverse(truth(condition.item, row))
    return _test(condition, row[condition.column])


def _all_of(truths: Sequence[bool | None]) -> bool | None:
    if False in truths:
        return False
    return None if None in truths else True


def _inverse(value: bool | None) -> bool | None:
    return None if value is None else not value


def _test(test: Test, cell: object) -> bool | None:
    if test.op is Op.IS_NULL:
        return cell is None
    if test.op is Op.NOT_NULL:
        return cell is not None
    if cell is None:
        return None
    value = _ordered(comparable(cell))
    literals = [_ordered(literal.value) for literal in test.literals]
    if test.op is Op.IN:
        return value in literals
    if test.op is Op.NOT_IN:
        return value not in literals
    return _compare(test.op, value, literals[0])


def _ordered(value: object) -> object:
    """NaN equals itself and is greater than every other number, as in DuckDB; text orders by its UTF-8 bytes."""
    if isinstance(value, float):
        return (math.isnan(value), 0.0 if math.isnan(value) else value)
    return value.encode() if isinstance(value, str) else value


def _compare(op: Op, left: object, right: object) -> bool:
    if op is Op.EQ:
        return left == right
    if op is Op.NE:
        return left != right
    if op is Op.LT:
        return left < right  # type: ignore[operator,no-any-return] # both are of the column's one comparable type
    if op is Op.LE:
        return left <= right  # type: ignore[operator,no-any-return] # as above
    if op is Op.GT:
        return left > right  # type: ignore[operator,no-any-return] # as above
    return left >= right  # type: ignore[operator,no-any-return] # as above


def _cell(column: ShapeColumn, row: Row, covering: list[list[Alternative]], hash_key: bytes) -> object:
    levels = [
        _agreed(
            [a.mask(column.name) for a in alternatives], max(a.mask(column.name).kind.leniency for a in alternatives)
        )
        for alternatives in covering
    ]
    mask = _agreed(levels, min(level.kind.leniency for level in levels)) if levels else CellMask(MaskKind.CLEAR)
    value = row[column.name]
    value = None if value is None else comparable(value)
    return _masked(mask, value, column, hash_key)


def _agreed(masks: list[CellMask], leniency: int) -> CellMask:
    """The mask of that leniency; null where several of them differ in their parameters."""
    chosen = [mask for mask in masks if mask.kind.leniency == leniency]
    return chosen[0] if all(mask == chosen[0] for mask in chosen) else NULL


def _masked(mask: CellMask, value: object, column: ShapeColumn, hash_key: bytes) -> object:
    """The cell as shown; in a column whose result type is VARCHAR every cell is text."""
    if mask.kind in {MaskKind.DROP, MaskKind.NULL}:
        return None
    if mask.kind is MaskKind.FIXED:
        if mask.typed is None:
            return mask.fixed
        value = mask.typed.value
    if value is None:
        return None
    if mask.kind is MaskKind.HASH:
        text = canonical_text(value, column.type)
        return hashlib.sha256(hash_key + b"\0" + text.encode()).hexdigest()[:HASH_HEX_DIGITS]
    if mask.kind is MaskKind.YEAR:
        value = _first_of_year(value, column.type)
    if column.result != column.type:
        return canonical_text(value, column.type)
    return plain(value, column.type)


def _first_of_year(value: object, type_: ColumnType) -> object:
    shown = plain(value, type_)
    if isinstance(shown, dt.datetime):
        return comparable(shown.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0))
    assert isinstance(shown, dt.date)
    assert type_.family is Family.DATE
    return shown.replace(month=1, day=1)
