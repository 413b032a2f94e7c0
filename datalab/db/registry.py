"""The registry's storage: one transaction over the catalogue's tables.

Implements `datalab.registry.ports.Store`. A broken reference, whichever table holds it, comes out as the registry's own
Conflict. Must never decide who may do what.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from catalog.entities import (
    Admission,
    AdmissionRole,
    AiFactory,
    DataLab,
    Dataset,
    DataSpace,
    Participant,
    Storage,
)
from catalog.entities import Resource as Registered
from datalab.db.catalogue import (
    AdmissionRow,
    AiFactoryRow,
    DataLabRow,
    DataSpaceRow,
    LabPartnerRow,
    LabSpaceRow,
    NameRow,
    ParticipantRow,
    StorageRow,
)
from datalab.db.columns import entity_of, fill
from datalab.db.database import Database
from datalab.db.datasets import DatasetRow, search_text
from datalab.db.lists import SqlLists
from datalab.db.policies import SqlPolicies
from datalab.db.versions import newest_row
from datalab.registry.errors import Conflict, Unavailable

Entity = TypeVar("Entity", bound=Registered)


class SqlCollection(Generic[Entity]):
    """The rows of one kind, by id."""

    def __init__(self, session: Session, row: type[Any], kind: type[Entity]) -> None:
        self._session = session
        self._row = row
        self._kind = kind

    def get(self, key: str) -> Entity | None:
        row = self._find(key)
        return None if row is None else entity_of(row, self._kind)

    def add(self, entity: Entity) -> Entity:
        row = self._row()
        self._write(row, entity)
        self._session.add(row)
        self._session.flush()
        return entity_of(row, self._kind)

    def replace(self, entity: Entity) -> Entity:
        row = self._one(self._key(entity))
        self._write(row, entity)
        row.revision += 1
        self._session.flush()
        return entity_of(row, self._kind)

    def remove(self, key: str) -> None:
        self._session.delete(self._one(key))
        self._session.flush()

    def _one(self, key: str) -> Any:
        row = self._find(key)
        if row is None:
            raise LookupError(f"no {self._row.__tablename__} row {key!r}")
        return row

    def _find(self, key: str) -> Any:
        return self._session.execute(select(self._row).where(self._row.id == key)).scalar_one_or_none()

    def _key(self, entity: Entity) -> str:
        return cast("str", entity.id)  # type: ignore[attr-defined]  # every kind but Dataset, which overrides this

    def _write(self, row: Any, entity: Entity) -> None:
        fill(row, entity)


class SqlDatasets(SqlCollection[Dataset]):
    def _find(self, key: str) -> Any:
        space, _, name = key.partition("/")
        where = select(DatasetRow).where(DatasetRow.space == space, DatasetRow.name == name)
        return self._session.execute(where).scalar_one_or_none()

    def _key(self, entity: Dataset) -> str:
        return entity.key

    def _write(self, row: Any, entity: Dataset) -> None:
        fill(row, entity)
        row.search_text = search_text(entity)


class SqlTransaction:
    """One write transaction over the catalogue."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.participants = SqlCollection(session, ParticipantRow, Participant)
        self.ai_factories = SqlCollection(session, AiFactoryRow, AiFactory)
        self.data_spaces = SqlCollection(session, DataSpaceRow, DataSpace)
        self.data_labs = SqlCollection(session, DataLabRow, DataLab)
        self.storages = SqlCollection(session, StorageRow, Storage)
        self.datasets = SqlDatasets(session, DatasetRow, Dataset)
        self.policies = SqlPolicies(session)

    def claim(self, namespace: str, name: str, *, owner: str, uid: str) -> bool:
        known = self._session.get(NameRow, (namespace, name))
        if known is None:
            self._session.add(NameRow(namespace=namespace, name=name, owner=owner, uid=uid))
        elif known.deleted_at is None or known.owner != owner:
            return False
        else:
            known.uid, known.deleted_at = uid, None
        self._session.flush()
        return True

    def release(self, namespace: str, name: str, *, at: datetime) -> None:
        known = self._session.get(NameRow, (namespace, name))
        if known is not None:
            known.deleted_at = at

    def seal(self, storage: str, sealed: bytes | None) -> None:
        self._session.execute(update(StorageRow).where(StorageRow.id == storage).values(credentials=sealed))

    def admission(self, space: str, participant: str, role: AdmissionRole) -> Admission | None:
        row = self._admission_row(space, participant, role)
        return None if row is None else entity_of(row, Admission)

    def admit(self, admission: Admission) -> Admission:
        row = AdmissionRow()
        fill(row, admission)
        self._session.add(row)
        self._session.flush()
        return entity_of(row, Admission)

    def dismiss(self, admission: Admission) -> None:
        self._session.execute(delete(AdmissionRow).where(AdmissionRow.uid == admission.uid))

    def dismiss_all(self, space: str) -> None:
        self._session.execute(delete(AdmissionRow).where(AdmissionRow.space == space))

    def _admission_row(self, space: str, participant: str, role: AdmissionRole) -> AdmissionRow | None:
        where = (AdmissionRow.space == space, AdmissionRow.participant == participant, AdmissionRow.role == role)
        return self._session.execute(select(AdmissionRow).where(*where)).scalar_one_or_none()

    def has_labs(self, *, ai_factory: str | None = None, space: str | None = None, operator: str | None = None) -> bool:
        where = []
        if ai_factory is not None:
            partner = exists().where(LabPartnerRow.lab == DataLabRow.id, LabPartnerRow.ai_factory == ai_factory)
            where.append(or_(DataLabRow.home == ai_factory, partner))
        if space is not None:
            where.append(exists().where(LabSpaceRow.lab == DataLabRow.id, LabSpaceRow.space == space))
        if operator is not None:
            where.append(DataLabRow.operator == operator)
        return self._any(select(DataLabRow.uid).where(*where))

    def has_antennas(self, ai_factory: str) -> bool:
        return self._any(select(AiFactoryRow.uid).where(AiFactoryRow.factory == ai_factory))

    def has_datasets(
        self,
        *,
        space: str | None = None,
        lab: str | None = None,
        storage: str | None = None,
        provider: str | None = None,
    ) -> bool:
        given = {"space": space, "lab": lab, "storage": storage, "provider": provider}
        where = [getattr(DatasetRow, field) == value for field, value in given.items() if value is not None]
        return self._any(select(DatasetRow.uid).where(*where))

    def column_names(self, dataset_uid: str) -> tuple[str, ...] | None:
        newest = newest_row(self._session, dataset_uid)
        return None if newest is None else tuple(column.name for column in newest.columns)

    def _any(self, query: Any) -> bool:
        return self._session.execute(query.limit(1)).first() is not None


class SqlStore:
    """Implements `datalab.registry.ports.Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lists = SqlLists(database)

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        with self._database.read() as session:
            yield SqlTransaction(session)

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        try:
            with self._database.write() as session:
                yield SqlTransaction(session)
        except IntegrityError as error:
            sentence = "Something still refers to this, or it refers to something that is not there."
            raise Conflict("registry.conflict", sentence) from error
        except OperationalError as error:  # locked for longer than we wait, full, or gone
            raise Unavailable from error
