"""The shape of an answer: which rows and what of each cell a caller may see, free of claims and roles.

Owns the value that `decide` yields and that evaluator and compiler both read. Everything in it is bound to the columns of
one version; it must never need the policy documents again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.columntypes import VARCHAR, ColumnType
from policies.literals import Literal
from policies.model import Level, MaskKind, Op


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison of a column (its exact name) with literals of its type: one, several (in, not_in) or none."""

    column: str
    type: ColumnType
    op: Op
    literals: tuple[Literal, ...] = ()


@dataclass(frozen=True, slots=True)
class Every:
    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Inverse:
    item: Condition


Condition = Test | Every | Some | Inverse


@dataclass(frozen=True, slots=True)
class CellMask:
    """fixed: what `fixed` shows; typed: its literal of the column's type, None if it only fits as text."""

    kind: MaskKind
    fixed: str | None = None
    typed: Literal | None = None

    @property
    def keeps_type(self) -> bool:
        if self.kind is MaskKind.FIXED:
            return self.typed is not None
        return self.kind is not MaskKind.HASH


CLEAR = CellMask(MaskKind.CLEAR)
NULL = CellMask(MaskKind.NULL)
DROP = CellMask(MaskKind.DROP)


def strictest(one: CellMask, other: CellMask) -> CellMask:
    """The stricter of two masks of one cell; null where they are of one kind and differ."""
    if one.kind is not other.kind:
        return min(one, other, key=lambda mask: mask.kind.leniency)
    return one if one == other else NULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """What one permit shows. rows: None covers every row. masks: by exact column name; absent is clear."""

    policy: str
    rows: Condition | None = None
    masks: Mapping[str, CellMask]

    def mask(self, column: str) -> CellMask:
        return self.masks.get(column, CLEAR)

    @property
    def restricts_nothing(self) -> bool:
        return self.rows is None and not self.masks


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelShape:
    """The alternatives of one level, at least one. Where one restricts nothing, it is the only one kept."""

    level: Level
    alternatives: tuple[Alternative, ...]

    def choices(self, column: str) -> tuple[Alternative, ...]:
        """The alternatives whose mask of `column` can be the least strict for some row.

        A permit that covers every row makes stricter masks of its level irrelevant for this column.
        """
        floor = max(
            (alternative.mask(column).kind.leniency for alternative in self.alternatives if alternative.rows is None),
            default=0,
        )
        return tuple(a for a in self.alternatives if a.mask(column).kind.leniency >= floor)

    def drops(self, column: str) -> bool:
        return all(alternative.mask(column).kind is MaskKind.DROP for alternative in self.alternatives)


@dataclass(frozen=True, slots=True)
class ShapeColumn:
    """type: as stored. result: as shown."""

    name: str
    type: ColumnType
    result: ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """levels: those that bind; none restricts nothing. columns: the visible ones, in the version's order."""

    levels: tuple[LevelShape, ...]
    columns: tuple[ShapeColumn, ...]

    @property
    def filters(self) -> bool:
        """Whether a row of the dataset may be hidden."""
        return any(all(a.rows is not None for a in level.alternatives) for level in self.levels)


def visible_columns(levels: tuple[LevelShape, ...], columns: Mapping[str, ColumnType]) -> tuple[ShapeColumn, ...]:
    """What is left of `columns` (exact name -> type): one is dropped only if every permit of some level drops it."""
    visible = []
    for name, type_ in columns.items():
        if any(level.drops(name) for level in levels):
            continue
        masks = [choice.mask(name) for level in levels for choice in level.choices(name)]
        visible.append(ShapeColumn(name, type_, type_ if all(mask.keeps_type for mask in masks) else VARCHAR))
    return tuple(visible)
