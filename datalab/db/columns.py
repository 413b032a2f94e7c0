"""Column types that carry the catalogue's values, so that a row's attributes are an entity's fields as they stand.

Owns the storage form of enumerations, tuples and mappings. Must never hold a rule about what a value may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import JSON, Dialect, String
from sqlalchemy.types import TypeDecorator

from catalog.entities import Resource
from datalab.db.base import Base

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Named = TypeVar("Named", bound=StrEnum)
Entity = TypeVar("Entity", bound="DataclassInstance")

NAME_LENGTH = 63
PAIR_LENGTH = 2 * NAME_LENGTH + 1
UID_LENGTH = 32


class EnumText(TypeDecorator[Named]):
    """A member of a StrEnum, stored as its word."""

    impl = String(40)
    cache_ok = True

    def __init__(self, kind: type[Named]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Named | str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Named | None:
        return None if value is None else self.kind(value)


class Texts(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, stored as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> list[str] | None:
        return None if value is None else list(value)

    def process_result_value(self, value: list[str] | None, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(value)


class Document(TypeDecorator[Mapping[str, Any]]):
    """A JSON object."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> dict[str, Any] | None:
        return None if value is None else dict(value)

    def process_result_value(self, value: dict[str, Any] | None, dialect: Dialect) -> Mapping[str, Any] | None:
        return value


def entity_of(row: Base, kind: type[Entity]) -> Entity:
    """The row as a value of `kind`: each field is the row's attribute of that name."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})


def fill(row: Base, entity: Resource) -> None:
    """Writes the entity's fields into the row, but for what the store sets itself (uid, revision)."""
    for field in fields(entity):
        if field.name not in {"uid", "revision"}:
            setattr(row, field.name, getattr(entity, field.name))
