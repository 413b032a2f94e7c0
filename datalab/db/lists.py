"""Pages of what is registered, each for the audience that may see it.

Implements `datalab.registry.ports.Lists`: every list is one statement, in the order of its key, from a key onwards. Must
never return a row that its audience may not read; for datasets it narrows to candidates and the decision has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, case, exists, false, literal, or_, select, true, tuple_

from catalog.entities import (
    Admission,
    AiFactory,
    DataLab,
    Dataset,
    DatasetStatus,
    DataSpace,
    Participant,
    ParticipantStatus,
    PolicyRecord,
    Storage,
    StorageKind,
)
from datalab.db.catalogue import (
    AdmissionRow,
    AiFactoryRow,
    DataLabRow,
    DataSpaceRow,
    LabPartnerRow,
    LabSpaceRow,
    ParticipantRow,
    StorageRow,
)
from datalab.db.columns import entity_of
from datalab.db.database import Database
from datalab.db.datasets import DatasetRow
from datalab.db.policies import PolicyRow, PolicyVersionRow, in_force, policy_record
from datalab.flow.rulings import Reach
from datalab.registry.ports import Audience, DatasetFilter, Page, PolicyVersion

Entity = TypeVar("Entity")
Condition = ColumnElement[bool]
FEDERATION = "federation"


class SqlLists:
    def __init__(self, database: Database) -> None:
        self._database = database

    def participants(self, page: Page, audience: Audience) -> tuple[Participant, ...]:
        verified = ParticipantRow.status == ParticipantStatus.VERIFIED
        own = ParticipantRow.id == audience.participant
        everyone = audience.everything or audience.operator
        return self._page(ParticipantRow, Participant, page, [] if everyone else [or_(verified, own)])

    def ai_factories(self, page: Page) -> tuple[AiFactory, ...]:
        return self._page(AiFactoryRow, AiFactory, page, [])

    def data_spaces(self, page: Page, sector: str | None = None) -> tuple[DataSpace, ...]:
        return self._page(DataSpaceRow, DataSpace, page, [] if sector is None else [DataSpaceRow.sector == sector])

    def data_labs(self, page: Page, audience: Audience, ai_factory: str | None = None) -> tuple[DataLab, ...]:
        where = [_labs_of(audience)]
        if ai_factory is not None:
            where.append(_lab_at(ai_factory))
        return self._page(DataLabRow, DataLab, page, where)

    def storages(self, page: Page, audience: Audience) -> tuple[Storage, ...]:
        own = StorageRow.participant == audience.participant
        local = StorageRow.kind == StorageKind.LOCAL if audience.operator else false()
        return self._page(StorageRow, Storage, page, [] if audience.everything else [or_(own, local)])

    def admissions(self, page: Page, space: str) -> tuple[Admission, ...]:
        where = [AdmissionRow.space == space]
        return self._page(AdmissionRow, Admission, page, where, key=AdmissionRow.uid)

    def datasets(self, page: Page, audience: Audience, where: DatasetFilter, reach: Reach) -> tuple[Dataset, ...]:
        conditions = [_datasets_for(audience, reach), *_matching(where)]
        if page.after is not None:
            space, _, name = page.after.partition("/")
            conditions.append(tuple_(DatasetRow.space, DatasetRow.name) > tuple_(literal(space), literal(name)))
        query = select(DatasetRow).where(*conditions).order_by(DatasetRow.space, DatasetRow.name).limit(page.limit)
        with self._database.read() as session:
            return tuple(entity_of(row, Dataset) for row in session.execute(query).scalars())

    def policies(self, page: Page, audience: Audience, scope: str | None = None) -> tuple[PolicyRecord, ...]:
        query = in_force().where(_policies_for(audience)).order_by(PolicyRow.id).limit(page.limit)
        if scope is not None:
            query = query.where(PolicyRow.scope == scope)
        if page.after is not None:
            query = query.where(PolicyRow.id > page.after)
        with self._database.read() as session:
            return tuple(policy_record(*found) for found in session.execute(query))

    def policy_versions(self, policy_uid: str) -> tuple[PolicyVersion, ...]:
        query = (
            select(PolicyVersionRow).where(PolicyVersionRow.policy_uid == policy_uid).order_by(PolicyVersionRow.number)
        )
        with self._database.read() as session:
            return tuple(
                PolicyVersion(
                    policy=row.policy_id,
                    number=row.number,
                    scope=row.scope,
                    document=row.document,
                    author_issuer=row.author_issuer,
                    author_subject=row.author_subject,
                    reason=row.reason,
                    created_at=row.created_at,
                )
                for row in session.execute(query).scalars()
            )

    def _page(
        self, row: type[Any], kind: type[Any], page: Page, where: Sequence[Condition], key: Any = None
    ) -> tuple[Any, ...]:
        key = row.id if key is None else key
        query = select(row).where(*where).order_by(key).limit(page.limit)
        if page.after is not None:
            query = query.where(key > page.after)
        with self._database.read() as session:
            return tuple(entity_of(found, kind) for found in session.execute(query).scalars())


def _labs_of(audience: Audience) -> Condition:
    """Labs that the audience operates, or that joined one of its spaces."""
    if audience.everything or audience.operator:
        return true()
    joined = exists().where(LabSpaceRow.lab == DataLabRow.id, LabSpaceRow.space.in_(audience.spaces))
    return or_(DataLabRow.operator == audience.participant, joined)


def _lab_at(ai_factory: str) -> Condition:
    partner = exists().where(LabPartnerRow.lab == DataLabRow.id, LabPartnerRow.ai_factory == ai_factory)
    return or_(DataLabRow.home == ai_factory, partner)


def _datasets_for(audience: Audience, reach: Reach) -> Condition:
    """Own ones; of the others only published ones that policies may open: without any, nobody discovers."""
    if audience.everything:
        return true()
    own = DatasetRow.provider == audience.participant
    if FEDERATION in reach.closed:
        return own
    key = literal("dataset:") + DatasetRow.space + literal("/") + DatasetRow.name
    opened = or_(
        true() if FEDERATION in reach.opened else false(),
        DatasetRow.space.in_(_ids("space:", reach.opened)),
        DatasetRow.lab.in_(_ids("lab:", reach.opened)),
        exists().where(PolicyRow.scope == key),
    )
    open_to_somebody = and_(
        DatasetRow.space.not_in(_ids("space:", reach.closed)),
        DatasetRow.lab.not_in(_ids("lab:", reach.closed)),
        opened,
    )
    # A case, not an or: SQLite would take an index for each side of the or and then sort all that it found, while it can
    # walk the order of the page and stop at its end.
    return case((own, true()), (DatasetRow.status == DatasetStatus.PUBLISHED, open_to_somebody), else_=false())


def _ids(level: str, scopes: Iterable[str]) -> list[str]:
    return sorted(scope.removeprefix(level) for scope in scopes if scope.startswith(level))


def _matching(where: DatasetFilter) -> list[Condition]:
    words = (where.q or "").casefold().split()
    found: list[Condition] = [DatasetRow.search_text.contains(word, autoescape=True) for word in words]
    for field in ("space", "lab", "provider", "licence"):
        value = getattr(where, field)
        if value is not None:
            found.append(getattr(DatasetRow, field) == value)
    if where.ai_factory is not None:
        found.append(exists().where(DataLabRow.id == DatasetRow.lab, _lab_at(where.ai_factory)))
    if where.sector is not None:
        found.append(exists().where(DataSpaceRow.id == DatasetRow.space, DataSpaceRow.sector == where.sector))
    if where.country is not None:
        found.append(exists().where(ParticipantRow.id == DatasetRow.provider, ParticipantRow.country == where.country))
    return found


def _policies_for(audience: Audience) -> Condition:
    """The federation's; those of spaces and labs the audience is a member or the operator of; those of its datasets."""
    if audience.everything:
        return true()
    own_dataset = and_(PolicyRow.scope.startswith("dataset:"), PolicyRow.owner == audience.participant)
    if audience.operator:
        return or_(PolicyRow.scope.startswith("dataset:").is_(False), own_dataset)
    member_spaces = PolicyRow.scope.in_([f"space:{space}" for space in sorted(audience.spaces)])
    own_spaces = PolicyRow.scope.in_(
        select(literal("space:") + DataSpaceRow.id).where(DataSpaceRow.operator == audience.participant)
    )
    labs = PolicyRow.scope.in_(select(literal("lab:") + DataLabRow.id).where(_labs_of(audience)))
    return or_(PolicyRow.scope == "federation", member_spaces, own_spaces, labs, own_dataset)
