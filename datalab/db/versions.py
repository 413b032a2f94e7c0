"""The tables of versions and of the files they consist of, and the one way to read a version.

Owns version rows. A version's files and columns never change once written; only its status does. Must never hold a row of a
version whose record is not complete: both tables are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    ForeignKey,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import JSON, TypeDecorator

from catalog.entities import Column, FileEntry, Version, VersionStatus
from datalab.db.base import Base, UtcDateTime
from datalab.db.catalogue import ResourceColumns
from datalab.db.columns import UID_LENGTH, EnumText

_SIGN = 1 << 63
_WRAP = 1 << 64
REMEMBERED_FILE_LISTS = 64


class Unsigned64(TypeDecorator[int]):
    """An unsigned 64-bit number (device, inode) in a signed column, as its two's complement."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        return value if value is None or value < _SIGN else value - _WRAP

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return value if value is None or value >= 0 else value + _WRAP


class Columns(TypeDecorator[tuple[Column, ...]]):
    """A version's columns, in order, as a JSON list of objects."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[Column, ...] | None, dialect: Dialect) -> list[dict[str, Any]] | None:
        return None if value is None else [asdict(column) for column in value]

    def process_result_value(self, value: list[dict[str, Any]] | None, dialect: Dialect) -> tuple[Column, ...] | None:
        return None if value is None else tuple(Column(**column) for column in value)


class VersionRow(ResourceColumns, Base):
    """fingerprint: SHA-256 of what was registered, so that the same files are not registered twice. reason: why it is broken
    or withdrawn, in words for the provider.
    """

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("dataset_uid", "number"),)

    dataset_uid: Mapped[str] = mapped_column(ForeignKey("datasets.uid", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column()
    status: Mapped[VersionStatus] = mapped_column(EnumText(VersionStatus))
    columns: Mapped[tuple[Column, ...]] = mapped_column(Columns)
    arrow_schema: Mapped[bytes] = mapped_column(LargeBinary)
    row_count: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    file_count: Mapped[int] = mapped_column()
    hive_partitioning: Mapped[bool] = mapped_column()
    union_by_name: Mapped[bool] = mapped_column()
    fingerprint: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VersionFileRow(Base):
    """One file of a version; position: from 0, the order in which a query reads them."""

    __tablename__ = "version_files"

    version_uid: Mapped[str] = mapped_column(
        String(UID_LENGTH), ForeignKey("versions.uid", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    etag: Mapped[str | None] = mapped_column(Text)
    version_id: Mapped[str | None] = mapped_column(Text)
    device: Mapped[int | None] = mapped_column(Unsigned64)
    inode: Mapped[int | None] = mapped_column(Unsigned64)
    mtime_ns: Mapped[int | None] = mapped_column(BigInteger)


_FILE_FIELDS = tuple(field.name for field in fields(FileEntry))
_FILE_COLUMNS = tuple(getattr(VersionFileRow, name) for name in _FILE_FIELDS)


def read_version(
    session: Session, dataset_uid: str, number: int | None = None, *, files: bool = True
) -> Version | None:
    """That version, whatever its status; without a number the newest one that is published. files False: without them."""
    row = session.execute(_select_version(dataset_uid, number)).scalar_one_or_none()
    return None if row is None else version_of(row, read_files(session, row.uid) if files else ())


def version_of(row: VersionRow, files: tuple[FileEntry, ...]) -> Version:
    return Version(
        uid=row.uid,
        revision=row.revision,
        dataset_uid=row.dataset_uid,
        number=row.number,
        files=files,
        columns=row.columns,
        arrow_schema=row.arrow_schema,
        row_count=row.row_count,
        size_bytes=row.size_bytes,
        hive_partitioning=row.hive_partitioning,
        union_by_name=row.union_by_name,
        status=row.status,
        created_at=row.created_at,
    )


def read_files(session: Session, version_uid: str) -> tuple[FileEntry, ...]:
    """A version's files in order. Remembered for the process: they never change, and every write of anything makes readers
    forget what they know of the catalogue.
    """
    known = _remembered(version_uid)
    if not known:
        where = (
            select(*_FILE_COLUMNS).where(VersionFileRow.version_uid == version_uid).order_by(VersionFileRow.position)
        )
        found = tuple(
            FileEntry(**dict(zip(_FILE_FIELDS, values, strict=True))) for values in session.execute(where).tuples()
        )
        known.append(found)
    return known[0]


def page_of_files(session: Session, version_uid: str, start: int, limit: int) -> tuple[FileEntry, ...]:
    """Some of a version's files, by their position."""
    where = (
        select(*_FILE_COLUMNS)
        .where(VersionFileRow.version_uid == version_uid, VersionFileRow.position >= start)
        .order_by(VersionFileRow.position)
        .limit(limit)
    )
    return tuple(
        FileEntry(**dict(zip(_FILE_FIELDS, values, strict=True))) for values in session.execute(where).tuples()
    )


@lru_cache(maxsize=REMEMBERED_FILE_LISTS)
def _remembered(_version_uid: str) -> list[tuple[FileEntry, ...]]:
    return []


def insert_version(session: Session, version: Version, fingerprint: str) -> None:
    """Writes the version and its files; `version.uid` is set. 10,000 files are one statement with many rows."""
    session.execute(
        insert(VersionRow),
        {
            "uid": version.uid,
            "revision": 1,
            "dataset_uid": version.dataset_uid,
            "number": version.number,
            "status": version.status,
            "columns": version.columns,
            "arrow_schema": version.arrow_schema,
            "row_count": version.row_count,
            "size_bytes": version.size_bytes,
            "file_count": len(version.files),
            "hive_partitioning": version.hive_partitioning,
            "union_by_name": version.union_by_name,
            "fingerprint": fingerprint,
            "reason": None,
            "created_at": version.created_at,
        },
    )
    session.execute(insert(VersionFileRow.__table__), _file_rows(version.uid, version.files))  # type: ignore[arg-type]  # a Table


def _file_rows(version_uid: str, files: Sequence[FileEntry]) -> list[dict[str, Any]]:
    return [
        {"version_uid": version_uid, "position": position, **{name: getattr(one, name) for name in _FILE_FIELDS}}
        for position, one in enumerate(files)
    ]


def next_number(session: Session, dataset_uid: str) -> int:
    """One more than the highest number ever given, withdrawn and broken versions included."""
    highest = select(func.max(VersionRow.number)).where(VersionRow.dataset_uid == dataset_uid)
    return (session.execute(highest).scalar_one() or 0) + 1


def newest_row(session: Session, dataset_uid: str) -> VersionRow | None:
    """The newest published version's row, without its files."""
    return session.execute(_select_version(dataset_uid, None)).scalar_one_or_none()


def _select_version(dataset_uid: str, number: int | None) -> Any:
    where = select(VersionRow).where(VersionRow.dataset_uid == dataset_uid)
    if number is not None:
        return where.where(VersionRow.number == number)
    return where.where(VersionRow.status == VersionStatus.PUBLISHED).order_by(VersionRow.number.desc()).limit(1)
