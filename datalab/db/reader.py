"""Reads of the catalogue, remembered for as long as the database's revision stands still.

Implements `datalab.flow.ports.Catalogue`. A request costs one indexed read of the revision; what it asks for is read once
per revision, by index, and kept in a memo of bounded weight. All answers that one `consistently` call sees are of one
revision. Must never answer from a memo of an older revision than the caller was told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, TypeVar, cast

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from catalog.entities import (
    Admission,
    AiFactory,
    DataLab,
    Dataset,
    DataSpace,
    Participant,
    PolicyRecord,
    Storage,
    Version,
)
from datalab.db import bulk
from datalab.db.catalogue import (
    AdmissionRow,
    AiFactoryRow,
    DataLabRow,
    DataSpaceRow,
    ParticipantRow,
    StorageRow,
)
from datalab.db.columns import Entity, entity_of
from datalab.db.database import Database, RevisionRow
from datalab.db.datasets import DatasetRow
from datalab.db.policies import PolicyRow, in_force, policy_record
from datalab.db.versions import read_version
from datalab.flow.ports import Catalogue

Answer = TypeVar("Answer")
Key = tuple[object, ...]
Load = Callable[[Session], Any]

MEMO_WEIGHT = 100_000
"""How much one revision's memo holds: about one per small value, one more per 10 files of a version."""


class Moved(Exception):
    """A read found a newer revision than its view is of."""


class Memo:
    """What was read of one revision. Oldest entries go first when it is full."""

    def __init__(self, revision: int, capacity: int) -> None:
        self.revision = revision
        self._capacity = capacity
        self._weight = 0
        self._lock = Lock()
        self._answers: dict[Key, tuple[int, Any]] = {}

    def get(self, key: Key) -> tuple[int, Any] | None:
        return self._answers.get(key)

    def put(self, key: Key, weight: int, answer: Any) -> None:
        with self._lock:
            if key in self._answers or weight > self._capacity:
                return
            while self._weight + weight > self._capacity:
                oldest = next(iter(self._answers))
                self._weight -= self._answers.pop(oldest)[0]
            self._answers[key] = (weight, answer)
            self._weight += weight

    @property
    def weight(self) -> int:
        return self._weight


class _Lookups:
    """The lookups by id, over whatever `_remember` does."""

    def _remember(self, key: Key, load: Load) -> Any:
        raise NotImplementedError

    def _by_id(self, row: Any, kind: type[Entity], id_: str) -> Entity | None:
        def load(session: Session) -> Entity | None:
            found = session.execute(select(row).where(row.id == id_)).scalar_one_or_none()
            return None if found is None else entity_of(found, kind)

        return cast("Entity | None", self._remember((kind, id_), load))

    def ai_factory(self, id_: str) -> AiFactory | None:
        return self._by_id(AiFactoryRow, AiFactory, id_)

    def data_space(self, id_: str) -> DataSpace | None:
        return self._by_id(DataSpaceRow, DataSpace, id_)

    def data_lab(self, id_: str) -> DataLab | None:
        def load(session: Session) -> DataLab | None:
            # One statement, whether the lab exists or not: a hidden dataset's lab must not cost more than no lab.
            joined = (joinedload(DataLabRow.partner_rows), joinedload(DataLabRow.space_rows))
            query = select(DataLabRow).options(*joined).where(DataLabRow.id == id_)
            found = session.execute(query).unique().scalar_one_or_none()
            return None if found is None else entity_of(found, DataLab)

        return cast("DataLab | None", self._remember((DataLab, id_), load))

    def participant(self, id_: str) -> Participant | None:
        return self._by_id(ParticipantRow, Participant, id_)

    def storage(self, id_: str) -> Storage | None:
        return self._by_id(StorageRow, Storage, id_)

    def dataset(self, space: str, name: str) -> Dataset | None:
        def load(session: Session) -> Dataset | None:
            where = select(DatasetRow).where(DatasetRow.space == space, DatasetRow.name == name)
            found = session.execute(where).scalar_one_or_none()
            return None if found is None else entity_of(found, Dataset)

        return cast("Dataset | None", self._remember((Dataset, space, name), load))

    def version(self, dataset_uid: str, number: int | None = None, *, files: bool = True) -> Version | None:
        def load(session: Session) -> Version | None:
            return read_version(session, dataset_uid, number, files=files)

        return cast("Version | None", self._remember((Version, dataset_uid, number, files), load))

    def admissions(self, participant: str) -> tuple[Admission, ...]:
        def load(session: Session) -> tuple[Admission, ...]:
            order = (AdmissionRow.space, AdmissionRow.role)
            where = select(AdmissionRow).where(AdmissionRow.participant == participant).order_by(*order)
            return tuple(entity_of(row, Admission) for row in session.execute(where).scalars())

        return cast("tuple[Admission, ...]", self._remember((Admission, participant), load))

    def policy_scopes(self) -> tuple[str, ...]:
        def load(session: Session) -> tuple[str, ...]:
            query = select(PolicyRow.scope).where(PolicyRow.scope.not_like("dataset:%")).distinct()
            return tuple(session.execute(query.order_by(PolicyRow.scope)).scalars())

        return cast("tuple[str, ...]", self._remember(("policy scopes",), load))

    def policies(self, scope: str) -> tuple[PolicyRecord, ...]:
        def load(session: Session) -> tuple[PolicyRecord, ...]:
            where = in_force().where(PolicyRow.scope == scope).order_by(PolicyRow.id)
            return tuple(policy_record(*found) for found in session.execute(where))

        return cast("tuple[PolicyRecord, ...]", self._remember((PolicyRecord, scope), load))


def _weight(answer: Any) -> int:
    if isinstance(answer, Version):
        return 1 + len(answer.files) // 10
    return 1 + len(answer) if isinstance(answer, tuple) else 1


class View(_Lookups):
    """The catalogue at one revision; raises `Moved` when it would have to read a newer one."""

    def __init__(self, database: Database, memo: Memo) -> None:
        self._database = database
        self._memo = memo

    def revision(self) -> int:
        return self._memo.revision

    def _remember(self, key: Key, load: Load) -> Any:
        known = self._memo.get(key)
        if known is not None:
            return known[1]
        with self._database.read() as session:
            answer = load(session)
            if _revision(session) != self._memo.revision:
                raise Moved
        self._memo.put(key, _weight(answer), answer)
        return answer


class Held(_Lookups):
    """The catalogue as one open read transaction sees it: never moves, remembers for itself."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._revision = _revision(session)
        self._answers: dict[Key, Any] = {}

    def revision(self) -> int:
        return self._revision

    def _remember(self, key: Key, load: Load) -> Any:
        if key not in self._answers:
            self._answers[key] = load(self._session)
        return self._answers[key]


class Reader(_Lookups):
    """The catalogue for all requests of this process; thread-safe. Implements `flow.ports.ConsistentCatalogue`."""

    def __init__(self, database: Database, *, memo_weight: int = MEMO_WEIGHT) -> None:
        self._database = database
        self._memo_weight = memo_weight
        self._memo = Memo(-1, memo_weight)

    def revision(self) -> int:
        return self._current(self._database.revision()).revision

    def consistently(self, work: Callable[[Catalogue], Answer]) -> Answer:
        """Runs `work` on a catalogue of one revision, the newest at its start.

        work: must be repeatable: it starts again when a write came between its reads (3 times; then it runs in one read
        transaction, which no write can come between).
        """
        for _attempt in range(3):
            try:
                return work(View(self._database, self._current(self._database.revision())))
            except Moved:
                continue
        with self._database.read() as session:
            return work(Held(session))

    def prefetch(self, datasets: Sequence[Dataset]) -> None:
        """Three statements for what would be three for each dataset: its row, its newest version, its policies."""
        memo = self._memo
        unknown = [one for one in datasets if memo.get((PolicyRecord, f"dataset:{one.key}")) is None]
        if not unknown:
            return
        with self._database.read() as session:
            memo = self._current(_revision(session))
            for key, answer in bulk.about(session, unknown):
                memo.put(key, _weight(answer), answer)

    def _remember(self, key: Key, load: Load) -> Any:
        known = self._memo.get(key)
        if known is not None:
            return known[1]
        with self._database.read() as session:
            answer = load(session)
            memo = self._current(_revision(session))
        memo.put(key, _weight(answer), answer)
        return answer

    def _current(self, revision: int) -> Memo:
        """The memo of that revision. Revisions only grow, so an older one than known is a slow reader's: it gets a memo of
        its own, which nobody else will see.
        """
        memo = self._memo
        if memo.revision == revision:
            return memo
        fresh = Memo(revision, self._memo_weight)
        if revision > memo.revision:
            self._memo = fresh
        return fresh


def _revision(session: Session) -> int:
    return session.execute(select(RevisionRow.value)).scalar_one_or_none() or 0
