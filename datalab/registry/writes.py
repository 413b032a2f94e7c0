"""What every write of the registry has in common: authority, the caller's revision, one transaction, one audit record.

Owns the order of these. Must never let a write commit whose audit record is not open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime

from catalog import entities
from datalab.flow.authority import LOCAL_ISSUER, Resource, Verb, may
from datalab.flow.principal import Principal, Role
from datalab.registry.errors import NotAllowed, NotFound, Stale
from datalab.registry.ports import Audience, Journal, Namespace, Store, Transaction

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The state that the caller read and means to change."""

    uid: str
    revision: int


class Registrar:
    """Runs one write: opens the audit record, then the transaction; both end with the block."""

    def __init__(self, store: Store, journal: Journal, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._journal = journal

    @contextmanager
    def change(self, principal: Principal, verb: str, resource: str, detail: object = None) -> Iterator[Transaction]:
        """verb: create, replace, delete ...; resource: `kind:id`; detail: what is written, never a secret."""
        written = plain(detail) if detail is not None else {}
        opened = self._journal.administrative(
            principal, verb=verb, resource=resource, detail=written if isinstance(written, dict) else {"value": written}
        )
        with opened, self.store.write() as transaction:
            yield transaction


def require(principal: Principal, resource: Resource) -> None:
    """Raises NotAllowed if the principal may see the resource but not change it, NotFound if it may not even see it."""
    if may(principal, Verb.WRITE, resource):
        return
    raise NotAllowed if may(principal, Verb.READ, resource) else NotFound


def require_new(principal: Principal, resource: Resource) -> None:
    """Raises NotAllowed if the principal may not register such a thing."""
    if not may(principal, Verb.WRITE, resource):
        raise NotAllowed("You may not register this.")


def expect(before: entities.Resource, expected: Expected | None) -> None:
    """Raises Stale if the thing is no longer in the state the caller read; None: the caller does not care."""
    if expected is not None and (before.uid, before.revision) != (expected.uid, expected.revision):
        raise Stale


def as_read(before: entities.Resource) -> Expected:
    return Expected(uid=before.uid, revision=before.revision)


def audience_of(principal: Principal) -> Audience:
    return Audience(
        everything=principal.issuer == LOCAL_ISSUER,
        operator=Role.GATEWAY_OPERATOR in principal.roles,
        participant=principal.participant.id,
        spaces=principal.spaces,
    )


def plain(value: object) -> object:
    """The value as JSON would hold it: dataclasses as objects, tuples as lists, timestamps in ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    return value


def remove_policies(transaction: Transaction, scope: str, principal: Principal, at: datetime) -> None:
    """Deletes the policies of a thing that is being deleted; their history stays."""
    for policy in transaction.policies.at(scope):
        transaction.policies.remove(policy.id, author=principal, reason=f"{scope} was deleted", at=at)
        transaction.release(Namespace.POLICY, policy.id, at=at)
