"""The tables of policies: the one in force, and every text it ever had.

Owns policy rows and their versions. Each change is a new version with author and reason; a deletion is a version without
a document; versions are never altered. Must never parse a document.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from catalog.entities import PolicyRecord
from datalab.db.base import Base, UtcDateTime
from datalab.db.catalogue import ResourceColumns
from datalab.db.columns import NAME_LENGTH, UID_LENGTH, Document

SCOPE_LENGTH = 160


class PolicyVersionRow(Base):
    """One text of a policy. `policy_uid` is no foreign key: history outlives the policy."""

    __tablename__ = "policy_versions"

    policy_uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    policy_id: Mapped[str] = mapped_column(String(NAME_LENGTH), index=True)
    scope: Mapped[str] = mapped_column(String(SCOPE_LENGTH), index=True)
    document: Mapped[Mapping[str, object] | None] = mapped_column(Document(none_as_null=True))
    author_issuer: Mapped[str] = mapped_column(Text)
    author_subject: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PolicyRow(ResourceColumns, Base):
    """The policy in force; `current` points at its text in `policy_versions`."""

    __tablename__ = "policies"

    id: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    scope: Mapped[str] = mapped_column(String(SCOPE_LENGTH), index=True)
    owner: Mapped[str | None] = mapped_column(ForeignKey("participants.id"), index=True)
    current: Mapped[int] = mapped_column()


def policy_record(row: PolicyRow, document: Mapping[str, object]) -> PolicyRecord:
    return PolicyRecord(
        uid=row.uid, revision=row.revision, id=row.id, scope=row.scope, owner=row.owner, document=document
    )
