"""What the interface shows of registered things: the documents of `catalog`, with the opaque uid.

Requests take those documents as they are, so that HTTP and files have one form. Must never show a storage's credentials.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from catalog import entities
from catalog.documents import (
    AdmissionDocument,
    AiFactoryDocument,
    DataLabDocument,
    DataSpaceDocument,
    ParticipantDocument,
    SupercomputerPart,
)
from catalog.entities import AdmissionRole, StorageKind

Form = TypeVar("Form", bound=BaseModel)


class ParticipantShown(ParticipantDocument):
    uid: str


class AiFactoryShown(AiFactoryDocument):
    uid: str


class DataSpaceShown(DataSpaceDocument):
    uid: str


class DataLabShown(DataLabDocument):
    uid: str


class AdmissionShown(AdmissionDocument):
    uid: str


class AdmissionAsked(BaseModel):
    participant: str
    role: AdmissionRole


class StorageShown(BaseModel):
    """Without credentials: nothing ever shows them again."""

    uid: str
    id: str
    participant: str
    kind: StorageKind
    root: str | None
    endpoint: str | None
    bucket: str | None
    prefix: str
    region: str
    path_style: bool
    ca_pem: str | None


def shown(form: type[Form], entity: entities.Resource) -> Form:
    """The members that the form has, as they are stored: what was accepted once is shown, whatever the rules are now."""
    values = {name: getattr(entity, name) for name in form.model_fields if hasattr(entity, name)}
    machine = values.get("supercomputer")
    if isinstance(machine, entities.Supercomputer):
        values["supercomputer"] = SupercomputerPart.model_construct(name=machine.name, status=machine.status)
    return form.model_construct(**values)
