"""Reading the trail: who may see which records, and what happened to one query.

Owns the rule that the authority table's audit row becomes: providers see what touched their datasets, operators of spaces
their spaces, auditors and gateway operators all, and everyone the queries they ran themselves. Must never show a reader
a dataset out of their reach, nor SQL text or parameters to anyone who may not see the whole trail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from datalab.flow.audit import Journal
from datalab.flow.authority import Kind as Thing
from datalab.flow.authority import Resource, Verb, may, of_audit
from datalab.flow.errors import AuditUnavailable, QueryUnknown
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.flow.trail import Actor, AuditRecord, Kind, Place, Reach, Search, Touched
from datalab.flow.trail_ports import Trail

OperatedSpaces = Callable[[str], frozenset[str]]
"""Participant id -> ids of the data spaces that it operates."""

PRIVATE = frozenset({"detail", "versions", "agreements"})
"""What a record's details may say about other things than the dataset for which a reader sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStory:
    """What happened to a query. closed: None while it runs."""

    opened: AuditRecord
    closed: AuditRecord | None
    datasets: tuple[Touched, ...]


class Inquiry:
    """Answers questions about the trail; thread-safe."""

    def __init__(self, trail: Trail, journal: Journal, operated_spaces: OperatedSpaces) -> None:
        self._trail = trail
        self._journal = journal
        self._operated_spaces = operated_spaces

    def search(
        self, principal: Principal, where: Search, *, after: Place | None, limit: int
    ) -> tuple[AuditRecord, ...]:
        """Records within the principal's reach, newest first."""
        reach = self.reach(principal)
        found = self._trail.search(where, reach, after=after, limit=limit)
        return found if reach.everything else tuple(shown(one, reach) for one in found)

    def query(self, principal: Principal, query_id: str) -> QueryStory:
        """What happened to a query: for who ran it, and with the scope audit:read for whom the audit row admits.

        Raises QueryUnknown.
        """
        records = self._records(query_id)
        if not records or records[0].kind != Kind.QUERY_OPENED:
            raise QueryUnknown
        datasets = next((one.datasets for one in reversed(records) if one.datasets), ())
        if is_same(records[0].actor, Actor.of(principal)):
            datasets = tuple(one for one in datasets if one.allowed)
        else:
            datasets = self._reached(principal, datasets)
        closing = [one for one in records if one.kind in {Kind.QUERY_CLOSED, Kind.CLOSED_LATE}]
        return QueryStory(opened=records[0], closed=closing[-1] if closing else None, datasets=datasets)

    def reach(self, principal: Principal) -> Reach:
        if may(principal, Verb.READ, of_audit()):
            return Reach(everything=True)
        own = principal.participant.id
        spaces = may(principal, Verb.READ, Resource(kind=Thing.AUDIT, space_operator=own))
        return Reach(
            provider=own if may(principal, Verb.READ, Resource(kind=Thing.AUDIT, owner=own)) else None,
            spaces=self._operated_spaces(own) if spaces else frozenset(),
        )

    def _reached(self, principal: Principal, datasets: tuple[Touched, ...]) -> tuple[Touched, ...]:
        reach = self.reach(principal)
        if Scope.AUDIT_READ not in principal.scopes:
            raise QueryUnknown
        if reach.everything:
            return datasets
        reached = tuple(one for one in datasets if within(reach, one))
        if not reached:
            raise QueryUnknown
        return reached

    def _records(self, query_id: str) -> tuple[AuditRecord, ...]:
        """The records; if the closing one is missing, once more after what this process has yet to write."""
        records = self._trail.operation(query_id)
        if any(one.kind == Kind.QUERY_CLOSED for one in records):
            return records
        try:
            self._journal.flush()
        except AuditUnavailable:
            return records
        return self._trail.operation(query_id)


def is_same(one: Actor, other: Actor) -> bool:
    return (one.issuer, one.subject) == (other.issuer, other.subject)


def within(reach: Reach, dataset: Touched) -> bool:
    return dataset.provider == reach.provider or dataset.space in reach.spaces


def shown(record: AuditRecord, reach: Reach) -> AuditRecord:
    """The record as someone sees it who may see only what concerns certain datasets and spaces."""
    return replace(
        record,
        actor=replace(record.actor, token_id=""),
        datasets=tuple(one for one in record.datasets if within(reach, one)),
        details={key: value for key, value in record.details.items() if key not in PRIVATE},
        links=(),
        literals=None,
    )
