"""What lies where a dataset's document points: is the place allowed, and is it what the newest version lists?

Owns the look at storages before the first write. Lists files, and must never open one: `datalab.publish` does, in a
process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from catalog.entities import Dataset, Storage, Version
from connectors.contract import Connector
from connectors.errors import RootRefused, StorageError
from datalab.app.apply.errors import Found
from datalab.app.apply.kinds import Kind
from datalab.app.apply.reading import Entry
from datalab.app.apply.references import World


class Places(Protocol):
    """Connectors of storages, as the operator's rules allow them."""

    def screen(self, storage: Storage) -> None:
        """Raises StorageError for a place that is not allowed; connects to nothing."""
        ...

    def connect(self, storage: Storage, credentials: Mapping[str, str] | None = None) -> Connector:
        """credentials: None takes those the storage is registered with. Raises StorageError."""
        ...


class Locations:
    """Looks at each location once."""

    def __init__(self, places: Places, world: World) -> None:
        self._places = places
        self._world = world

    def check(self, entry: Entry) -> Iterator[Found]:
        """What is wrong with the place of a storage, or with the location of a dataset that is to be published."""
        if entry.kind is Kind.STORAGE:
            storage: Storage = entry.document.entity()
            try:
                self._places.screen(storage)
            except StorageError as refused:
                yield entry.found("root" if isinstance(refused, RootRefused) else "endpoint", refused.sentence)

    def differs(self, dataset: Dataset, version: Version | None) -> bool:
        """Whether other files lie at the dataset's location than the version lists. Raises StorageError."""
        if version is None:
            with self._connector(dataset) as connector:
                next(iter(connector.list(dataset.location)), None)
            return True
        listed = {file.path: file for file in version.files}
        with self._connector(dataset) as connector:
            for file in connector.list(dataset.location):
                known = listed.pop(file.path, None)
                if known is None or not file.same_content(known):
                    return True
        return bool(listed)

    def _connector(self, dataset: Dataset) -> closing[Connector]:
        entry = self._world.entry(Kind.STORAGE, dataset.storage)
        given = entry.document.credentials if entry is not None else None
        storage: Storage = self._world.get(Kind.STORAGE, dataset.storage)
        if given is not None:
            return closing(self._places.connect(storage, given.reveal()))
        return closing(self._places.connect(_with_its_seal(storage, self._world.before(Kind.STORAGE, storage.id))))


def _with_its_seal(storage: Storage, before: Storage | None) -> Storage:
    """The storage with the uid that its credentials are sealed to, unless it moves: keys never go to another place."""
    if before is None or _place(before) != _place(storage):
        return replace(storage, uid="")
    return replace(storage, uid=before.uid)


def _place(storage: Storage) -> tuple[object, ...]:
    return storage.endpoint, storage.bucket, storage.region, storage.path_style, storage.ca_pem
