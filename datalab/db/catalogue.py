"""The tables of what is registered: participants, AI factories, data spaces, data labs, storages and who was admitted.

Owns their rows and the one namespace of names. References go by id, which is unique among the living; `names` keeps the
dead, so that a name never passes to another owner. Must never decide whether a change is allowed: `datalab.registry` does.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from catalog import entities
from catalog.entities import (
    AdmissionRole,
    FactoryType,
    ParticipantKind,
    ParticipantStatus,
    StorageKind,
    Supercomputer,
    SupercomputerStatus,
)
from datalab.db.base import Base, UtcDateTime, new_uid
from datalab.db.columns import NAME_LENGTH, UID_LENGTH, Document, EnumText, Texts


class ResourceColumns:
    """What every registered thing has: the opaque identity, and the number of its own changes (from 1)."""

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True, default=new_uid)
    revision: Mapped[int] = mapped_column(default=1)


class NameRow(Base):
    """A name that was ever given: to whom, and when it died. `namespace`: the kind, or `sql` for spaces and peers."""

    __tablename__ = "names"

    namespace: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    owner: Mapped[str] = mapped_column(String(NAME_LENGTH))
    uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ParticipantRow(ResourceColumns, Base):
    __tablename__ = "participants"

    id: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    legal_name: Mapped[str] = mapped_column(Text)
    country: Mapped[str] = mapped_column(String(2), index=True)
    kind: Mapped[ParticipantKind] = mapped_column(EnumText(ParticipantKind))
    eu_funded_project: Mapped[bool] = mapped_column(default=False)
    status: Mapped[ParticipantStatus] = mapped_column(EnumText(ParticipantStatus))
    contact: Mapped[str | None] = mapped_column(Text)
    homepage: Mapped[str | None] = mapped_column(Text)


class AiFactoryRow(ResourceColumns, Base):
    __tablename__ = "ai_factories"

    id: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(Text)
    type: Mapped[FactoryType] = mapped_column(EnumText(FactoryType))
    host: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    country: Mapped[str] = mapped_column(String(2))
    consortium: Mapped[tuple[str, ...]] = mapped_column(Texts)
    supercomputer_name: Mapped[str | None] = mapped_column(Text)
    supercomputer_status: Mapped[SupercomputerStatus | None] = mapped_column(EnumText(SupercomputerStatus))
    sectors: Mapped[tuple[str, ...]] = mapped_column(Texts)
    factory: Mapped[str | None] = mapped_column(ForeignKey("ai_factories.id"), index=True)
    homepage: Mapped[str | None] = mapped_column(Text)

    @property
    def supercomputer(self) -> Supercomputer | None:
        if self.supercomputer_name is None or self.supercomputer_status is None:
            return None
        return Supercomputer(name=self.supercomputer_name, status=self.supercomputer_status)

    @supercomputer.setter
    def supercomputer(self, value: Supercomputer | None) -> None:
        self.supercomputer_name = value.name if value else None
        self.supercomputer_status = value.status if value else None


class DataSpaceRow(ResourceColumns, Base):
    __tablename__ = "data_spaces"

    id: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    title: Mapped[entities.Text] = mapped_column(Document)
    description: Mapped[entities.Text] = mapped_column(Document)
    sector: Mapped[str] = mapped_column(String(80), index=True)
    operator: Mapped[str | None] = mapped_column(ForeignKey("participants.id"), index=True)
    rules: Mapped[str | None] = mapped_column(Text)
    homepage: Mapped[str | None] = mapped_column(Text)


class LabPartnerRow(Base):
    __tablename__ = "lab_partners"

    lab: Mapped[str] = mapped_column(ForeignKey("data_labs.id"), primary_key=True)
    ai_factory: Mapped[str] = mapped_column(ForeignKey("ai_factories.id"), primary_key=True, index=True)


class LabSpaceRow(Base):
    __tablename__ = "lab_spaces"

    lab: Mapped[str] = mapped_column(ForeignKey("data_labs.id"), primary_key=True)
    space: Mapped[str] = mapped_column(ForeignKey("data_spaces.id"), primary_key=True, index=True)


class DataLabRow(ResourceColumns, Base):
    __tablename__ = "data_labs"

    id: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    title: Mapped[entities.Text] = mapped_column(Document)
    description: Mapped[entities.Text] = mapped_column(Document)
    home: Mapped[str] = mapped_column(ForeignKey("ai_factories.id"), index=True)
    operator: Mapped[str] = mapped_column(ForeignKey("participants.id"), index=True)
    services: Mapped[tuple[str, ...]] = mapped_column(Texts)
    partner_rows: Mapped[list[LabPartnerRow]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", order_by=LabPartnerRow.ai_factory
    )
    space_rows: Mapped[list[LabSpaceRow]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", order_by=LabSpaceRow.space
    )

    @property
    def partners(self) -> tuple[str, ...]:
        return tuple(row.ai_factory for row in self.partner_rows)

    @partners.setter
    def partners(self, value: tuple[str, ...]) -> None:
        kept = {row.ai_factory: row for row in self.partner_rows}
        self.partner_rows = [kept.get(one) or LabPartnerRow(ai_factory=one) for one in sorted(set(value))]

    @property
    def spaces(self) -> tuple[str, ...]:
        return tuple(row.space for row in self.space_rows)

    @spaces.setter
    def spaces(self, value: tuple[str, ...]) -> None:
        kept = {row.space: row for row in self.space_rows}
        self.space_rows = [kept.get(one) or LabSpaceRow(space=one) for one in sorted(set(value))]


class StorageRow(ResourceColumns, Base):
    """`credentials` is the sealed blob of `connectors`; it is never read together with the rest."""

    __tablename__ = "storages"

    id: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    participant: Mapped[str] = mapped_column(ForeignKey("participants.id"), index=True)
    kind: Mapped[StorageKind] = mapped_column(EnumText(StorageKind))
    root: Mapped[str | None] = mapped_column(Text)
    endpoint: Mapped[str | None] = mapped_column(Text)
    bucket: Mapped[str | None] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text, default="")
    region: Mapped[str] = mapped_column(Text)
    path_style: Mapped[bool] = mapped_column(default=True)
    ca_pem: Mapped[str | None] = mapped_column(Text)
    credentials: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class AdmissionRow(ResourceColumns, Base):
    __tablename__ = "admissions"
    __table_args__ = (UniqueConstraint("space", "participant", "role"),)

    space: Mapped[str] = mapped_column(ForeignKey("data_spaces.id"))
    participant: Mapped[str] = mapped_column(ForeignKey("participants.id"), index=True)
    role: Mapped[AdmissionRole] = mapped_column(EnumText(AdmissionRole))
