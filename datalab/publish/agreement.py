"""Whether files have one schema, and if not, which file differs and how, in words.

Owns the comparison of column lists as DuckDB sees them: names, types and order. Whether a column may be NULL may differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datalab.publish.footer import shown


@dataclass(frozen=True, slots=True)
class TableSchema:
    """columns: (name, DuckDB type) in order; nullable: for each, whether it may be NULL. arrow: Arrow IPC schema message."""

    columns: tuple[tuple[str, str], ...]
    nullable: tuple[bool, ...]
    arrow: bytes


def distinct(of_files: Sequence[TableSchema]) -> list[TableSchema]:
    """The schemas that occur, each object once, in the order of their first file. Files alike share one object."""
    return list({id(schema): schema for schema in of_files}.values())


def reference(of_files: Sequence[TableSchema]) -> TableSchema:
    """The schema that is the rule: the one most files have, the first of those; at least one file."""
    counts = Counter(map(id, of_files))
    files: Counter[tuple[tuple[str, str], ...]] = Counter()
    for schema in distinct(of_files):
        files[schema.columns] += counts[id(schema)]
    most = max(files.values())
    return next(schema for schema in distinct(of_files) if files[schema.columns] == most)


def difference(schema: TableSchema, rule: TableSchema) -> str | None:
    """How a file's schema differs from the others', as the end of a sentence; None: it does not."""
    if schema.columns == rule.columns:
        return None
    mine, theirs = dict(schema.columns), dict(rule.columns)
    folded = {name.casefold(): name for name in theirs}
    for name, type_ in schema.columns:
        if name not in theirs:
            elsewhere = folded.get(name.casefold())
            if elsewhere is not None:
                return f"column {shown(name)} is written {shown(elsewhere)} elsewhere"
            return f"column {shown(name)} is not in the other files"
        if theirs[name] != type_:
            return f"column {shown(name)} is {_cut(type_)}, elsewhere {_cut(theirs[name])}"
    for name, type_ in rule.columns:
        if name not in mine:
            return f"column {shown(name)} is missing, elsewhere it is {_cut(type_)}"
    return _order(tuple(mine), tuple(theirs))


def _order(mine: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    position = next(index for index, name in enumerate(mine) if theirs[index] != name)
    return (
        f"column {position + 1} is {shown(mine[position])}, elsewhere {shown(theirs[position])}: "
        "the order of columns must be the same"
    )


def _cut(type_: str) -> str:
    return type_ if len(type_) <= 80 else type_[:77] + "..."
