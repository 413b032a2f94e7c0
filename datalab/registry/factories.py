"""AI factories: the catalogue entries that every data lab is linked to.

Owns writes to AI factories. Must never lose one that a lab or an antenna refers to.
"""

from __future__ import annotations

from catalog.documents import AiFactoryDocument
from catalog.entities import AiFactory, FactoryType
from datalab.flow.authority import of_factory
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.registry.checks import check
from datalab.registry.errors import Conflict, NotFound
from datalab.registry.ports import Namespace, Page, Transaction
from datalab.registry.writes import Expected, Registrar, expect, require, require_new

GATEWAY = ""
"""The owner of names that are the gateway operator's."""


class AiFactories:
    def __init__(self, registrar: Registrar, catalogue: Catalogue) -> None:
        self._registrar = registrar
        self._catalogue = catalogue

    def get(self, principal: Principal, id_: str) -> AiFactory:
        """Raises NotFound."""
        self._catalogue.revision()
        found = self._catalogue.ai_factory(id_)
        if found is None:
            raise NotFound
        return found

    def page(self, principal: Principal, page: Page) -> tuple[AiFactory, ...]:
        return self._registrar.store.lists.ai_factories(page)

    def create(self, principal: Principal, factory: AiFactory) -> AiFactory:
        """Raises DocumentRefused, NotAllowed, Conflict."""
        check(AiFactoryDocument, factory)
        with self._registrar.change(principal, "create", f"ai_factory:{factory.id}", factory) as transaction:
            require_new(principal, of_factory())
            if transaction.ai_factories.get(factory.id) is not None:
                raise Conflict("registry.name_taken", "This id is not available.")
            _check_references(transaction, factory)
            stored = transaction.ai_factories.add(factory)
            if not transaction.claim(Namespace.AI_FACTORY, factory.id, owner=GATEWAY, uid=stored.uid):
                raise Conflict("registry.name_taken", "This id is not available.")
            return stored

    def replace(self, principal: Principal, factory: AiFactory, *, expected: Expected | None = None) -> AiFactory:
        """Raises DocumentRefused, NotFound, NotAllowed, Stale, Conflict."""
        check(AiFactoryDocument, factory)
        with self._registrar.change(principal, "replace", f"ai_factory:{factory.id}", factory) as transaction:
            before = transaction.ai_factories.get(factory.id)
            if before is None:
                raise NotFound
            require(principal, of_factory())
            expect(before, expected)
            _check_references(transaction, factory)
            return transaction.ai_factories.replace(factory)

    def delete(self, principal: Principal, id_: str, *, expected: Expected | None = None) -> None:
        """Raises NotFound, NotAllowed, Stale, and Conflict while a lab or an antenna refers to it."""
        with self._registrar.change(principal, "delete", f"ai_factory:{id_}") as transaction:
            before = transaction.ai_factories.get(id_)
            if before is None:
                raise NotFound
            require(principal, of_factory())
            expect(before, expected)
            if transaction.has_labs(ai_factory=id_):
                raise Conflict("registry.in_use", "Data labs still belong to this AI factory.")
            if transaction.has_antennas(id_):
                raise Conflict("registry.in_use", "Antennas still belong to this AI factory.")
            transaction.ai_factories.remove(id_)
            transaction.release(Namespace.AI_FACTORY, id_, at=self._registrar.clock())


def _check_references(transaction: Transaction, factory: AiFactory) -> None:
    if factory.factory is None:
        return
    parent = transaction.ai_factories.get(factory.factory)
    if parent is None or parent.type is FactoryType.ANTENNA:
        raise Conflict("registry.reference", "An antenna belongs to an existing factory.", field="factory")
