"""The documents in which things are registered: one form for HTTP bodies and for YAML files.

Owns the form of every kind of document and its translation to and from the values of `entities`. Must never look at what
is registered already: whether a reference leads anywhere is the registry's question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from catalog import entities
from catalog.entities import DatasetStatus, FactoryType, ParticipantStatus, PersonalData, StorageKind
from catalog.errors import CatalogError, DocumentRefused
from catalog.fields import (
    AdmissionRoleField,
    Country,
    DatasetStatusField,
    Description,
    FactoryTypeField,
    Id,
    Licence,
    Line,
    Location,
    Mail,
    Part,
    ParticipantKindField,
    ParticipantStatusField,
    PersonalDataField,
    Prose,
    Several,
    SqlName,
    StorageKindField,
    SupercomputerStatusField,
    Theme,
    Title,
    Url,
)
from catalog.paths import check_location
from catalog.problems import problems_of

Entity = TypeVar("Entity", bound=entities.Resource)


class Document(Part, Generic[Entity]):
    """A document of one kind. `parse` reads plain values, `of` writes an entity, `entity` makes one."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """value: what JSON or YAML gave. Raises DocumentRefused with everything that is wrong."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise DocumentRefused(problems_of(error, cls)) from None

    @classmethod
    def of(cls, entity: Entity) -> Self:
        """The document that would make this entity; a secret is no part of an entity, and so of none of these."""
        known = {name: getattr(entity, name) for name in cls.model_fields if hasattr(entity, name)}
        return cls.model_construct(set(known), **{name: _plain(value) for name, value in known.items()})

    def entity(self) -> Entity:
        """The value to register; uid and revision are the store's."""
        raise NotImplementedError

    def plain(self) -> dict[str, Any]:
        """As JSON would hold it, defaults included, secrets left out."""
        return self.model_dump(mode="json", exclude={"credentials"})


def _plain(value: object) -> object:
    if isinstance(value, entities.Supercomputer):
        return SupercomputerPart(name=value.name, status=value.status)
    return dict(value) if isinstance(value, Mapping) else value


class ParticipantDocument(Document[entities.Participant]):
    id: Id
    legal_name: Line
    country: Country
    kind: ParticipantKindField
    eu_funded_project: bool = False
    status: ParticipantStatusField = ParticipantStatus.APPLIED
    contact: Mail | None = None
    homepage: Url | None = None

    def entity(self) -> entities.Participant:
        return entities.Participant(**dict(self))


class SupercomputerPart(Part):
    name: Line
    status: SupercomputerStatusField


class AiFactoryDocument(Document[entities.AiFactory]):
    id: Id
    name: Line
    type: FactoryTypeField = FactoryType.FACTORY
    host: Line
    place: Line
    country: Country
    consortium: Several[Country] = ()
    supercomputer: SupercomputerPart | None = None
    sectors: Several[Line] = ()
    factory: Id | None = None
    homepage: Url | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.type is FactoryType.ANTENNA and self.factory is None:
            raise ValueError("An antenna names the AI factory it belongs to in `factory`.")
        if self.type is not FactoryType.ANTENNA and self.factory is not None:
            raise ValueError("Only an antenna has a `factory` it belongs to.")
        if self.consortium and self.country not in self.consortium:
            raise ValueError("The `consortium` includes the host country.")
        return self

    def entity(self) -> entities.AiFactory:
        machine = self.supercomputer
        made = None if machine is None else entities.Supercomputer(name=machine.name, status=machine.status)
        return entities.AiFactory(**{**dict(self), "supercomputer": made})


class DataSpaceDocument(Document[entities.DataSpace]):
    id: SqlName
    title: Title
    description: Description = Field(default_factory=dict)
    sector: Line
    operator: Id | None = None
    rules: Prose | None = None
    homepage: Url | None = None

    def entity(self) -> entities.DataSpace:
        return entities.DataSpace(**dict(self))


class DataLabDocument(Document[entities.DataLab]):
    id: Id
    title: Title
    description: Description = Field(default_factory=dict)
    home: Id
    partners: Several[Id] = ()
    spaces: Several[SqlName] = ()
    operator: Id
    services: Several[Line] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.home in self.partners:
            raise ValueError("The `home` AI factory is not also a partner.")
        return self

    def entity(self) -> entities.DataLab:
        return entities.DataLab(**dict(self))


_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # naming rules of S3 general purpose buckets
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LOCAL_FIELDS = frozenset({"root"})
_S3_FIELDS = frozenset({"endpoint", "bucket", "prefix", "region", "path_style", "ca_pem", "credentials"})


class CredentialsPart(Part):
    """Read-only keys for a storage; written, never shown."""

    access_key: SecretStr
    secret_key: SecretStr
    session_token: SecretStr | None = None

    @field_validator("access_key", "secret_key", "session_token")
    @classmethod
    def _one_line(cls, value: SecretStr | None) -> SecretStr | None:
        shown = "x" if value is None else value.get_secret_value()
        if not shown or not shown.isascii() or not shown.isprintable() or " " in shown:
            raise ValueError("This is no key: printable ASCII without spaces.")
        return value

    def reveal(self) -> dict[str, str]:
        """In clear, for the one who seals them."""
        given = {"access_key": self.access_key, "secret_key": self.secret_key, "session_token": self.session_token}
        return {name: value.get_secret_value() for name, value in given.items() if value is not None}


class StorageDocument(Document[entities.Storage]):
    id: Id
    participant: Id
    kind: StorageKindField
    root: Annotated[str, Field(max_length=4096)] | None = None
    endpoint: Url | None = None
    bucket: str | None = None
    prefix: Location = ""
    region: str = "us-east-1"
    path_style: bool = True
    ca_pem: Annotated[str, Field(max_length=100_000)] | None = None
    credentials: CredentialsPart | None = None

    @field_validator("root")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is None or value == "/":
            return value
        try:
            check_location(value.removeprefix("/"))
        except CatalogError as error:
            raise ValueError(error.sentence) from None
        if not value.startswith("/") or value.startswith("//"):
            raise ValueError("This must be an absolute directory, such as /srv/data.")
        return value

    @field_validator("endpoint")
    @classmethod
    def _host_only(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/?#]+", value):
            raise ValueError("An endpoint is https://host or https://host:port, without a path.")
        return value

    @field_validator("bucket")
    @classmethod
    def _bucket_name(cls, value: str | None) -> str | None:
        if value is not None and (not _BUCKET.fullmatch(value) or ".." in value):
            raise ValueError("This is no S3 bucket name: 3 to 63 lower-case letters, digits, `.` and `-`.")
        return value

    @field_validator("region")
    @classmethod
    def _region_name(cls, value: str) -> str:
        if not _REGION.fullmatch(value):
            raise ValueError("This is no region, such as eu-central-1.")
        return value

    @field_validator("ca_pem")
    @classmethod
    def _certificate(cls, value: str | None) -> str | None:
        if value is not None and ("-----BEGIN CERTIFICATE-----" not in value or "PRIVATE KEY" in value):
            raise ValueError("This must be one or more certificates in PEM form, and no private key.")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        local = self.kind is StorageKind.LOCAL
        foreign = sorted(self.model_fields_set & (_S3_FIELDS if local else _LOCAL_FIELDS))
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        wrong = [name for name in foreign if getattr(self, name) != defaults[name]]
        if wrong:
            raise ValueError(f"A {self.kind} storage has no `{wrong[0]}`.")
        for needed in ("root",) if local else ("endpoint", "bucket"):
            if getattr(self, needed) is None:
                raise ValueError(f"A {self.kind} storage needs `{needed}`.")
        return self

    def entity(self) -> entities.Storage:
        return entities.Storage(**{name: value for name, value in self if name != "credentials"})


class AdmissionDocument(Document[entities.Admission]):
    space: SqlName
    participant: Id
    role: AdmissionRoleField

    def entity(self) -> entities.Admission:
        return entities.Admission(**dict(self))


class DatasetDocument(Document[entities.Dataset]):
    space: SqlName
    name: SqlName
    provider: Id
    lab: Id
    title: Title
    description: Description = Field(default_factory=dict)
    keywords: Several[Line] = ()
    theme: Theme | None = None
    licence: Licence | None = None
    attribution: Prose | None = None
    tdm_reserved: bool = False
    personal_data: PersonalDataField = PersonalData.NONE
    roles: dict[Id, Annotated[str, Field(min_length=1, max_length=500)]] = Field(default_factory=dict)
    storage: Id
    location: Location
    status: DatasetStatusField = DatasetStatus.DRAFT

    def entity(self) -> entities.Dataset:
        return entities.Dataset(**dict(self))
