"""Storages: places with files, each a participant's own, with credentials that are sealed before they are stored.

Owns writes to storages. Must never return, log or audit a credential; `connectors` decides which places are acceptable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from catalog.documents import StorageDocument
from catalog.entities import ParticipantStatus, Storage
from datalab.flow.authority import Verb, may, of_storage
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.registry.checks import check
from datalab.registry.errors import Conflict, NotFound
from datalab.registry.ports import Namespace, Page, Sealer, Transaction
from datalab.registry.writes import Expected, Registrar, audience_of, expect, require, require_new

Credentials = Mapping[str, str]
Screen = Callable[[Storage], None]
"""Raises `connectors`' own refusal for a place the operator does not allow."""


class Storages:
    def __init__(self, registrar: Registrar, catalogue: Catalogue, sealer: Sealer, screen: Screen) -> None:
        self._registrar = registrar
        self._catalogue = catalogue
        self._sealer = sealer
        self._screen = screen

    def get(self, principal: Principal, id_: str) -> Storage:
        """Raises NotFound, also for another participant's storage."""
        self._catalogue.revision()
        found = self._catalogue.storage(id_)
        if found is None or not may(principal, Verb.READ, of_storage(found)):
            raise NotFound
        return found

    def page(self, principal: Principal, page: Page) -> tuple[Storage, ...]:
        return self._registrar.store.lists.storages(page, audience_of(principal))

    def create(self, principal: Principal, storage: Storage, credentials: Credentials | None = None) -> Storage:
        """credentials: as `connectors` names them; sealed at once. Raises DocumentRefused, NotAllowed, Conflict, and what the
        screen raises.
        """
        check(StorageDocument, storage)
        self._screen(storage)
        with self._registrar.change(principal, "create", f"storage:{storage.id}", storage) as transaction:
            require_new(principal, of_storage(storage))
            if transaction.storages.get(storage.id) is not None:
                raise Conflict("registry.name_taken", "This id is not available.")
            owner = transaction.participants.get(storage.participant)
            if owner is None or owner.status is not ParticipantStatus.VERIFIED:
                raise Conflict(
                    "registry.reference", "A storage belongs to a verified participant.", field="participant"
                )
            stored = transaction.storages.add(storage)
            if not transaction.claim(Namespace.STORAGE, storage.id, owner=storage.participant, uid=stored.uid):
                raise Conflict("registry.name_taken", "This id is not available.")
            self._seal(transaction, stored, credentials)
            return stored

    def replace(
        self,
        principal: Principal,
        storage: Storage,
        credentials: Credentials | None = None,
        *,
        expected: Expected | None = None,
    ) -> Storage:
        """Credentials None: keeps the ones it has, unless the place itself changes: a key is never sent to another
        endpoint. Owner and kind cannot change. Raises DocumentRefused, NotFound, NotAllowed, Stale, Conflict.
        """
        check(StorageDocument, storage)
        self._screen(storage)
        with self._registrar.change(principal, "replace", f"storage:{storage.id}", storage) as transaction:
            before = transaction.storages.get(storage.id)
            if before is None:
                raise NotFound
            require(principal, of_storage(before))
            expect(before, expected)
            if (before.participant, before.kind) != (storage.participant, storage.kind):
                raise Conflict("registry.fixed", "A storage keeps its participant and its kind.")
            stored = transaction.storages.replace(storage)
            if credentials is not None or _place(before) != _place(storage):
                self._seal(transaction, stored, credentials)
            return stored

    def delete(self, principal: Principal, id_: str, *, expected: Expected | None = None) -> None:
        """Its credentials go with it. Raises NotFound, NotAllowed, Stale, Conflict while a dataset lies on it."""
        with self._registrar.change(principal, "delete", f"storage:{id_}") as transaction:
            before = transaction.storages.get(id_)
            if before is None:
                raise NotFound
            require(principal, of_storage(before))
            expect(before, expected)
            if transaction.has_datasets(storage=id_):
                raise Conflict("registry.in_use", "There are still datasets on this storage.")
            transaction.storages.remove(id_)
            transaction.release(Namespace.STORAGE, id_, at=self._registrar.clock())

    def _seal(self, transaction: Transaction, storage: Storage, credentials: Credentials | None) -> None:
        sealed = self._sealer.seal(storage.uid, credentials) if credentials else None
        transaction.seal(storage.id, sealed)


def _place(storage: Storage) -> tuple[object, ...]:
    return storage.endpoint, storage.bucket, storage.region, storage.path_style, storage.ca_pem
