"""What can be wrong with a policy document.

    PolicyError                   .code "policy.slug", .sentence, .detail (JSON-able)
    +- PolicyInvalid              policy.invalid    the document is not a policy; .problems say where and why

Must never carry data values other than those the author wrote in the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a document.

    path: keys and indexes that lead to the value, empty for the document itself. line: within the text at `path`, from 1,
    where that text has several (the condition). hint: the likely fix.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None
    line: int | None = None

    @property
    def where(self) -> str:
        """The path as `obligations.rows.all.0.column`."""
        return ".".join(str(part) for part in self.path)

    def __str__(self) -> str:
        where = self.where + (f" line {self.line}" if self.line else "")
        return (f"{where}: " if where else "") + self.message + (f" ({self.hint})" if self.hint else "")

    def as_json(self) -> dict[str, object]:
        return {"path": self.where, "line": self.line, "message": self.message, "hint": self.hint}


class PolicyError(Exception):
    """Base of all. code: stable `policy.slug`; sentence: plain English, safe to show."""

    def __init__(self, code: str, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class PolicyInvalid(PolicyError):
    """The document is not a policy. problems: at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(
            "policy.invalid",
            "; ".join(str(problem) for problem in problems),
            problems=[problem.as_json() for problem in problems],
        )
        self.problems = tuple(problems)
