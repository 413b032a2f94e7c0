"""The catalogue's refusals: what a document, a name or a path must be, and is not.

    CatalogError             .code "catalog.slug", .sentence, .detail (JSON-able, safe to show)
    +- NameRefused           catalog.name       not an id, or a name that the engine keeps for itself
    +- PathRefused           catalog.path       a file name or location that could mean something else
    +- ValueRefused          catalog.value      a country, language, licence, address or text in the wrong form
    +- DocumentRefused       catalog.document   .detail["problems"]: [{"field", "problem"}]
    +- YamlRefused           catalog.yaml       not YAML that we read; .mark says where

Must never carry a secret: a refused value is quoted only where it is a name, a code or an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class CatalogError(Exception):
    """Base of all. code: stable `catalog.slug`; sentence: plain English, what is wrong and what to do."""

    def __init__(self, code: str, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class NameRefused(CatalogError):
    def __init__(self, sentence: str) -> None:
        super().__init__("catalog.name", sentence)


class PathRefused(CatalogError):
    def __init__(self, sentence: str) -> None:
        super().__init__("catalog.path", sentence)


class ValueRefused(CatalogError):
    def __init__(self, sentence: str) -> None:
        super().__init__("catalog.value", sentence)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document. path: the keys and list positions that lead to it."""

    path: tuple[str | int, ...]
    sentence: str

    @property
    def field(self) -> str:
        """The path in dots, as in `spaces.0`; empty for the document itself."""
        return ".".join(str(step) for step in self.path)


class DocumentRefused(CatalogError):
    """All that is wrong with one document."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        listed = [{"field": problem.field, "problem": problem.sentence} for problem in self.problems]
        super().__init__("catalog.document", "The document is not valid; see `problems`.", problems=listed)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class YamlRefused(CatalogError):
    def __init__(self, mark: Mark, sentence: str) -> None:
        super().__init__("catalog.yaml", sentence, file=mark.file, line=mark.line, column=mark.column)
        self.mark = mark
