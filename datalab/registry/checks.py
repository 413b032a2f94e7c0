"""What a registered value must satisfy by itself, whatever else is registered.

Owns the checks of names, countries, texts and locations. Must never read storage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from catalog.errors import PathRefused
from catalog.names import name_problem
from catalog.paths import check_location
from datalab.registry.errors import Invalid

COUNTRY = re.compile(r"[A-Z]{2}")
ADDRESS = re.compile(r"https?://[^\s\x00-\x20\x7f\"<>\\^`{|}\ud800-\udfff]{1,2000}")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


class Problems:
    """Collects (field, problem) pairs, so that a caller learns all at once."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def add(self, field: str, problem: str) -> None:
        self._found.append((field, problem))

    def name(self, field: str, value: str, *, is_sql_name: bool = False) -> None:
        problem = name_problem(value, is_sql_name=is_sql_name)
        if problem is not None:
            self.add(field, problem)

    def country(self, field: str, value: str) -> None:
        if not COUNTRY.fullmatch(value):
            self.add(field, "must be an ISO 3166-1 alpha-2 code, such as DE")

    def countries(self, field: str, values: Iterable[str]) -> None:
        for index, value in enumerate(values):
            self.country(f"{field}.{index}", value)

    def line(self, field: str, value: str | None) -> None:
        """One line of text that must not be empty; None is fine."""
        if value is None:
            return
        if not value.strip():
            self.add(field, "must not be empty")
        self.characters(field, value)

    def address(self, field: str, value: str | None) -> None:
        """A web address; None is fine."""
        if value is not None and not ADDRESS.fullmatch(value):
            self.add(field, "must be an http or https address")

    def characters(self, field: str, value: str) -> None:
        if any(_is_forbidden(character) for character in value):
            self.add(field, "must not contain control characters")

    def text(self, field: str, value: Mapping[str, str], *, required: bool) -> None:
        """Text by language."""
        if required and not value:
            self.add(field, "needs at least one language, such as {en: ...}")
        for language, words in value.items():
            if not LANGUAGE.fullmatch(language):
                self.add(field, "languages are BCP 47 tags, such as en or pt-BR")
            self.line(f"{field}.{language}", words)

    def unique(self, field: str, values: Iterable[str]) -> None:
        listed = list(values)
        if len(set(listed)) != len(listed):
            self.add(field, "names something twice")

    def location(self, field: str, value: str) -> None:
        """A file or prefix relative to a storage."""
        try:
            check_location(value)
        except PathRefused as refused:
            self.add(field, refused.sentence)

    def raise_if_any(self) -> None:
        if self._found:
            raise Invalid(self._found)


def _is_forbidden(character: str) -> bool:
    """Control characters but line breaks and tabs; and lone surrogates, which no database stores."""
    return (
        (ord(character) < 32 and character not in "\n\r\t")
        or 0x7F <= ord(character) < 0xA0
        or "\ud800" <= character <= "\udfff"
    )
