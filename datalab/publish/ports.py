"""What publishing needs from storage and from the audit trail, as Protocols; `datalab.db` implements them, `datalab.app`
wires them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from catalog.entities import Column, Dataset, FileEntry, Storage, Version, VersionStatus
from datalab.flow.principal import Principal
from datalab.publish.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """A version as its provider sees it. version: without its files. reason: why it is broken or withdrawn."""

    version: Version
    file_count: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version that is ready to be committed, for the dataset and storage as they were when they were read.

    fingerprint: SHA-256 over what is registered; equal ones are the same content.
    """

    dataset: Dataset
    storage: Storage
    files: tuple[FileEntry, ...]
    columns: tuple[Column, ...]
    arrow_schema: bytes
    hive_partitioning: bool
    fingerprint: str
    created_at: datetime


class VersionStore(Protocol):
    """Versions, each written whole or not at all."""

    def commit(self, draft: Draft) -> VersionRecord | None:
        """Gives it the next number and writes it, in one transaction; None: the dataset or its storage has changed."""
        ...

    def newest(self, dataset_uid: str) -> tuple[VersionRecord, str] | None:
        """The newest published version and its fingerprint."""
        ...

    def record(self, dataset_uid: str, number: int) -> VersionRecord | None: ...

    def page(
        self, dataset_uid: str, *, below: int | None, limit: int, status: VersionStatus | None = None
    ) -> tuple[VersionRecord, ...]:
        """Newest first; below: only smaller numbers; status: only those."""
        ...

    def files(self, dataset_uid: str, number: int, *, start: int, limit: int) -> tuple[FileEntry, ...]:
        """From that position on, in order."""
        ...

    def set_status(
        self, dataset_uid: str, number: int, status: VersionStatus, reason: str, *, only: VersionStatus | None = None
    ) -> VersionRecord | None:
        """only: changes nothing unless it has this status now. None: there is no such version."""
        ...


class Sources(Protocol):
    """How a registered storage is reached; credentials are opened here and nowhere else."""

    def source(self, storage: Storage) -> Source:
        """Raises StorageError."""
        ...


class Journal(Protocol):
    """The part of `datalab.flow.audit.Journal` that writes use."""

    def administrative(
        self, principal: Principal, *, verb: str, resource: str, detail: Mapping[str, object]
    ) -> AbstractContextManager[object]:
        """Opens a durable record, runs the block, closes the record with its outcome."""
        ...


class JobState(StrEnum):
    """lost: the process that ran it is gone."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work that outlives a request. participant: whose it is. result, problem: JSON-able, for that participant.

    keeper: the process that runs it.
    """

    uid: str
    kind: str
    participant: str
    resource: str
    state: JobState
    done: int = 0
    total: int = 0
    keeper: str = ""
    result: Mapping[str, object] | None = None
    problem: Mapping[str, object] | None = None
    created_at: datetime
    updated_at: datetime


class JobStore(Protocol):
    """Rows of jobs. Their writes are no change of the catalogue: they leave its revision alone."""

    def add(self, job: Job) -> None: ...
    def save(self, job: Job) -> None: ...
    def get(self, uid: str) -> Job | None: ...
    def unfinished(self) -> tuple[Job, ...]:
        """Queued and running ones, oldest first."""
        ...

    def forget(self, before: datetime) -> None:
        """Removes finished jobs that were last changed before then."""
        ...
