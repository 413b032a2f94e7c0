"""The nouns of the catalogue as frozen values: what a gateway registers, and how the parts name each other.

Owns the shape of every registered thing. References are by id (unique, never reused for another owner); `uid` is the
opaque identity that audit records, agreements and caches bind to. Must never import anything else of the house.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Text = Mapping[str, str]
"""Text by language: BCP 47 tag -> text, at least one entry."""


class ParticipantKind(StrEnum):
    STARTUP = "startup"
    SCALEUP = "scaleup"
    SME = "sme"
    MIDCAP = "midcap"
    LARGE = "large"
    RESEARCH = "research"
    PUBLIC = "public"
    NGO = "ngo"


class ParticipantStatus(StrEnum):
    APPLIED = "applied"
    VERIFIED = "verified"
    REFUSED = "refused"


class FactoryType(StrEnum):
    FACTORY = "factory"
    ANTENNA = "antenna"
    GIGAFACTORY = "gigafactory"


class SupercomputerStatus(StrEnum):
    NEW = "new"
    EXISTING = "existing"
    UPGRADED = "upgraded"
    IN_PROCUREMENT = "in_procurement"


class PersonalData(StrEnum):
    NONE = "none"
    PSEUDONYMISED = "pseudonymised"
    PERSONAL = "personal"
    SPECIAL = "special"


class DatasetStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class VersionStatus(StrEnum):
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"
    BROKEN = "broken"


class StorageKind(StrEnum):
    LOCAL = "local"
    S3 = "s3"


class AdmissionRole(StrEnum):
    """As what a participant (or its lab) was admitted to a data space."""

    PROVIDER = "provider"
    LAB = "lab"
    DEVELOPER = "developer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What every registered thing has. `uid` and `revision` are set by the store.

    revision: grows with each change of this resource; the ETag is made from uid and revision.
    """

    uid: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant(Resource):
    id: str
    legal_name: str
    country: str  # ISO 3166-1 alpha-2
    kind: ParticipantKind
    eu_funded_project: bool = False
    status: ParticipantStatus = ParticipantStatus.APPLIED
    contact: str | None = None  # e-mail; shown to the participant's admins and to operators only
    homepage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supercomputer:
    name: str
    status: SupercomputerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AiFactory(Resource):
    id: str
    name: str
    type: FactoryType = FactoryType.FACTORY
    host: str
    place: str
    country: str  # ISO 3166-1 alpha-2
    consortium: tuple[str, ...] = ()  # ISO 3166-1 alpha-2, the host country included
    supercomputer: Supercomputer | None = None
    sectors: tuple[str, ...] = ()
    factory: str | None = None  # id of the factory that an antenna belongs to
    homepage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpace(Resource):
    id: str
    title: Text
    description: Text = field(default_factory=dict)
    sector: str
    operator: str | None = None  # participant id
    rules: str | None = None  # governing rules: address or plain text
    homepage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLab(Resource):
    id: str
    title: Text
    description: Text = field(default_factory=dict)
    home: str  # id of the one home AI factory
    partners: tuple[str, ...] = ()  # ids of partner AI factories
    spaces: tuple[str, ...] = ()  # ids of the data spaces it joined
    operator: str  # participant id
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage(Resource):
    """A place with files. Credentials are never part of this value: see `connectors`.

    local: `root` is an absolute directory below one of the operator's configured roots.
    s3: `endpoint` is `https://host[:port]` (or http where the operator allows it), `bucket`, optional `prefix` without
    leading slash.
    """

    id: str
    participant: str  # participant id
    kind: StorageKind
    root: str | None = None
    endpoint: str | None = None
    bucket: str | None = None
    prefix: str = ""
    region: str = "us-east-1"
    path_style: bool = True
    ca_pem: str | None = None  # private certificate authority, PEM


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission(Resource):
    space: str
    participant: str
    role: AdmissionRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Resource):
    space: str
    name: str
    provider: str  # participant id
    lab: str
    title: Text
    description: Text = field(default_factory=dict)
    keywords: tuple[str, ...] = ()
    theme: str | None = None  # code of the EU data-theme authority table, e.g. HEAL
    licence: str | None = None  # SPDX identifier or address
    attribution: str | None = None
    tdm_reserved: bool = False  # text-and-data-mining reservation, Directive (EU) 2019/790 art. 4(3)
    personal_data: PersonalData = PersonalData.NONE
    roles: Mapping[str, str] = field(default_factory=dict)  # column role (entity, person_id, location ...) -> column
    storage: str  # storage id
    location: str  # file or prefix, relative to the storage; "" is the whole storage
    status: DatasetStatus = DatasetStatus.DRAFT
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def key(self) -> str:
        """`space/name`."""
        return f"{self.space}/{self.name}"

    @property
    def sql_name(self) -> str:
        """`space.name`, as a query writes it."""
        return f"{self.space}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a version and what identifies its content.

    path: relative to the storage's root or bucket prefix, `/`-separated. size_bytes, rows: as found in the footer.
    S3: etag, and version_id where the bucket has versions. Local: device, inode, mtime_ns.
    """

    path: str
    size_bytes: int
    rows: int
    etag: str | None = None
    version_id: str | None = None
    device: int | None = None
    inode: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as DuckDB sees it. type: DuckDB's SQL type text, e.g. `INTEGER`, `DECIMAL(10,2)`, `STRUCT(a INTEGER)`."""

    name: str
    type: str
    nullable: bool = True
    partition: bool = False  # comes from a hive path segment, not from the files


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(Resource):
    """A snapshot of a dataset: exactly these files, in this order, with this schema."""

    dataset_uid: str
    number: int
    files: tuple[FileEntry, ...]
    columns: tuple[Column, ...]
    arrow_schema: bytes  # Arrow IPC schema message
    row_count: int
    size_bytes: int
    hive_partitioning: bool = False
    union_by_name: bool = False
    status: VersionStatus = VersionStatus.PUBLISHED
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord(Resource):
    """A stored policy document; `document` is the JSON form that `policies` parses. owner: participant id or None (operator)."""

    id: str
    scope: str
    document: Mapping[str, object]
    owner: str | None = None
