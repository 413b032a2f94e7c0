"""The JSON forms of participants, AI factories, data spaces, data labs, storages and admissions.

Owns what the interface takes and shows of them, for requests, answers and the OpenAPI document. Must never decide what a
value may be beyond its type and size: the registry does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from catalog import entities
from catalog.entities import (
    AdmissionRole,
    FactoryType,
    ParticipantKind,
    ParticipantStatus,
    StorageKind,
    SupercomputerStatus,
)
from datalab.registry.writes import plain

Id = Annotated[str, Field(max_length=63, description="^[a-z][a-z0-9_]{0,62}$")]
Line = Annotated[str, Field(min_length=1, max_length=300)]
Prose = Annotated[str, Field(min_length=1, max_length=10_000)]
Address = Annotated[str, Field(max_length=2000)]
Country = Annotated[str, Field(min_length=2, max_length=2, description="ISO 3166-1 alpha-2")]
Language = Annotated[str, Field(max_length=20)]
Titles = Annotated[dict[Language, Line], Field(min_length=1, max_length=40, description="By language (BCP 47).")]
Texts = Annotated[dict[Language, Prose], Field(max_length=40, description="By language (BCP 47).")]
Lines = Annotated[tuple[Line, ...], Field(max_length=200)]
Ids = Annotated[tuple[Id, ...], Field(max_length=200)]


class Form(BaseModel):
    """A JSON object of known members only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


FormType = TypeVar("FormType", bound=Form)


class Credentials(Form):
    """Write only: nothing ever shows them again."""

    access_key: Line
    secret_key: Annotated[str, Field(min_length=1, max_length=500)]
    session_token: Annotated[str | None, Field(max_length=10_000)] = None


class ParticipantForm(Form):
    id: Id
    legal_name: Line
    country: Country
    kind: ParticipantKind
    eu_funded_project: bool = False
    status: ParticipantStatus = ParticipantStatus.APPLIED
    contact: Annotated[str | None, Field(max_length=300)] = None
    homepage: Address | None = None

    def entity(self) -> entities.Participant:
        return entities.Participant(**_fields(self))


class SupercomputerForm(Form):
    name: Line
    status: SupercomputerStatus


class AiFactoryForm(Form):
    id: Id
    name: Line
    type: FactoryType = FactoryType.FACTORY
    host: Line
    place: Line
    country: Country
    consortium: Annotated[tuple[Country, ...], Field(max_length=60)] = ()
    supercomputer: SupercomputerForm | None = None
    sectors: Lines = ()
    factory: Id | None = None
    homepage: Address | None = None

    def entity(self) -> entities.AiFactory:
        machine = self.supercomputer
        known = entities.Supercomputer(name=machine.name, status=machine.status) if machine else None
        return entities.AiFactory(**{**_fields(self), "supercomputer": known})


class DataSpaceForm(Form):
    id: Id
    title: Titles
    description: Texts = {}
    sector: Annotated[str, Field(min_length=1, max_length=80)]
    operator: Id | None = None
    rules: Prose | None = None
    homepage: Address | None = None

    def entity(self) -> entities.DataSpace:
        return entities.DataSpace(**_fields(self))


class DataLabForm(Form):
    id: Id
    title: Titles
    description: Texts = {}
    home: Id
    partners: Ids = ()
    spaces: Ids = ()
    operator: Id
    services: Lines = ()

    def entity(self) -> entities.DataLab:
        return entities.DataLab(**_fields(self))


class StorageForm(Form):
    id: Id
    participant: Id
    kind: StorageKind
    root: Annotated[str | None, Field(max_length=4000)] = None
    endpoint: Address | None = None
    bucket: Annotated[str | None, Field(max_length=63)] = None
    prefix: Annotated[str, Field(max_length=1024)] = ""
    region: Annotated[str, Field(min_length=1, max_length=60)] = "us-east-1"
    path_style: bool = True
    ca_pem: Annotated[str | None, Field(max_length=100_000)] = None

    def entity(self) -> entities.Storage:
        return entities.Storage(**_fields(self))


class StorageAndKeysForm(StorageForm):
    credentials: Credentials | None = None

    def entity(self) -> entities.Storage:
        return entities.Storage(**{name: getattr(self, name) for name in StorageForm.model_fields})

    def keys(self) -> Mapping[str, str] | None:
        if self.credentials is None:
            return None
        return {name: value for name, value in _fields(self.credentials).items() if value is not None}


class AdmissionForm(Form):
    participant: Id
    role: AdmissionRole


class ParticipantShown(ParticipantForm):
    uid: str


class AiFactoryShown(AiFactoryForm):
    uid: str


class DataSpaceShown(DataSpaceForm):
    uid: str


class DataLabShown(DataLabForm):
    uid: str


class StorageShown(StorageForm):
    uid: str


class AdmissionShown(AdmissionForm):
    uid: str
    space: str


def shown(form: type[FormType], entity: entities.Resource) -> FormType:
    """The entity in its JSON form; only the members that the form has."""
    values = plain(entity)
    assert isinstance(values, dict)
    return form.model_validate({name: values[name] for name in form.model_fields})


def _fields(form: Form) -> dict[str, Any]:
    return {name: getattr(form, name) for name in type(form).model_fields}
