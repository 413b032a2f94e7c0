"""Admissions: which participants a data space takes in, and as what.

Owns writes to admissions. Must never withdraw one that a dataset or a lab in the space still rests on.
"""

from __future__ import annotations

from catalog.entities import Admission, AdmissionRole, DataSpace, ParticipantStatus
from datalab.flow.authority import Verb, may, of_admissions
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.registry.errors import Conflict, NotAllowed, NotFound
from datalab.registry.ports import Page, Transaction
from datalab.registry.writes import Registrar


class Admissions:
    def __init__(self, registrar: Registrar, catalogue: Catalogue) -> None:
        self._registrar = registrar
        self._catalogue = catalogue

    def page(self, principal: Principal, space: str, page: Page) -> tuple[Admission, ...]:
        """Raises NotFound for an unknown space, NotAllowed for callers who are no members of it."""
        self._catalogue.revision()
        found = self._catalogue.data_space(space)
        if found is None:
            raise NotFound
        if not may(principal, Verb.READ, of_admissions(found)):
            raise NotAllowed("Only members of the data space may see who else is in it.")
        return self._registrar.store.lists.admissions(page, space)

    def get(self, principal: Principal, space: str, participant: str, role: AdmissionRole) -> Admission:
        """Raises NotFound."""
        self._catalogue.revision()
        found = self._catalogue.data_space(space)
        if found is None or not may(principal, Verb.READ, of_admissions(found)):
            raise NotFound
        for admission in self._catalogue.admissions(participant):
            if admission.space == space and admission.role is role:
                return admission
        raise NotFound

    def create(self, principal: Principal, admission: Admission) -> Admission:
        """Admits; a second time is no change. Raises NotFound, NotAllowed, Conflict."""
        resource = f"admission:{admission.space}/{admission.participant}/{admission.role}"
        with self._registrar.change(principal, "create", resource, admission) as transaction:
            self._require_space(principal, transaction, admission.space)
            participant = transaction.participants.get(admission.participant)
            if participant is None or participant.status is not ParticipantStatus.VERIFIED:
                raise Conflict("registry.reference", "Only a verified participant is admitted.", field="participant")
            known = transaction.admission(admission.space, admission.participant, admission.role)
            return known or transaction.admit(admission)

    def delete(self, principal: Principal, space: str, participant: str, role: AdmissionRole) -> None:
        """Raises NotFound, NotAllowed, and Conflict while datasets or labs in the space rest on it."""
        with self._registrar.change(principal, "delete", f"admission:{space}/{participant}/{role}") as transaction:
            self._require_space(principal, transaction, space)
            known = transaction.admission(space, participant, role)
            if known is None:
                raise NotFound
            if role is AdmissionRole.PROVIDER and transaction.has_datasets(space=space, provider=participant):
                raise Conflict("registry.in_use", "The participant still has datasets in this data space.")
            if role is AdmissionRole.LAB and transaction.has_labs(space=space, operator=participant):
                raise Conflict("registry.in_use", "The participant still has data labs in this data space.")
            transaction.dismiss(known)

    @staticmethod
    def _require_space(principal: Principal, transaction: Transaction, space: str) -> DataSpace:
        found = transaction.data_spaces.get(space)
        if found is None:
            raise NotFound
        if not may(principal, Verb.WRITE, of_admissions(found)):
            raise NotAllowed("Only the operator of the data space admits participants.")
        return found
