"""What can go wrong with a directory of documents.

    ApplyError
    +- ApplyRefused     nothing was written; .found: everything that is wrong, each with its place
    +- ApplyFailed      the gateway refused a step; .found: where and why; the steps before it stand

Must never carry a secret: places, names and sentences only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from catalog.errors import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing wrong. field: the path in the document, in dots. hint: the likely fix."""

    mark: Mark
    sentence: str
    field: str = ""
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.mark}: {self.field}: " if self.field else f"{self.mark}: "
        return where + self.sentence + (f" ({self.hint})" if self.hint else "")

    def plain(self) -> dict[str, object]:
        return {
            "file": self.mark.file,
            "line": self.mark.line,
            "column": self.mark.column,
            "field": self.field,
            "problem": self.sentence,
            "hint": self.hint,
        }


class ApplyError(Exception):
    def __init__(self, found: Iterable[Found]) -> None:
        self.found = tuple(sorted(found, key=lambda one: (one.mark.file, one.mark.line, one.mark.column)))
        super().__init__("; ".join(map(str, self.found)))


class ApplyRefused(ApplyError):
    pass


class ApplyFailed(ApplyError):
    pass
