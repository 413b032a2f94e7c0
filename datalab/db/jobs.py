"""The table of jobs: work that outlives a request, such as the registration of many files.

Owns job rows and implements `datalab.publish.ports.JobStore`. Their writes are single statements and leave the catalogue's
revision alone: progress is no change of what is registered. Must never hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, delete, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql import Executable

from datalab.db.base import Base, UtcDateTime, new_uid
from datalab.db.columns import UID_LENGTH, Document
from datalab.db.database import Database
from datalab.publish.ports import Job, JobState

UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


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


class SqlJobs:
    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def add(self, job: Job) -> None:
        self._execute(
            insert(JobRow).values(
                uid=job.uid,
                kind=job.kind,
                participant=job.participant,
                resource=job.resource,
                created_at=job.created_at,
                **_state_of(job),
            )
        )

    def save(self, job: Job) -> None:
        self._execute(update(JobRow).where(JobRow.uid == job.uid).values(**_state_of(job)))

    def get(self, uid: str) -> Job | None:
        found = self._select(select(JobRow.__table__).where(JobRow.uid == uid))
        return found[0] if found else None

    def unfinished(self) -> tuple[Job, ...]:
        where = select(JobRow.__table__).where(JobRow.state.in_(UNFINISHED)).order_by(JobRow.created_at)
        return self._select(where)

    def forget(self, before: datetime) -> None:
        self._execute(delete(JobRow).where(JobRow.updated_at < before, JobRow.state.not_in(UNFINISHED)))

    def _execute(self, statement: Executable) -> None:
        with self._engine.connect() as connection:
            connection.execute(statement)
            connection.commit()

    def _select(self, statement: Any) -> tuple[Job, ...]:
        with self._engine.connect() as connection:
            found = tuple(_job(row) for row in _rows(connection, statement))
            connection.rollback()
        return found


def _rows(connection: Connection, statement: Any) -> list[Mapping[str, Any]]:
    return [dict(row) for row in connection.execute(statement).mappings()]


def _state_of(job: Job) -> dict[str, object]:
    return {
        "state": job.state.value,
        "progress": {"done": job.done, "total": job.total, "keeper": job.keeper},
        "result": job.result,
        "problem": job.problem,
        "updated_at": job.updated_at,
    }


def _job(row: Mapping[str, Any]) -> Job:
    progress = row["progress"]
    return Job(
        uid=row["uid"],
        kind=row["kind"],
        participant=row["participant"],
        resource=row["resource"],
        state=JobState(row["state"]),
        done=progress["done"],
        total=progress["total"],
        keeper=progress["keeper"],
        result=row["result"],
        problem=row["problem"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
