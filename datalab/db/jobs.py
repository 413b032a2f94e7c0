"""The table of jobs: work that outlives a request, such as the registration of many files.

Owns job rows. Must never hold a secret or a path that its owner may not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from datalab.db.base import Base, UtcDateTime, new_uid
from datalab.db.columns import UID_LENGTH, Document


class JobRow(Base):
    """state: queued, running, done, failed or lost. progress, result, problem: JSON for the owner."""

    __tablename__ = "jobs"

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True, default=new_uid)
    kind: Mapped[str] = mapped_column(String(40))
    participant: Mapped[str] = mapped_column(ForeignKey("participants.id"), index=True)
    resource: Mapped[str] = mapped_column(String(160), index=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    progress: Mapped[Mapping[str, object]] = mapped_column(Document)
    result: Mapped[Mapping[str, object] | None] = mapped_column(Document)
    problem: Mapped[Mapping[str, object] | None] = mapped_column(Document)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
