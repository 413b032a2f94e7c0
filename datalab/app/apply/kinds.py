"""The kinds of documents a directory may hold: their names, forms, keys, and the order in which they are registered.

Owns the one difference between a file's document and an HTTP body: `kind` says what the document is, so that the kind of
a participant or a storage is written `type`. Must never touch what is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from catalog.documents import (
    AdmissionDocument,
    AiFactoryDocument,
    DataLabDocument,
    DatasetDocument,
    DataSpaceDocument,
    ParticipantDocument,
    StorageDocument,
)
from catalog.fields import Id, Line, Part, Several
from datalab.flow.principal import Role
from datalab.flow.token import Scope


class Kind(StrEnum):
    """In the order of registration: what others refer to comes first."""

    PARTICIPANT = "participant"
    CLIENT = "client"
    AI_FACTORY = "ai_factory"
    DATA_SPACE = "data_space"
    ADMISSION = "admission"
    DATA_LAB = "data_lab"
    STORAGE = "storage"
    DATASET = "dataset"
    POLICY = "policy"


Words = TypeVar("Words", bound=tuple[StrEnum, ...])


def _some(value: Words) -> Words:
    """Asked for after the words themselves: a length among a field's constraints would hide which word is wrong."""
    if not value:
        raise ValueError("This must not be empty.")
    return value


class ClientDocument(Part):
    """A client of a participant, known by its name there. The gateway chooses its id and its secret."""

    participant: Id
    name: Annotated[Line, Field(max_length=100)]
    roles: Annotated[Several[Annotated[Role, Field(strict=False)]], AfterValidator(_some)]
    scopes: Annotated[Several[Annotated[Scope, Field(strict=False)]], AfterValidator(_some)]


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind is written. key: what it is known by, of its fields. renamed: field in files -> field of the form."""

    model: type[Any] | None
    key: Callable[[Mapping[str, Any]], str]
    renamed: Mapping[str, str]

    def as_written(self, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """A path of the form as the file writes it."""
        for written, field in self.renamed.items():
            if path[:1] == (field,):
                return (written, *path[1:])
        return path


def _by(*names: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda fields: "/".join(str(fields[name]) for name in names)


_TYPE = {"type": "kind"}

FORMS: Mapping[Kind, Form] = {
    Kind.PARTICIPANT: Form(ParticipantDocument, _by("id"), _TYPE),
    Kind.CLIENT: Form(ClientDocument, _by("participant", "name"), {}),
    Kind.AI_FACTORY: Form(AiFactoryDocument, _by("id"), {}),
    Kind.DATA_SPACE: Form(DataSpaceDocument, _by("id"), {}),
    Kind.ADMISSION: Form(AdmissionDocument, _by("space", "participant", "role"), {}),
    Kind.DATA_LAB: Form(DataLabDocument, _by("id"), {}),
    Kind.STORAGE: Form(StorageDocument, _by("id"), _TYPE),
    Kind.DATASET: Form(DatasetDocument, _by("space", "name"), {}),
    Kind.POLICY: Form(None, _by("id"), {}),
}
"""`policies` reads its documents itself."""
