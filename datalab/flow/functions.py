"""Which of the engine's functions a statement may call: the allow-list that both gates read.

Owns `functions.tsv`, where every function of the pinned engine is sorted once, with the reason of each refusal. Must
never let an unlisted name pass: what the list does not know is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from datalab.flow.errors import StatementRefused

_EXPRESSION_KINDS = frozenset({"scalar", "aggregate", "macro"})
_RELATION_KINDS = frozenset({"table", "table_macro"})
# The engine lists `unnest` as a table function only, its parser also takes it among expressions.
_ALSO_IN_EXPRESSIONS = frozenset({"unnest"})

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "catalog": "it describes the engine's catalogue",
        "identity": "it names the engine's own session, never the caller",
        "internal": "it serves the engine itself",
        "logs": "it shows the engine's logs",
        "other_name": "what it does has another name here",
        "pragma": "it belongs to a PRAGMA statement",
        "raises": "it only stops a statement, and its text would never be shown",
        "reads_files": "it reads files by name; query datasets as space.name instead",
        "reads_memory": "it reads the memory of the engine's process",
        "resource": "it only waits",
        "runs_code": "it calls back into the engine's process",
        "runs_sql": "it runs SQL, or names a table, that is given as text",
        "secrets": "it shows which credentials the engine holds",
        "settings": "it shows or changes the engine's settings",
        "statistics": "it reads stored statistics, which also describe rows that a policy may hide",
        "unsafe_type": "values of type VARIANT are not supported",
        "writes": "it writes outside the result",
    }
)
"""Reason class of a refusal -> the end of a sentence that begins with 'The function ... may not be called:'."""


@dataclass(frozen=True, slots=True)
class Function:
    """One line of the list. kind: as `duckdb_functions()` says. reason, note: None where it is allowed and obvious."""

    name: str
    kind: str
    allowed: bool
    reason: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Functions:
    """The list by where a call stands. refused: folded name -> its line, for the sentence of a refusal."""

    lines: tuple[Function, ...]
    expressions: frozenset[str]
    relations: frozenset[str]
    refused: Mapping[str, Function]

    def require(self, name: str, *, relation: bool) -> None:
        """Refuse a call of `name` (any case) that is not allowed where it stands.

        relation: the call stands in FROM. Raises StatementRefused `statement.function` (with the reason class in
        `detail`) or `statement.unknown_function` (with up to three similar names).
        """
        folded = fold(name)
        if folded in (self.relations if relation else self.expressions):
            return
        self.refuse(folded, relation=relation)

    def refuse(self, folded: str, *, relation: bool) -> NoReturn:
        shown = folded[:63]
        line = self.refused.get(folded)
        if line is not None and line.reason is not None:
            raise StatementRefused(
                "statement.function",
                f"The function {shown} may not be called: {_why(line)}.",
                function=shown,
                reason=line.reason,
            )
        if folded in self.expressions | self.relations:
            place = "in FROM" if relation else "outside FROM"
            raise StatementRefused(
                "statement.function",
                f"The function {shown} may not be called {place}.",
                function=shown,
                reason="place",
            )
        similar = difflib.get_close_matches(shown, self.relations if relation else self.expressions, n=3, cutoff=0.75)
        hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
        raise StatementRefused(
            "statement.unknown_function",
            f"There is no function {shown}.{hint}",
            function=shown,
            similar=similar,
        )


def _why(line: Function) -> str:
    if line.reason == "other_name" and line.note is not None:
        return line.note
    return REASONS[line.reason or "internal"]


def fold(name: str) -> str:
    """The form in which the engine compares names: A to Z lowered, every other character as it is."""
    return name.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@cache
def load() -> Functions:
    """The list beside this module. Read once per process."""
    text = Path(__file__).with_name("functions.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")][1:]
    lines = tuple(
        Function(
            name=name,
            kind=kind,
            allowed={"allowed": True, "refused": False}[verdict],
            reason=None if reason == "-" else reason,
            note=None if note == "-" else note,
        )
        for name, kind, verdict, reason, note in rows
    )
    allowed = [line for line in lines if line.allowed]
    return Functions(
        lines=lines,
        expressions=_ALSO_IN_EXPRESSIONS | {fold(line.name) for line in allowed if line.kind in _EXPRESSION_KINDS},
        relations=frozenset(fold(line.name) for line in allowed if line.kind in _RELATION_KINDS),
        refused=MappingProxyType({fold(line.name): line for line in lines if not line.allowed}),
    )
