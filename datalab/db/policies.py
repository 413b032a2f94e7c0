"""The tables of policies: the one in force, and every text it ever had.

Owns policy rows and their versions. Each change is a new version with author and reason; a deletion is a version without
a document; versions are never altered. Must never parse a document.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ForeignKey, Select, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from catalog.entities import PolicyRecord
from datalab.db.base import Base, UtcDateTime, new_uid
from datalab.db.catalogue import ResourceColumns
from datalab.db.columns import NAME_LENGTH, UID_LENGTH, Document
from datalab.flow.principal import Principal

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


def in_force() -> Select[tuple[PolicyRow, Mapping[str, object] | None]]:
    """Policies with the text they have now."""
    return select(PolicyRow, PolicyVersionRow.document).join(
        PolicyVersionRow,
        (PolicyVersionRow.policy_uid == PolicyRow.uid) & (PolicyVersionRow.number == PolicyRow.current),
    )


def policy_record(row: PolicyRow, document: Mapping[str, object] | None) -> PolicyRecord:
    if document is None:
        raise LookupError(f"policy {row.uid} is in force without a text")
    return PolicyRecord(
        uid=row.uid, revision=row.revision, id=row.id, scope=row.scope, owner=row.owner, document=document
    )


class SqlPolicies:
    """Policies in force within one transaction; implements `datalab.registry.ports.PolicyCollection`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, key: str) -> PolicyRecord | None:
        found = self._session.execute(in_force().where(PolicyRow.id == key)).one_or_none()
        return None if found is None else policy_record(*found)

    def at(self, scope: str) -> tuple[PolicyRecord, ...]:
        found = self._session.execute(in_force().where(PolicyRow.scope == scope).order_by(PolicyRow.id))
        return tuple(policy_record(*one) for one in found)

    def add(self, policy: PolicyRecord, *, author: Principal, reason: str, at: datetime) -> PolicyRecord:
        row = PolicyRow(uid=new_uid(), revision=1, id=policy.id, scope=policy.scope, owner=policy.owner, current=1)
        self._session.add(row)
        return self._keep(row, policy.document, author, reason, at)

    def replace(self, policy: PolicyRecord, *, author: Principal, reason: str, at: datetime) -> PolicyRecord:
        row = self._one(policy.id)
        row.scope, row.owner = policy.scope, policy.owner
        row.revision += 1
        row.current += 1
        return self._keep(row, policy.document, author, reason, at)

    def remove(self, key: str, *, author: Principal, reason: str, at: datetime) -> None:
        row = self._one(key)
        row.current += 1
        self._append(row, None, author, reason, at)
        self._session.delete(row)
        self._session.flush()

    def _one(self, key: str) -> PolicyRow:
        return self._session.execute(select(PolicyRow).where(PolicyRow.id == key)).scalar_one()

    def _keep(
        self, row: PolicyRow, document: Mapping[str, object], author: Principal, reason: str, at: datetime
    ) -> PolicyRecord:
        self._append(row, document, author, reason, at)
        self._session.flush()
        return policy_record(row, document)

    def _append(
        self, row: PolicyRow, document: Mapping[str, object] | None, author: Principal, reason: str, at: datetime
    ) -> None:
        self._session.add(
            PolicyVersionRow(
                policy_uid=row.uid,
                number=row.current,
                policy_id=row.id,
                scope=row.scope,
                document=document,
                author_issuer=author.issuer,
                author_subject=author.subject,
                reason=reason,
                created_at=at,
            )
        )
