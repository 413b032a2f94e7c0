"""Datasets: what a provider offers in a data space, from draft over published to withdrawn.

Owns writes to datasets. Must never let one appear that its provider was not admitted for, and must never touch versions:
`datalab.publish` does.
"""

from __future__ import annotations

from dataclasses import replace

from catalog.documents import DatasetDocument
from catalog.entities import AdmissionRole, Dataset, DatasetStatus, ParticipantStatus
from datalab.flow.authority import Verb, may, of_dataset
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.registry.checks import check
from datalab.registry.errors import Conflict, Invalid, NotFound
from datalab.registry.ports import Namespace, Transaction
from datalab.registry.writes import Expected, Registrar, as_read, expect, remove_policies, require, require_new

FOLLOWS = {
    DatasetStatus.DRAFT: {DatasetStatus.DRAFT, DatasetStatus.PUBLISHED},
    DatasetStatus.PUBLISHED: {DatasetStatus.PUBLISHED, DatasetStatus.WITHDRAWN},
    DatasetStatus.WITHDRAWN: {DatasetStatus.WITHDRAWN},
}


class Datasets:
    """What owners do with their datasets; what others see of them is `datalab.registry.discovery`'s."""

    def __init__(self, registrar: Registrar, catalogue: Catalogue) -> None:
        self._registrar = registrar
        self._catalogue = catalogue

    def get(self, principal: Principal, space: str, name: str) -> Dataset:
        """The owner's own record. Raises NotFound for everyone else."""
        self._catalogue.revision()
        found = self._catalogue.dataset(space, name)
        if found is None or not may(principal, Verb.READ, of_dataset(found)):
            raise NotFound
        return found

    def create(self, principal: Principal, dataset: Dataset) -> Dataset:
        """Registers a draft, whatever status the value has. Raises DocumentRefused, NotAllowed, Conflict."""
        check(DatasetDocument, dataset)
        with self._registrar.change(principal, "create", f"dataset:{dataset.key}", dataset) as transaction:
            require_new(principal, of_dataset(dataset))
            if transaction.datasets.get(dataset.key) is not None:
                raise _taken()
            _check_references(transaction, dataset)
            now = self._registrar.clock()
            draft = replace(dataset, status=DatasetStatus.DRAFT, created_at=now, updated_at=now)
            stored = transaction.datasets.add(draft)
            namespace = f"{Namespace.DATASET}:{dataset.space}"
            if not transaction.claim(namespace, dataset.name, owner=dataset.provider, uid=stored.uid):
                raise _taken()
            return stored

    def replace(self, principal: Principal, dataset: Dataset, *, expected: Expected | None = None) -> Dataset:
        """The provider cannot change; the status only moves draft -> published -> withdrawn.

        Raises DocumentRefused, NotFound, NotAllowed, Stale, Conflict.
        """
        check(DatasetDocument, dataset)
        with self._registrar.change(principal, "replace", f"dataset:{dataset.key}", dataset) as transaction:
            before = transaction.datasets.get(dataset.key)
            if before is None:
                raise NotFound
            require(principal, of_dataset(before))
            expect(before, expected)
            if before.provider != dataset.provider:
                raise Conflict("registry.fixed", "A dataset keeps its provider.")
            if dataset.status not in FOLLOWS[before.status]:
                sentence = "A dataset goes from draft to published to withdrawn, and not back."
                raise Conflict("registry.status", sentence, status=before.status)
            _check_references(transaction, dataset)
            _check_roles(transaction, dataset, before.uid)
            changed = replace(dataset, created_at=before.created_at, updated_at=self._registrar.clock())
            return transaction.datasets.replace(changed)

    def publish(self, principal: Principal, space: str, name: str, *, expected: Expected | None = None) -> Dataset:
        """Raises NotFound, NotAllowed, Stale, Conflict."""
        found = self.get(principal, space, name)
        return self.replace(
            principal, replace(found, status=DatasetStatus.PUBLISHED), expected=expected or as_read(found)
        )

    def withdraw(self, principal: Principal, space: str, name: str, *, expected: Expected | None = None) -> Dataset:
        """Nobody but its owner sees it from then on. Raises NotFound, NotAllowed, Stale, Conflict."""
        found = self.get(principal, space, name)
        return self.replace(
            principal, replace(found, status=DatasetStatus.WITHDRAWN), expected=expected or as_read(found)
        )

    def delete(self, principal: Principal, space: str, name: str, *, expected: Expected | None = None) -> None:
        """Its policies and versions go with it; nobody else can take its name. Raises NotFound, NotAllowed, Stale."""
        key = f"{space}/{name}"
        with self._registrar.change(principal, "delete", f"dataset:{key}") as transaction:
            before = transaction.datasets.get(key)
            if before is None:
                raise NotFound
            require(principal, of_dataset(before))
            expect(before, expected)
            now = self._registrar.clock()
            remove_policies(transaction, f"dataset:{key}", principal, now)
            transaction.datasets.remove(key)
            transaction.release(f"{Namespace.DATASET}:{space}", name, at=now)


def _taken() -> Conflict:
    return Conflict("registry.name_taken", "This name is not available in the data space.")


def _check_references(transaction: Transaction, dataset: Dataset) -> None:
    if transaction.data_spaces.get(dataset.space) is None:
        raise Conflict("registry.reference", "There is no such data space.", field="space")
    provider = transaction.participants.get(dataset.provider)
    if provider is None or provider.status is not ParticipantStatus.VERIFIED:
        raise Conflict("registry.reference", "The provider must be a verified participant.", field="provider")
    if transaction.admission(dataset.space, dataset.provider, AdmissionRole.PROVIDER) is None:
        sentence = "The data space has not admitted this participant as a provider."
        raise Conflict("registry.admission", sentence, field="provider")
    lab = transaction.data_labs.get(dataset.lab)
    if lab is None or dataset.space not in lab.spaces:
        raise Conflict("registry.reference", "There is no such data lab in this data space.", field="lab")
    storage = transaction.storages.get(dataset.storage)
    if storage is None or storage.participant != dataset.provider:
        raise Conflict("registry.reference", "The provider has no such storage.", field="storage")


def _check_roles(transaction: Transaction, dataset: Dataset, uid: str) -> None:
    """Roles name columns of the newest version, if there is one, whatever their case."""
    columns = transaction.column_names(uid)
    if columns is None:
        return
    known = {column.casefold() for column in columns}
    lacking = [role for role, column in dataset.roles.items() if column.casefold() not in known]
    if lacking:
        raise Invalid((f"roles.{role}", "The newest version has no such column.") for role in lacking)
