"""The content that ships with the gateway: AI factories, data spaces, and the sectors by country.

Owns the reading of `entries/`, by path and checked like any other document. Must never derive one table from another: each
says what its source says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from catalog.documents import AiFactoryDocument, DataSpaceDocument
from catalog.entities import AiFactory, DataSpace
from catalog.fields import Country, Id, Part, Several, Title
from catalog.yaml import load

ENTRIES = Path(__file__).with_name("entries")
AI_FACTORIES = ENTRIES / "ai_factories.yaml"
DATA_SPACES = ENTRIES / "data_spaces.yaml"

TO_EU = {"GR": "EL", "GB": "UK"}
"""ISO 3166-1 codes for which the EU institutions write another, to show next to texts of theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectorRow:
    """A row of the figure of section 1.1 of the action plan. countries: ISO 3166-1 alpha-2."""

    sector: str
    title: Mapping[str, str]
    countries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryGroup:
    """Countries that belong to something, as of a day: membership changes. countries: ISO 3166-1 alpha-2."""

    title: str
    as_of: date
    source: str
    countries: frozenset[str]


class _Row(Part):
    sector: Id
    title: Title
    countries: Several[Country]


class _Matrix(Part):
    printed: Several[str]
    rows: Several[_Row]


class _Group(Part):
    title: str
    as_of: date = Field(strict=False)
    source: str
    countries: Several[Country]


@cache
def ai_factories() -> tuple[AiFactory, ...]:
    """The 13 of the annex, in its order; the first seven are those of the first call."""
    return tuple(AiFactoryDocument.parse(fields).entity() for fields in _documents(AI_FACTORIES, "ai_factory"))


@cache
def data_spaces() -> tuple[DataSpace, ...]:
    """The common European data spaces, without operators."""
    return tuple(DataSpaceDocument.parse(fields).entity() for fields in _documents(DATA_SPACES, "data_space"))


@cache
def sector_matrix() -> tuple[SectorRow, ...]:
    """The sectors in the order of the figure, each with the countries that it marks."""
    (value,) = _values(ENTRIES / "sector_matrix.yaml")
    return tuple(SectorRow(**dict(row)) for row in _Matrix.model_validate(value).rows)


@cache
def country_groups() -> Mapping[str, CountryGroup]:
    (value,) = _values(ENTRIES / "country_groups.yaml")
    groups = {str(name): _Group.model_validate(fields) for name, fields in value.items()}
    return {
        name: CountryGroup(
            title=group.title, as_of=group.as_of, source=group.source, countries=frozenset(group.countries)
        )
        for name, group in groups.items()
    }


def _values(file: Path) -> list[dict[str, Any]]:
    values = [document.value for document in load(file.read_bytes(), file=file.name)]
    return [value for value in values if isinstance(value, dict)]


def _documents(file: Path, kind: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in value.items() if k != "kind"} for value in _values(file) if value["kind"] == kind]
