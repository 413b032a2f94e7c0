"""Participants: organisations that apply, and act once an operator has verified them.

Owns writes to participants. Must never show a contact to anyone but the participant's admins and operators.
"""

from __future__ import annotations

from dataclasses import replace

from catalog.documents import ParticipantDocument
from catalog.entities import Participant, ParticipantStatus
from datalab.flow.authority import Kind as ResourceKind
from datalab.flow.authority import Resource, Verb, may, of_contact, of_participant
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.registry.checks import check
from datalab.registry.errors import Conflict, NotFound
from datalab.registry.ports import Namespace, Page
from datalab.registry.writes import Expected, Registrar, as_read, audience_of, expect, require, require_new


class Participants:
    def __init__(self, registrar: Registrar, catalogue: Catalogue) -> None:
        self._registrar = registrar
        self._catalogue = catalogue

    def get(self, principal: Principal, id_: str) -> Participant:
        """Raises NotFound. The contact is left out for callers who may not see it."""
        self._catalogue.revision()
        found = self._catalogue.participant(id_)
        if found is None or not may(principal, Verb.READ, of_participant(found)):
            raise NotFound
        return _as_seen_by(principal, found)

    def page(self, principal: Principal, page: Page) -> tuple[Participant, ...]:
        found = self._registrar.store.lists.participants(page, audience_of(principal))
        return tuple(_as_seen_by(principal, one) for one in found)

    def create(self, principal: Principal, participant: Participant) -> Participant:
        """Registers an application, or a verified participant if its status says so. Raises DocumentRefused, NotAllowed, Conflict."""
        check(ParticipantDocument, participant)
        with self._registrar.change(principal, "create", f"participant:{participant.id}", participant) as transaction:
            require_new(principal, Resource(kind=ResourceKind.PARTICIPANT))
            if transaction.participants.get(participant.id) is not None:
                raise Conflict("registry.name_taken", "This id is not available.")
            stored = transaction.participants.add(participant)
            # A participant owns itself: once deleted, its id is nobody's.
            if not transaction.claim(Namespace.PARTICIPANT, participant.id, owner=stored.uid, uid=stored.uid):
                raise Conflict("registry.name_taken", "This id is not available.")
            return stored

    def replace(
        self, principal: Principal, participant: Participant, *, expected: Expected | None = None
    ) -> Participant:
        """Raises DocumentRefused, NotFound, NotAllowed, Stale, Conflict."""
        check(ParticipantDocument, participant)
        with self._registrar.change(principal, "replace", f"participant:{participant.id}", participant) as transaction:
            before = transaction.participants.get(participant.id)
            if before is None:
                raise NotFound
            require(principal, of_participant(before))
            expect(before, expected)
            return transaction.participants.replace(participant)

    def verify(self, principal: Principal, id_: str) -> Participant:
        """An operator's word that the participant is who it says. Raises NotFound, NotAllowed."""
        found = self.get(principal, id_)
        return self.replace(principal, replace(found, status=ParticipantStatus.VERIFIED), expected=as_read(found))

    def delete(self, principal: Principal, id_: str, *, expected: Expected | None = None) -> None:
        """Raises NotFound, NotAllowed, Stale, and Conflict while anything still belongs to it."""
        with self._registrar.change(principal, "delete", f"participant:{id_}") as transaction:
            before = transaction.participants.get(id_)
            if before is None:
                raise NotFound
            require(principal, of_participant(before))
            expect(before, expected)
            if transaction.has_labs(operator=id_) or transaction.has_datasets(provider=id_):
                raise Conflict("registry.in_use", "It still has labs or datasets.")
            transaction.participants.remove(id_)
            transaction.release(Namespace.PARTICIPANT, id_, at=self._registrar.clock())


def _as_seen_by(principal: Principal, participant: Participant) -> Participant:
    if participant.contact is None or may(principal, Verb.READ, of_contact(participant)):
        return participant
    return replace(participant, contact=None)
