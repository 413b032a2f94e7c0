"""Data labs: each with exactly one home AI factory, its partners, and the data spaces it joined.

Owns writes to data labs. Must never keep a lab without an existing home factory, or in a space that did not admit it.
"""

from __future__ import annotations

from catalog.documents import DataLabDocument
from catalog.entities import AdmissionRole, DataLab, ParticipantStatus
from datalab.flow.authority import Verb, may, of_lab
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.registry.checks import check
from datalab.registry.errors import Conflict, NotFound
from datalab.registry.ports import Namespace, Page, Transaction
from datalab.registry.writes import Expected, Registrar, audience_of, expect, remove_policies, require, require_new


class DataLabs:
    def __init__(self, registrar: Registrar, catalogue: Catalogue) -> None:
        self._registrar = registrar
        self._catalogue = catalogue

    def get(self, principal: Principal, id_: str) -> DataLab:
        """Raises NotFound."""
        self._catalogue.revision()
        found = self._catalogue.data_lab(id_)
        if found is None or not may(principal, Verb.READ, of_lab(found)):
            raise NotFound
        return found

    def page(self, principal: Principal, page: Page, *, ai_factory: str | None = None) -> tuple[DataLab, ...]:
        return self._registrar.store.lists.data_labs(page, audience_of(principal), ai_factory)

    def create(self, principal: Principal, lab: DataLab) -> DataLab:
        """Raises DocumentRefused, NotAllowed, Conflict."""
        check(DataLabDocument, lab)
        with self._registrar.change(principal, "create", f"data_lab:{lab.id}", lab) as transaction:
            require_new(principal, of_lab(lab))
            if transaction.data_labs.get(lab.id) is not None:
                raise Conflict("registry.name_taken", "This id is not available.")
            _check_references(transaction, lab)
            stored = transaction.data_labs.add(lab)
            if not transaction.claim(Namespace.DATA_LAB, lab.id, owner=lab.operator, uid=stored.uid):
                raise Conflict("registry.name_taken", "This id is not available.")
            return stored

    def replace(self, principal: Principal, lab: DataLab, *, expected: Expected | None = None) -> DataLab:
        """A new operator must be acted for as well. Raises DocumentRefused, NotFound, NotAllowed, Stale, Conflict."""
        check(DataLabDocument, lab)
        with self._registrar.change(principal, "replace", f"data_lab:{lab.id}", lab) as transaction:
            before = transaction.data_labs.get(lab.id)
            if before is None:
                raise NotFound
            require(principal, of_lab(before))
            expect(before, expected)
            require(principal, of_lab(lab))
            _check_references(transaction, lab)
            for space in set(before.spaces) - set(lab.spaces):
                if transaction.has_datasets(lab=lab.id, space=space):
                    raise Conflict("registry.in_use", "The lab still has datasets in a data space it would leave.")
            return transaction.data_labs.replace(lab)

    def delete(self, principal: Principal, id_: str, *, expected: Expected | None = None) -> None:
        """Its policies go with it. Raises NotFound, NotAllowed, Stale, Conflict while it has datasets."""
        with self._registrar.change(principal, "delete", f"data_lab:{id_}") as transaction:
            before = transaction.data_labs.get(id_)
            if before is None:
                raise NotFound
            require(principal, of_lab(before))
            expect(before, expected)
            if transaction.has_datasets(lab=id_):
                raise Conflict("registry.in_use", "There are still datasets of this data lab.")
            remove_policies(transaction, f"lab:{id_}", principal, self._registrar.clock())
            transaction.data_labs.remove(id_)
            transaction.release(Namespace.DATA_LAB, id_, at=self._registrar.clock())


def _check_references(transaction: Transaction, lab: DataLab) -> None:
    if transaction.ai_factories.get(lab.home) is None:
        raise Conflict("registry.reference", "A data lab needs an existing home AI factory.", field="home")
    for index, partner in enumerate(lab.partners):
        if transaction.ai_factories.get(partner) is None:
            raise Conflict("registry.reference", "There is no such AI factory.", field=f"partners.{index}")
    operator = transaction.participants.get(lab.operator)
    if operator is None or operator.status is not ParticipantStatus.VERIFIED:
        raise Conflict("registry.reference", "The operator must be a verified participant.", field="operator")
    for index, space in enumerate(lab.spaces):
        if transaction.data_spaces.get(space) is None:
            raise Conflict("registry.reference", "There is no such data space.", field=f"spaces.{index}")
        if transaction.admission(space, lab.operator, AdmissionRole.LAB) is None:
            sentence = "The data space has not admitted this lab's operator as a lab."
            raise Conflict("registry.admission", sentence, field=f"spaces.{index}")
