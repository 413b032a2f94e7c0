"""Shapes in words: what a caller will see, in sentences that need no knowledge of policies or SQL.

Owns the sentences. They say what the shape says and nothing else: claims and roles are already bound to values and columns,
so a caller reads their own country, not the rule that asked for it.
"""

from __future__ import annotations

from policies.model import MaskKind, Op
from policies.shape import Alternative, CellMask, Condition, Every, Inverse, LevelShape, Shape, Some, Test

_OPERATORS = {
    Op.EQ: "is",
    Op.NE: "is not",
    Op.LT: "is less than",
    Op.LE: "is at most",
    Op.GT: "is more than",
    Op.GE: "is at least",
    Op.IN: "is one of",
    Op.NOT_IN: "is none of",
    Op.IS_NULL: "is empty",
    Op.NOT_NULL: "is not empty",
}

_MASKS = {
    MaskKind.DROP: "empty",
    MaskKind.NULL: "empty",
    MaskKind.HASH: "a pseudonym (keyed hash)",
    MaskKind.YEAR: "the year only",
    MaskKind.CLEAR: "as stored",
}


def rows_in_words(shape: Shape) -> list[str]:
    """One sentence per level that hides rows; none: every row is visible."""
    return [
        f"{level.level}: rows where " + " or ".join(_rows(alternative) for alternative in level.alternatives)
        for level in shape.levels
        if all(alternative.rows is not None for alternative in level.alternatives)
    ]


def masks_in_words(shape: Shape, column: str) -> list[str]:
    """What changes in this column, one phrase per level and permit; none: it is shown as stored."""
    return [
        _phrase(level, choice, choice.mask(column))
        for level in shape.levels
        for choice in level.choices(column)
        if choice.mask(column).kind is not MaskKind.CLEAR
    ]


def _phrase(level: LevelShape, choice: Alternative, mask: CellMask) -> str:
    shown = repr(mask.fixed) if mask.kind is MaskKind.FIXED else _MASKS.get(mask.kind, mask.kind.value)
    where = f" where {_rows(choice)}" if choice.rows is not None and len(level.alternatives) > 1 else ""
    return f"{shown}{where}"


def _rows(alternative: Alternative) -> str:
    return _condition(alternative.rows) if alternative.rows is not None else "anything"


def _condition(condition: Condition) -> str:
    match condition:
        case Test(column=column, op=op, literals=literals):
            values = ", ".join(str(literal.value) for literal in literals)
            return f"{column} {_OPERATORS[op]} {values}".rstrip()
        case Every(items=items):
            return _joined(items, " and ")
        case Some(items=items):
            return _joined(items, " or ")
        case Inverse(item=item):
            return f"not ({_condition(item)})"


def _joined(items: tuple[Condition, ...], word: str) -> str:
    if len(items) == 1:
        return _condition(items[0])
    return word.join(f"({_condition(item)})" if isinstance(item, Every | Some) else _condition(item) for item in items)
