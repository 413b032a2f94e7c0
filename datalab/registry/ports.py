"""What the registry needs from storage and from the audit trail, as Protocols; `datalab.db` and `datalab.flow.audit`
implement them, `datalab.app` wires them.

A `Transaction` is all or nothing and sees no other writer's half-done work.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from catalog.entities import (
    Admission,
    AdmissionRole,
    AiFactory,
    DataLab,
    Dataset,
    DataSpace,
    Participant,
    PolicyRecord,
    Storage,
)
from datalab.flow.principal import Principal
from datalab.flow.rulings import Reach

Registered = TypeVar("Registered")


class Namespace(StrEnum):
    """Where names are unique. Spaces and peers share one, because both are catalogue names in SQL."""

    PARTICIPANT = "participant"
    AI_FACTORY = "ai_factory"
    SQL = "sql"
    DATA_LAB = "data_lab"
    STORAGE = "storage"
    POLICY = "policy"
    DATASET = "dataset"  # followed by `:SPACE`


class Journal(Protocol):
    """The part of `datalab.flow.audit.Journal` that writes use."""

    def administrative(
        self, principal: Principal, *, verb: str, resource: str, detail: Mapping[str, object]
    ) -> AbstractContextManager[object]:
        """Opens a durable record, runs the block, closes the record with its outcome."""
        ...


class Sealer(Protocol):
    """Encrypts a storage's credentials at rest, bound to its uid."""

    def seal(self, uid: str, credentials: Mapping[str, str]) -> bytes: ...


class Collection(Protocol[Registered]):
    """The things of one kind, by their id (`space/name` for datasets)."""

    def get(self, key: str) -> Registered | None: ...

    def add(self, entity: Registered) -> Registered:
        """Stores it under a new uid with revision 1 and returns it with both."""
        ...

    def replace(self, entity: Registered) -> Registered:
        """Stores the new state of the thing with the same id; its revision grows by one."""
        ...

    def remove(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One text a policy had; document None: it was deleted."""

    policy: str
    number: int
    scope: str
    document: Mapping[str, object] | None
    author_issuer: str
    author_subject: str
    reason: str
    created_at: datetime


class PolicyCollection(Protocol):
    """Policies in force, each change kept as a version."""

    def get(self, key: str) -> PolicyRecord | None: ...
    def at(self, scope: str) -> tuple[PolicyRecord, ...]: ...
    def add(self, policy: PolicyRecord, *, author: Principal, reason: str, at: datetime) -> PolicyRecord: ...
    def replace(self, policy: PolicyRecord, *, author: Principal, reason: str, at: datetime) -> PolicyRecord: ...
    def remove(self, key: str, *, author: Principal, reason: str, at: datetime) -> None: ...


class Transaction(Protocol):
    @property
    def participants(self) -> Collection[Participant]: ...
    @property
    def ai_factories(self) -> Collection[AiFactory]: ...
    @property
    def data_spaces(self) -> Collection[DataSpace]: ...
    @property
    def data_labs(self) -> Collection[DataLab]: ...
    @property
    def storages(self) -> Collection[Storage]: ...
    @property
    def datasets(self) -> Collection[Dataset]: ...
    @property
    def policies(self) -> PolicyCollection: ...

    def claim(self, namespace: str, name: str, *, owner: str, uid: str) -> bool:
        """Takes the name for this owner; False if it is in use, or was another owner's."""
        ...

    def release(self, namespace: str, name: str, *, at: datetime) -> None:
        """Leaves a tombstone: only the same owner can take the name again."""
        ...

    def seal(self, storage: str, sealed: bytes | None) -> None:
        """Stores the sealed credentials of a storage; None removes them."""
        ...

    def admission(self, space: str, participant: str, role: AdmissionRole) -> Admission | None: ...
    def admit(self, admission: Admission) -> Admission: ...
    def dismiss(self, admission: Admission) -> None: ...

    def dismiss_all(self, space: str) -> None:
        """Removes every admission to a space that is being deleted."""
        ...

    # What still refers to a thing; kinds only, because the caller may not see each of them.
    def has_labs(self, *, ai_factory: str | None = None, space: str | None = None, operator: str | None = None) -> bool:
        """Whether a lab has that factory (as home or partner), joined that space, has that operator (all given ones)."""
        ...

    def has_antennas(self, ai_factory: str) -> bool: ...

    def has_datasets(
        self,
        *,
        space: str | None = None,
        lab: str | None = None,
        storage: str | None = None,
        provider: str | None = None,
    ) -> bool:
        """Whether there is a dataset with all the given references."""
        ...

    def column_names(self, dataset_uid: str) -> tuple[str, ...] | None:
        """The columns of the newest published version; None without one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """after: the key of the last item of the page before; limit: how many at most."""

    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """For whom a list is made: what `datalab.flow.authority` lets a principal read, in a form that a query can use.

    everything: the person at the machine. operator: a gateway operator. participant: whose own things count. spaces: of
    which the participant is a member.
    """

    everything: bool
    operator: bool
    participant: str
    spaces: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFilter:
    """Each given one must match. q: every word in name, titles, descriptions or keywords. ai_factory: of the lab, as home
    or partner. sector: of the space. country: of the provider.
    """

    q: str | None = None
    space: str | None = None
    lab: str | None = None
    ai_factory: str | None = None
    sector: str | None = None
    provider: str | None = None
    country: str | None = None
    licence: str | None = None


class Lists(Protocol):
    """Pages in the order of ids (of `space/name` for datasets)."""

    def participants(self, page: Page, audience: Audience) -> tuple[Participant, ...]:
        """Verified ones, the audience's own, and for operators the applications."""
        ...

    def ai_factories(self, page: Page) -> tuple[AiFactory, ...]: ...
    def data_spaces(self, page: Page, sector: str | None = None) -> tuple[DataSpace, ...]: ...

    def data_labs(self, page: Page, audience: Audience, ai_factory: str | None = None) -> tuple[DataLab, ...]:
        """Those the audience operates or that joined one of its spaces."""
        ...

    def storages(self, page: Page, audience: Audience) -> tuple[Storage, ...]:
        """The audience's own; for operators also every local one."""
        ...

    def admissions(self, page: Page, space: str) -> tuple[Admission, ...]:
        """In the order of uid, which is also the key."""
        ...

    def datasets(self, page: Page, audience: Audience, where: DatasetFilter, reach: Reach) -> tuple[Dataset, ...]:
        """Candidates: the audience's own, and published ones that policies at some level may open and none above closes."""
        ...

    def policies(self, page: Page, audience: Audience, scope: str | None = None) -> tuple[PolicyRecord, ...]:
        """The federation's, those of the audience's spaces and labs and of its own datasets; scope: only those there."""
        ...

    def policy_versions(self, policy_uid: str) -> tuple[PolicyVersion, ...]:
        """Oldest first."""
        ...


class Store(Protocol):
    def write(self) -> AbstractContextManager[Transaction]:
        """One transaction: commits at the end of the block, leaves no trace if the block raises."""
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """One snapshot; what the block changes is lost."""
        ...

    @property
    def lists(self) -> Lists: ...
