"""Versions of datasets: published from what lies at a location, withdrawn, and found broken.

Owns the order: list, inspect, look again, commit. Must never commit a version of which a file changed in between, nor one
whose audit record is not open; a version is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from weakref import WeakValueDictionary

from catalog.entities import Dataset, DatasetStatus, FileEntry, Storage, VersionStatus
from connectors.contract import FileIdentity
from datalab.flow.authority import Verb, may, of_dataset, operator_principal
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.publish.errors import FilesChanged, NotProvider, VersionConflict, VersionNotFound
from datalab.publish.inspection import Inspected, Progress, inspect
from datalab.publish.ports import Draft, Journal, Sources, VersionRecord, VersionStore
from datalab.publish.process import Limits
from datalab.publish.source import connect

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]

SHOWN_PATHS: Final = 20
MAX_REASON: Final = 500
GATEWAY: Final = operator_principal("gateway")
"""Who marks a version as broken: the gateway on its own account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """created: False where the newest version already is exactly what lies there. notes: what the provider should know."""

    record: VersionRecord
    created: bool
    notes: tuple[str, ...] = ()


class _Lock:
    """A lock that can be referred to weakly."""

    def __init__(self) -> None:
        self.held = threading.Lock()


class Versions:
    """Thread-safe. Publications of one dataset run one after the other, so that numbers follow the order of listings."""

    def __init__(
        self,
        store: VersionStore,
        catalogue: Catalogue,
        sources: Sources,
        journal: Journal,
        *,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._sources = sources
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self._locks: WeakValueDictionary[str, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def owned(self, principal: Principal, space: str, name: str) -> Dataset:
        """The dataset, for one who may write it.

        Raises:
            VersionNotFound: there is none, or the caller is not of its provider. NotProvider: it may see it only.
        """
        self._catalogue.revision()
        dataset = self._catalogue.dataset(space, name)
        if dataset is None:
            raise VersionNotFound
        if not may(principal, Verb.WRITE, of_dataset(dataset)):
            raise NotProvider if may(principal, Verb.READ, of_dataset(dataset)) else VersionNotFound
        return dataset

    def publish(
        self,
        principal: Principal,
        space: str,
        name: str,
        progress: Progress = lambda _done, _all: None,
        *,
        again: Callable[[], Principal] | None = None,
    ) -> Publication:
        """Registers what lies at the dataset's location now as its next version.

        again: resolves the caller anew before the commit; raises where the token or client was revoked meanwhile.

        Raises:
            VersionNotFound, NotProvider: as `owned`.
            VersionConflict: the dataset is withdrawn, or was changed meanwhile.
            StorageError: the storage refuses or does not answer; nothing lies there.
            FilesRefused, LocationRefused, FilesChanged, InspectionFailed: see there.
        """
        with self._alone(self.owned(principal, space, name).uid):
            dataset = self.owned(principal, space, name)
            storage = self._storage(dataset)
            inspected = self._survey(dataset, storage, progress)
            if again is not None:
                principal = again()
            if self.owned(principal, space, name).uid != dataset.uid:
                raise _changed_meanwhile()
            draft = _draft(dataset, storage, inspected, self._clock())
            notes = tuple(_notes(dataset, inspected))
            newest = self._store.newest(dataset.uid)
            if newest is not None and newest[1] == draft.fingerprint:
                return Publication(record=newest[0], created=False, notes=notes)
            detail = {
                "provider": dataset.provider,
                "location": dataset.location,
                "files": len(draft.files),
                "rows": inspected.row_count,
                "fingerprint": draft.fingerprint,
            }
            with self._journal.administrative(
                principal, verb="publish", resource=f"dataset:{dataset.key}", detail=detail
            ):
                record = self._store.commit(draft)
                if record is None:
                    raise _changed_meanwhile()
            return Publication(record=record, created=True, notes=notes)

    def withdraw(self, principal: Principal, space: str, name: str, number: int, reason: str = "") -> VersionRecord:
        """Ends a version: no query that starts later reads it. Its record stays. Withdrawing it twice is fine.

        Raises VersionNotFound, NotProvider.
        """
        dataset = self.owned(principal, space, name)
        if self._store.record(dataset.uid, number) is None:
            raise VersionNotFound
        resource = f"version:{dataset.key}/{number}"
        with self._journal.administrative(
            principal, verb="withdraw", resource=resource, detail={"provider": dataset.provider, "reason": reason}
        ):
            record = self._store.set_status(
                dataset.uid, number, VersionStatus.WITHDRAWN, reason[:MAX_REASON] or "Withdrawn by its provider."
            )
            if record is None:
                raise VersionNotFound
        return record

    def mark_broken(self, space: str, name: str, number: int, paths: Sequence[str]) -> VersionRecord | None:
        """Takes a version out of service because files are no longer those of its record; its provider reads why.

        paths: of those files, relative to the storage. Changes nothing if the version is not a published one any more.
        """
        self._catalogue.revision()
        dataset = self._catalogue.dataset(space, name)
        record = None if dataset is None else self._store.record(dataset.uid, number)
        if dataset is None or record is None or record.version.status is not VersionStatus.PUBLISHED:
            return record
        reason = broken_reason(paths, self._clock())
        log.error("version %d of %s is broken: %d of its files changed", number, dataset.key, len(paths))
        with self._journal.administrative(
            GATEWAY,
            verb="mark_broken",
            resource=f"version:{dataset.key}/{number}",
            detail={"provider": dataset.provider, "files": list(paths[:SHOWN_PATHS]), "count": len(paths)},
        ):
            return self._store.set_status(
                dataset.uid, number, VersionStatus.BROKEN, reason, only=VersionStatus.PUBLISHED
            )

    def record(self, principal: Principal, space: str, name: str, number: int) -> VersionRecord:
        """The provider's own view of one version. Raises VersionNotFound, NotProvider."""
        record = self._store.record(self.owned(principal, space, name).uid, number)
        if record is None:
            raise VersionNotFound
        return record

    def files(
        self, principal: Principal, space: str, name: str, number: int, *, start: int = 0, limit: int
    ) -> tuple[FileEntry, ...]:
        """The files of a version, for its provider, from a position on. Raises VersionNotFound, NotProvider."""
        dataset = self.owned(principal, space, name)
        if self._store.record(dataset.uid, number) is None:
            raise VersionNotFound
        return self._store.files(dataset.uid, number, start=start, limit=limit)

    def page(
        self, dataset: Dataset, *, below: int | None, limit: int, published_only: bool
    ) -> tuple[VersionRecord, ...]:
        """Newest first. The caller has decided that whoever asks may know of this dataset."""
        status = VersionStatus.PUBLISHED if published_only else None
        return self._store.page(dataset.uid, below=below, limit=limit, status=status)

    @contextmanager
    def _alone(self, dataset_uid: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(dataset_uid, _Lock())
        with lock.held:
            yield

    def _storage(self, dataset: Dataset) -> Storage:
        if dataset.status is DatasetStatus.WITHDRAWN:
            raise VersionConflict("publish.withdrawn", "The dataset is withdrawn; it gets no new versions.")
        storage = self._catalogue.storage(dataset.storage)
        if storage is None or storage.participant != dataset.provider:
            raise VersionConflict("publish.storage", "The dataset's storage is not its provider's any more.")
        return storage

    def _survey(self, dataset: Dataset, storage: Storage, progress: Progress) -> Inspected:
        """Lists, inspects, and looks again whether the files still are what was inspected."""
        source = self._sources.source(storage)
        with connect(source) as connector:
            files = list(connector.list(dataset.location))
            progress(0, len(files))
            inspected = inspect(source, files, self._limits, progress)
            present = connector.identify([file.path for file in files])
        return replace(inspected, files=_still_the_same(inspected.files, present))


def _still_the_same(files: Sequence[FileEntry], present: Sequence[FileIdentity | None]) -> tuple[FileEntry, ...]:
    """The entries, with the version ids that a second look may tell. Raises FilesChanged."""
    changed = [file.path for file, now in zip(files, present, strict=True) if now is None or not now.same_content(file)]
    if changed:
        sentence = f"{changed[0]} changed while it was inspected; publish again when nobody writes there."
        raise FilesChanged("publish.changed", sentence, paths=changed[:SHOWN_PATHS], total=len(changed))
    return tuple(
        replace(file, version_id=now.version_id) if now is not None and now.version_id else file
        for file, now in zip(files, present, strict=True)
    )


def _draft(dataset: Dataset, storage: Storage, inspected: Inspected, at: datetime) -> Draft:
    return Draft(
        dataset=dataset,
        storage=storage,
        files=inspected.files,
        columns=inspected.columns,
        arrow_schema=inspected.arrow_schema,
        hive_partitioning=inspected.hive_partitioning,
        fingerprint=fingerprint(storage.uid, inspected),
        created_at=at,
    )


def fingerprint(storage_uid: str, inspected: Inspected) -> str:
    """SHA-256 over everything that makes a version what it is; version ids do not count, see `FileIdentity.same_content`."""
    content = [
        storage_uid,
        inspected.hive_partitioning,
        [[column.name, column.type, column.nullable, column.partition] for column in inspected.columns],
        [
            [file.path, file.size_bytes, file.rows, file.etag, file.device, file.inode, file.mtime_ns]
            for file in inspected.files
        ],
    ]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _notes(dataset: Dataset, inspected: Inspected) -> Iterator[str]:
    """What does not prevent a publication, but what policies may stumble over."""
    names = {column.name.casefold() for column in inspected.columns}
    for role, column in sorted(dataset.roles.items()):
        if column.casefold() not in names:
            yield f"The role {role} names the column {column}, which this version lacks: policies that use it are void."


def broken_reason(paths: Sequence[str], at: datetime) -> str:
    """For the version's record, read by its provider."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    which = f"{paths[0]}{more}" if paths else "A file"
    return f"{which} changed or disappeared (found {at:%Y-%m-%d %H:%M} UTC). Publish a new version."[:MAX_REASON]


def _changed_meanwhile() -> VersionConflict:
    return VersionConflict(
        "publish.dataset_changed", "The dataset or its storage was changed meanwhile; publish again."
    )
