"""Policies: who writes which rules at which level, and every text they ever had.

Owns writes to policies; `policies` says what a document means and whether it can be in force. Must never store a document
that it did not accept, and never alter or forget a version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from catalog.entities import DataLab, Dataset, DataSpace, PolicyRecord
from datalab.flow import authority
from datalab.flow.authority import Resource, Verb, may
from datalab.flow.principal import Principal
from datalab.registry.errors import Conflict, NotFound
from datalab.registry.factories import GATEWAY
from datalab.registry.ports import Namespace, Page, PolicyVersion, Transaction
from datalab.registry.writes import Expected, Registrar, audience_of, expect, plain, require
from policies.model import Level, Scope
from policies.validation import checked


@dataclass(frozen=True, slots=True)
class Lookup:
    """How a policy's scope finds the thing it binds."""

    space: Callable[[str], DataSpace | None]
    lab: Callable[[str], DataLab | None]
    dataset: Callable[[str], Dataset | None]


class Policies:
    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    def get(self, principal: Principal, id_: str) -> PolicyRecord:
        """Raises NotFound, also for a policy whose level is not the caller's to read."""
        with self._registrar.store.read() as transaction:
            found = transaction.policies.get(id_)
            if found is None or not _may(principal, Verb.READ, found.scope, _within(transaction)):
                raise NotFound
            return found

    def page(self, principal: Principal, page: Page, *, scope: str | None = None) -> tuple[PolicyRecord, ...]:
        return self._registrar.store.lists.policies(page, audience_of(principal), scope)

    def history(self, principal: Principal, id_: str) -> tuple[PolicyVersion, ...]:
        """Oldest first. Raises NotFound."""
        return self._registrar.store.lists.policy_versions(self.get(principal, id_).uid)

    def create(self, principal: Principal, document: Mapping[str, Any], *, reason: str = "") -> PolicyRecord:
        """In force at once. Raises policies.errors.PolicyInvalid, NotFound, NotAllowed, Conflict."""
        policy = checked(document)
        detail = {"document": document, "reason": reason}
        with self._registrar.change(principal, "create", f"policy:{policy.id}", detail) as transaction:
            resource = _resource(policy.scope, _within(transaction))
            if resource is None:
                raise NotFound
            require(principal, resource)
            if transaction.policies.get(policy.id) is not None:
                raise _taken()
            record = _record(policy.id, policy.scope, resource, document)
            stored = transaction.policies.add(record, author=principal, reason=reason, at=self._registrar.clock())
            if not transaction.claim(Namespace.POLICY, policy.id, owner=record.owner or GATEWAY, uid=stored.uid):
                raise _taken()
            return stored

    def replace(
        self,
        principal: Principal,
        document: Mapping[str, Any],
        *,
        reason: str = "",
        expected: Expected | None = None,
    ) -> PolicyRecord:
        """A new version of the policy with the document's id. A new scope needs authority over both.

        Raises policies.errors.PolicyInvalid, NotFound, NotAllowed, Stale, Conflict.
        """
        policy = checked(document)
        detail = {"document": document, "reason": reason}
        with self._registrar.change(principal, "replace", f"policy:{policy.id}", detail) as transaction:
            before = self._require(principal, transaction, policy.id)
            expect(before, expected)
            resource = _resource(policy.scope, _within(transaction))
            if resource is None:
                raise NotFound
            require(principal, resource)
            record = _record(policy.id, policy.scope, resource, document)
            if record.owner != before.owner:
                raise Conflict("registry.fixed", "A policy stays with its owner.", field="scope")
            return transaction.policies.replace(record, author=principal, reason=reason, at=self._registrar.clock())

    def delete(self, principal: Principal, id_: str, *, reason: str = "", expected: Expected | None = None) -> None:
        """No longer in force; its versions stay. Raises NotFound, NotAllowed, Stale."""
        with self._registrar.change(principal, "delete", f"policy:{id_}", {"reason": reason}) as transaction:
            before = self._require(principal, transaction, id_)
            expect(before, expected)
            now = self._registrar.clock()
            transaction.policies.remove(id_, author=principal, reason=reason, at=now)
            transaction.release(Namespace.POLICY, id_, at=now)

    @staticmethod
    def _require(principal: Principal, transaction: Transaction, id_: str) -> PolicyRecord:
        found = transaction.policies.get(id_)
        resource = None if found is None else _resource(_scope(found.scope), _within(transaction))
        if found is None or resource is None:
            raise NotFound
        require(principal, resource)
        return found


def _taken() -> Conflict:
    return Conflict("registry.name_taken", "This id is not available.")


def _record(id_: str, scope: Scope, resource: Resource, document: Mapping[str, Any]) -> PolicyRecord:
    written = plain(document)
    assert isinstance(written, dict)
    return PolicyRecord(id=id_, scope=str(scope), document=written, owner=resource.owner)


def _within(transaction: Transaction) -> Lookup:
    return Lookup(transaction.data_spaces.get, transaction.data_labs.get, transaction.datasets.get)


def _scope(text: str) -> Scope:
    level, _, id_ = text.partition(":")
    return Scope(Level(level), id_)


def _may(principal: Principal, verb: Verb, scope: str, lookup: Lookup) -> bool:
    resource = _resource(_scope(scope), lookup)
    return resource is not None and may(principal, verb, resource)


def _resource(scope: Scope, lookup: Lookup) -> Resource | None:
    """Whose policies those at this scope are; None: the scope binds nothing that is registered."""
    match scope.level:
        case Level.FEDERATION:
            return authority.of_federation_policies()
        case Level.SPACE:
            space = lookup.space(scope.id)
            return None if space is None else authority.of_space_policies(space)
        case Level.LAB:
            lab = lookup.lab(scope.id)
            return None if lab is None else authority.of_lab_policies(lab)
        case Level.DATASET:
            dataset = lookup.dataset(scope.id)
            return None if dataset is None else authority.of_dataset_policies(dataset)
