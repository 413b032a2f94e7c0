"""The storage of versions: each one written whole, in one transaction.

Implements `datalab.publish.ports.VersionStore`. Must never alter a version's files or columns.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog.entities import DatasetStatus, FileEntry, Version, VersionStatus
from datalab.db.base import new_uid
from datalab.db.catalogue import StorageRow
from datalab.db.database import Database
from datalab.db.datasets import DatasetRow
from datalab.db.versions import VersionRow, insert_version, newest_row, next_number, page_of_files, version_of
from datalab.publish.ports import Draft, VersionRecord


class SqlVersions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def commit(self, draft: Draft) -> VersionRecord | None:
        with self._database.write() as session:
            if not _still(session, draft):
                return None
            newest = newest_row(session, draft.dataset.uid)
            if newest is not None and newest.fingerprint == draft.fingerprint:
                return record_of(newest)  # another process committed the same meanwhile
            version = Version(
                uid=new_uid(),
                revision=1,
                dataset_uid=draft.dataset.uid,
                number=next_number(session, draft.dataset.uid),
                files=draft.files,
                columns=draft.columns,
                arrow_schema=draft.arrow_schema,
                row_count=sum(file.rows for file in draft.files),
                size_bytes=sum(file.size_bytes for file in draft.files),
                hive_partitioning=draft.hive_partitioning,
                created_at=draft.created_at,
            )
            insert_version(session, version, draft.fingerprint)
            return record_of(session.get_one(VersionRow, version.uid))

    def newest(self, dataset_uid: str) -> tuple[VersionRecord, str] | None:
        with self._database.read() as session:
            row = newest_row(session, dataset_uid)
            return None if row is None else (record_of(row), row.fingerprint)

    def record(self, dataset_uid: str, number: int) -> VersionRecord | None:
        with self._database.read() as session:
            row = _row(session, dataset_uid, number)
            return None if row is None else record_of(row)

    def page(
        self, dataset_uid: str, *, below: int | None, limit: int, status: VersionStatus | None = None
    ) -> tuple[VersionRecord, ...]:
        where = select(VersionRow).where(VersionRow.dataset_uid == dataset_uid).order_by(VersionRow.number.desc())
        if below is not None:
            where = where.where(VersionRow.number < below)
        if status is not None:
            where = where.where(VersionRow.status == status)
        with self._database.read() as session:
            return tuple(record_of(row) for row in session.execute(where.limit(limit)).scalars())

    def files(self, dataset_uid: str, number: int, *, start: int, limit: int) -> tuple[FileEntry, ...]:
        with self._database.read() as session:
            row = _row(session, dataset_uid, number)
            return () if row is None else page_of_files(session, row.uid, start, limit)

    def set_status(
        self, dataset_uid: str, number: int, status: VersionStatus, reason: str, *, only: VersionStatus | None = None
    ) -> VersionRecord | None:
        with self._database.write() as session:
            row = _row(session, dataset_uid, number)
            if row is None:
                return None
            if row.status is not status and only in {None, row.status}:
                change = update(VersionRow).where(VersionRow.uid == row.uid)
                session.execute(change.values(status=status, reason=reason, revision=VersionRow.revision + 1))
                session.refresh(row)
            return record_of(row)


def _still(session: Session, draft: Draft) -> bool:
    """Whether dataset and storage are those that the draft was made for, and say the same about where the files lie."""
    dataset = session.get(DatasetRow, draft.dataset.uid)
    storage = session.get(StorageRow, draft.storage.uid)
    if dataset is None or storage is None:
        return False
    if dataset.status is DatasetStatus.WITHDRAWN:
        return False
    placed = (dataset.storage, dataset.location, dataset.provider, storage.id, storage.revision)
    read = (draft.dataset.storage, draft.dataset.location, draft.dataset.provider)
    return placed == (*read, draft.storage.id, draft.storage.revision)


def _row(session: Session, dataset_uid: str, number: int) -> VersionRow | None:
    where = select(VersionRow).where(VersionRow.dataset_uid == dataset_uid, VersionRow.number == number)
    return session.execute(where).scalar_one_or_none()


def record_of(row: VersionRow) -> VersionRecord:
    return VersionRecord(version=version_of(row, ()), file_count=row.file_count, reason=row.reason)
