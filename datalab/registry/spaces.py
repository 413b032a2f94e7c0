"""Data spaces: a sector's space, its operator and its governing rules.

Owns writes to data spaces. Must never lose one that holds datasets.
"""

from __future__ import annotations

from catalog.documents import DataSpaceDocument
from catalog.entities import DataSpace, ParticipantStatus
from datalab.flow.authority import of_space
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.registry.checks import check
from datalab.registry.errors import Conflict, NotFound
from datalab.registry.factories import GATEWAY
from datalab.registry.ports import Namespace, Page, Transaction
from datalab.registry.writes import Expected, Registrar, expect, remove_policies, require, require_new


class DataSpaces:
    def __init__(self, registrar: Registrar, catalogue: Catalogue) -> None:
        self._registrar = registrar
        self._catalogue = catalogue

    def get(self, principal: Principal, id_: str) -> DataSpace:
        """Raises NotFound."""
        self._catalogue.revision()
        found = self._catalogue.data_space(id_)
        if found is None:
            raise NotFound
        return found

    def page(self, principal: Principal, page: Page, *, sector: str | None = None) -> tuple[DataSpace, ...]:
        return self._registrar.store.lists.data_spaces(page, sector)

    def create(self, principal: Principal, space: DataSpace) -> DataSpace:
        """Raises DocumentRefused, NotAllowed, Conflict."""
        check(DataSpaceDocument, space)
        with self._registrar.change(principal, "create", f"data_space:{space.id}", space) as transaction:
            require_new(principal, of_space())
            if transaction.data_spaces.get(space.id) is not None:
                raise Conflict("registry.name_taken", "This id is not available.")
            _check_references(transaction, space)
            stored = transaction.data_spaces.add(space)
            if not transaction.claim(Namespace.SQL, space.id, owner=space.operator or GATEWAY, uid=stored.uid):
                raise Conflict("registry.name_taken", "This id is not available.")
            return stored

    def replace(self, principal: Principal, space: DataSpace, *, expected: Expected | None = None) -> DataSpace:
        """Raises DocumentRefused, NotFound, NotAllowed, Stale, Conflict."""
        check(DataSpaceDocument, space)
        with self._registrar.change(principal, "replace", f"data_space:{space.id}", space) as transaction:
            before = transaction.data_spaces.get(space.id)
            if before is None:
                raise NotFound
            require(principal, of_space())
            expect(before, expected)
            _check_references(transaction, space)
            return transaction.data_spaces.replace(space)

    def delete(self, principal: Principal, id_: str, *, expected: Expected | None = None) -> None:
        """Its policies and admissions go with it. Raises NotFound, NotAllowed, Stale, Conflict while it is in use."""
        with self._registrar.change(principal, "delete", f"data_space:{id_}") as transaction:
            before = transaction.data_spaces.get(id_)
            if before is None:
                raise NotFound
            require(principal, of_space())
            expect(before, expected)
            if transaction.has_datasets(space=id_):
                raise Conflict("registry.in_use", "There are still datasets in this data space.")
            if transaction.has_labs(space=id_):
                raise Conflict("registry.in_use", "Data labs are still joined to this data space.")
            remove_policies(transaction, f"space:{id_}", principal, self._registrar.clock())
            transaction.dismiss_all(id_)
            transaction.data_spaces.remove(id_)
            transaction.release(Namespace.SQL, id_, at=self._registrar.clock())


def _check_references(transaction: Transaction, space: DataSpace) -> None:
    if space.operator is None:
        return
    operator = transaction.participants.get(space.operator)
    if operator is None or operator.status is not ParticipantStatus.VERIFIED:
        raise Conflict("registry.reference", "The operator must be a verified participant.", field="operator")
