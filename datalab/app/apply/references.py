"""Do the documents fit what will exist: every reference leads somewhere, every role was given, nothing fixed is changed.

Owns the same questions that the registry asks at each write, put to the outcome of the whole directory before the first
write, so that all answers come at once. The registry's own answer stays the one that counts. Must never write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from catalog.entities import (
    Admission,
    AdmissionRole,
    AiFactory,
    DataLab,
    Dataset,
    DatasetStatus,
    DataSpace,
    FactoryType,
    Participant,
    ParticipantStatus,
    Resource,
    Storage,
)
from datalab.app.apply.errors import Found
from datalab.app.apply.kinds import ClientDocument, Kind
from datalab.app.apply.reading import Entry
from datalab.app.apply.registered import Registered
from datalab.registry.datasets import FOLLOWS

Key = tuple[Kind, str]


def desired(entry: Entry, before: Resource | None) -> Any:
    """The entity that the document asks for. A status it does not name stays what it is."""
    entity = entry.document.entity()
    if entry.kind in {Kind.PARTICIPANT, Kind.DATASET} and "status" not in entry.document.model_fields_set and before:
        return replace(entity, status=getattr(before, "status"))  # noqa: B009 - both kinds have one
    return entity


class World:
    """What will be registered once the directory is applied and `gone` is deleted."""

    def __init__(self, named: Mapping[Key, Entry], registered: Registered, gone: Collection[Key]) -> None:
        self._named = named
        self._registered = registered
        self._gone = gone

    def get(self, kind: Kind, key: str) -> Any:
        entry = self._named.get((kind, key))
        if entry is not None and not (entry.is_default and self._registered.get(kind, key)):
            return desired(entry, self._registered.get(kind, key))
        return None if (kind, key) in self._gone else self._registered.get(kind, key)

    def entry(self, kind: Kind, key: str) -> Entry | None:
        """The document that asks for it, if one does."""
        return self._named.get((kind, key))

    def before(self, kind: Kind, key: str) -> Any:
        return self._registered.get(kind, key)

    def admits(self, space: str, participant: str, role: AdmissionRole) -> bool:
        return self.get(Kind.ADMISSION, f"{space}/{participant}/{role}") is not None

    def verified(self, participant: str) -> bool:
        found = self.get(Kind.PARTICIPANT, participant)
        return isinstance(found, Participant) and found.status is ParticipantStatus.VERIFIED


def check(entries: Iterable[Entry], world: World) -> Iterator[Found]:
    """Everything that does not fit."""
    for entry in entries:
        if entry.kind is Kind.PARTICIPANT:
            continue  # refers to nothing
        for field, sentence in _CHECKS[entry.kind](entry, world):
            yield entry.found(field, sentence)


Problems = Iterator[tuple[str, str]]
_UNVERIFIED = "This must be a verified participant."


def _client(entry: Entry, world: World) -> Problems:
    document: ClientDocument = entry.document
    if world.get(Kind.PARTICIPANT, document.participant) is None:
        yield "participant", "There is no such participant."


def _ai_factory(entry: Entry, world: World) -> Problems:
    factory: AiFactory = entry.document.entity()
    if factory.factory is not None:
        parent = world.get(Kind.AI_FACTORY, factory.factory)
        if parent is None or parent.type is FactoryType.ANTENNA:
            yield "factory", "An antenna belongs to an existing factory."


def _data_space(entry: Entry, world: World) -> Problems:
    space: DataSpace = entry.document.entity()
    if space.operator is not None and not world.verified(space.operator):
        yield "operator", _UNVERIFIED


def _admission(entry: Entry, world: World) -> Problems:
    admission: Admission = entry.document.entity()
    if world.get(Kind.DATA_SPACE, admission.space) is None:
        yield "space", "There is no such data space."
    if not world.verified(admission.participant):
        yield "participant", _UNVERIFIED


def _data_lab(entry: Entry, world: World) -> Problems:
    lab: DataLab = entry.document.entity()
    if world.get(Kind.AI_FACTORY, lab.home) is None:
        yield "home", "A data lab needs an existing home AI factory."
    for index, partner in enumerate(lab.partners):
        if world.get(Kind.AI_FACTORY, partner) is None:
            yield f"partners.{index}", "There is no such AI factory."
    if not world.verified(lab.operator):
        yield "operator", _UNVERIFIED
    for index, space in enumerate(lab.spaces):
        if world.get(Kind.DATA_SPACE, space) is None:
            yield f"spaces.{index}", "There is no such data space."
        elif not world.admits(space, lab.operator, AdmissionRole.LAB):
            yield f"spaces.{index}", f"{space} has not admitted {lab.operator} as a lab."


def _storage(entry: Entry, world: World) -> Problems:
    storage: Storage = entry.document.entity()
    before: Storage | None = world.before(Kind.STORAGE, storage.id)
    if not world.verified(storage.participant):
        yield "participant", _UNVERIFIED
    if before is not None and before.participant != storage.participant:
        yield "participant", "A storage keeps its participant."
    if before is not None and before.kind is not storage.kind:
        yield "kind", "A storage keeps its type."


def _dataset(entry: Entry, world: World) -> Problems:
    dataset: Dataset = desired(entry, world.before(Kind.DATASET, entry.key))
    if world.get(Kind.DATA_SPACE, dataset.space) is None:
        yield "space", "There is no such data space."
    elif not world.admits(dataset.space, dataset.provider, AdmissionRole.PROVIDER):
        yield "provider", f"{dataset.space} has not admitted {dataset.provider} as a provider."
    if not world.verified(dataset.provider):
        yield "provider", _UNVERIFIED
    lab: DataLab | None = world.get(Kind.DATA_LAB, dataset.lab)
    if lab is None or dataset.space not in lab.spaces:
        yield "lab", "There is no such data lab in this data space."
    storage: Storage | None = world.get(Kind.STORAGE, dataset.storage)
    if storage is None or storage.participant != dataset.provider:
        yield "storage", "The provider has no such storage."
    before: Dataset | None = world.before(Kind.DATASET, dataset.key)
    if before is not None and before.provider != dataset.provider:
        yield "provider", "A dataset keeps its provider."
    if before is not None and dataset.status not in FOLLOWS[before.status]:
        yield "status", f"It is {before.status}: a dataset goes from draft to published to withdrawn, and not back."
    if before is None and dataset.status is DatasetStatus.WITHDRAWN:
        yield "status", "A dataset is published before it is withdrawn."


def _policy(entry: Entry, world: World) -> Problems:
    level, _, id_ = str(entry.document["scope"]).partition(":")
    kinds = {"space": Kind.DATA_SPACE, "lab": Kind.DATA_LAB, "dataset": Kind.DATASET}
    if level in kinds and world.get(kinds[level], id_) is None:
        yield "scope", "This scope binds nothing that is or will be registered."


_CHECKS: Mapping[Kind, Callable[[Entry, World], Problems]] = {
    Kind.CLIENT: _client,
    Kind.AI_FACTORY: _ai_factory,
    Kind.DATA_SPACE: _data_space,
    Kind.ADMISSION: _admission,
    Kind.DATA_LAB: _data_lab,
    Kind.STORAGE: _storage,
    Kind.DATASET: _dataset,
    Kind.POLICY: _policy,
}
