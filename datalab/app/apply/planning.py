"""What differs between a directory and the gateway, as a list of changes in the order in which they are safe.

Owns the comparison and the order. Between two steps access may be narrower than before and after, never wider: a dataset's
permits go before new ones come, other levels' permits come before old ones go (a level without permits is open), forbids
come first and go last, and a dataset is published after its policies. Must never write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from catalog.entities import AiFactory, Dataset, DatasetStatus, FactoryType, PolicyRecord, Resource
from connectors.errors import StorageError
from datalab.app.apply.errors import ApplyRefused, Found
from datalab.app.apply.inventory import Applied, Inventory, is_fingerprint_of
from datalab.app.apply.kinds import Kind
from datalab.app.apply.locations import Locations, Places
from datalab.app.apply.reading import Directory, Entry, read
from datalab.app.apply.references import World, check, desired
from datalab.app.apply.registered import Registered, Registrations
from datalab.flow.principal import Principal
from datalab.oauth.client import Client

Key = tuple[Kind, str]
_SET_BY_STORE = frozenset({"uid", "revision", "created_at", "updated_at"})


class Verb(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    PUBLISH = "publish"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step. fields: those that differ, of the form. before: as registered. entry: None for a deletion."""

    verb: Verb
    kind: Kind
    key: str
    fields: tuple[str, ...] = ()
    entry: Entry | None = None
    before: Resource | None = None

    def plain(self) -> dict[str, object]:
        return {"action": self.verb, "kind": self.kind, "id": self.key, "fields": list(self.fields)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """changes: in order. unchanged: how many documents say what is registered already. sources: entry keys by source."""

    changes: tuple[Change, ...]
    unchanged: int
    sources: Mapping[str, Mapping[Key, Entry]]

    @property
    def new_clients(self) -> tuple[Change, ...]:
        """Those that will have a secret to keep."""
        made = {Verb.CREATE, Verb.UPDATE}
        return tuple(change for change in self.changes if change.kind is Kind.CLIENT and change.verb in made)

    @property
    def deletions(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.verb is Verb.DELETE)


class Planner:
    """Plans for one gateway, as the person at the machine."""

    def __init__(
        self, registrations: Registrations, places: Places, principal: Principal, inventory: Inventory
    ) -> None:
        self._registrations = registrations
        self._places = places
        self._principal = principal
        self._inventory = inventory

    def plan(self, paths: Sequence[Path], *, defaults: Sequence[Path] = (), prune: bool = False) -> Plan:
        """Reads and compares. defaults: are registered where there is nothing yet, and never changed or pruned.

        Raises ApplyRefused with everything that is wrong.
        """
        directory = read(paths, defaults)
        named = directory.named()
        registered = Registered(self._registrations, self._principal)
        gone = self._gone(paths, named, registered) if prune else ()
        world = World(named, registered, gone)
        locations = Locations(self._places, world)
        found = [*directory.found, *check(directory.entries, world)]
        found += [one for entry in directory.entries for one in locations.check(entry)]
        compared = _Comparison(registered, None if found else locations, self._inventory)
        changes = [change for entry in directory.entries for change in compared.changes(entry)]
        found += compared.found
        if found:
            raise ApplyRefused(found)
        changes += [
            Change(verb=Verb.DELETE, kind=kind, key=key, before=_resource(registered, kind, key)) for kind, key in gone
        ]
        touched = {(change.kind, change.key) for change in changes}
        return Plan(
            changes=tuple(sorted(changes, key=_rank)),
            unchanged=sum(key not in touched for key, entry in named.items() if not entry.is_default),
            sources=_by_source(paths, directory),
        )

    def _gone(self, paths: Sequence[Path], named: Mapping[Key, Entry], registered: Registered) -> tuple[Key, ...]:
        """What these sources named once, do not name now, and is still the same thing."""
        gone: dict[Key, None] = {}
        for path in paths:
            for (kind, key), applied in self._inventory.of(source_of(path)).items():
                uid = registered.uid(kind, key)
                if (kind, key) not in named and uid is not None and applied.uid in {"", uid}:
                    gone[kind, key] = None
        return tuple(gone)


def source_of(path: Path) -> str:
    """What the inventory calls a source."""
    return str(path.resolve())


def _by_source(paths: Sequence[Path], directory: Directory) -> dict[str, dict[Key, Entry]]:
    """Each entry under the given path that it was read from."""
    sources: dict[str, dict[Key, Entry]] = {source_of(path): {} for path in paths}
    for entry in directory.entries:
        if not entry.is_default:
            sources[source_of(entry.given)][entry.kind, entry.key] = entry
    return sources


def _resource(registered: Registered, kind: Kind, key: str) -> Resource | None:
    return None if kind is Kind.CLIENT else registered.get(kind, key)


class _Comparison:
    """locations: None while there are problems already; then nothing is asked of storages."""

    def __init__(self, registered: Registered, locations: Locations | None, inventory: Inventory) -> None:
        self._registered = registered
        self._locations = locations
        self._inventory = inventory
        self.found: list[Found] = []

    def changes(self, entry: Entry) -> Iterator[Change]:
        if entry.kind is Kind.CLIENT:
            yield from self._client(entry)
            return
        before = self._registered.get(entry.kind, entry.key)
        if before is None:
            yield Change(verb=Verb.CREATE, kind=entry.kind, key=entry.key, entry=entry)
        elif not entry.is_default:
            fields = self._fields(entry, before)
            if fields:
                change = Change(
                    verb=Verb.UPDATE, kind=entry.kind, key=entry.key, fields=fields, entry=entry, before=before
                )
                yield change
        if entry.kind is Kind.DATASET and self._needs_version(entry, before):
            yield Change(verb=Verb.PUBLISH, kind=Kind.DATASET, key=entry.key, entry=entry, before=before)

    def _client(self, entry: Entry) -> Iterator[Change]:
        before: Client | None = self._registered.client(entry.key)
        if before is None:
            yield Change(verb=Verb.CREATE, kind=Kind.CLIENT, key=entry.key, entry=entry)
            return
        for field in ("roles", "scopes"):
            if set(getattr(entry.document, field)) != getattr(before, field):
                sentence = f"The {field} of a client do not change: give the client another name, or revoke it first."
                self.found.append(entry.found(field, sentence))
        if any(known.get((Kind.CLIENT, entry.key)) == Applied() for known in self._inventory.things.values()):
            # An earlier run died between making the client and keeping its secret.
            yield Change(verb=Verb.UPDATE, kind=Kind.CLIENT, key=entry.key, fields=("secret",), entry=entry)

    def _fields(self, entry: Entry, before: Resource) -> tuple[str, ...]:
        if isinstance(before, PolicyRecord):
            return tuple(_changed_keys(entry.document, before.document))
        after = desired(entry, before)
        names = [name for name in type(after).__dataclass_fields__ if name not in _SET_BY_STORE]
        fields = [name for name in names if _value(after, name) != _value(before, name)]
        if isinstance(after, Dataset) and after.status is DatasetStatus.PUBLISHED and "status" in fields:
            fields.remove("status")  # its own step, after the policies
        if entry.kind is Kind.STORAGE and self._has_new_credentials(entry, before.uid):
            fields.append("credentials")
        return tuple(fields)

    def _has_new_credentials(self, entry: Entry, uid: str) -> bool:
        credentials = entry.document.credentials
        if credentials is None:
            return False
        known = (
            self._inventory.of(source).get((entry.kind, entry.key), Applied())
            for source in list(self._inventory.things)
        )
        return not any(one.uid == uid and is_fingerprint_of(one.credentials, credentials.reveal()) for one in known)

    def _needs_version(self, entry: Entry, before: Resource | None) -> bool:
        """A published dataset needs a version if other files lie at its location than the newest one lists."""
        after: Dataset = desired(entry, before)
        if after.status is not DatasetStatus.PUBLISHED or self._locations is None:
            return False
        version = self._registered.version(before) if isinstance(before, Dataset) else None
        try:
            differs = self._locations.differs(after, version)
        except StorageError as refused:
            self.found.append(entry.found("location", refused.sentence))
            return False
        return differs or not isinstance(before, Dataset) or before.status is not DatasetStatus.PUBLISHED


def _value(entity: Resource, name: str) -> object:
    """A lab's partners and spaces have no order."""
    value = getattr(entity, name)
    return frozenset(value) if name in {"partners", "spaces"} else value


def _changed_keys(document: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    for key in {**document, **stored}:
        if key not in document or key not in stored or document[key] != stored[key]:
            yield key


_ORDER = tuple(Kind)


def _rank(change: Change) -> tuple[int, ...]:
    """Where a change stands in the order that the module promises."""
    position = _ORDER.index(change.kind)
    if change.kind is Kind.POLICY:
        if change.verb is Verb.DELETE:
            return (position, 0) if _is_permit_of_dataset(change) else (position + 2, 0)
        document: Mapping[str, Any] = change.entry.document if change.entry else {}
        return (position, 1 if document.get("effect") == "forbid" else 2)
    if change.verb is Verb.PUBLISH:
        return (position + 2, 0)
    if change.verb is Verb.DELETE:
        if change.kind is Kind.DATASET:
            return (position, 1)
        return (100 - position, int(isinstance(change.before, AiFactory) and change.before.factory is None))
    if change.kind is Kind.AI_FACTORY and change.entry is not None:
        return (position, int(change.entry.document.type is FactoryType.ANTENNA))
    return (position, 0)


def _is_permit_of_dataset(change: Change) -> bool:
    record = change.before
    return (
        isinstance(record, PolicyRecord)
        and record.scope.startswith("dataset:")
        and record.document.get("effect") == "permit"
    )
