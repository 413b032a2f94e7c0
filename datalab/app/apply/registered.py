"""What is registered already, by kind and key, as apply compares it; and the services that it asks.

Owns the reading. Must never write, and reads as the person at the machine, who may see every record (and no data).
"""

from __future__ import annotations

from typing import Protocol

from catalog.entities import Admission, Dataset, Resource, Version
from datalab.app.apply.kinds import Kind
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.oauth.client import Client
from datalab.oauth.clients import Clients
from datalab.registry.admissions import Admissions
from datalab.registry.datasets import Datasets
from datalab.registry.errors import NotFound
from datalab.registry.factories import AiFactories
from datalab.registry.labs import DataLabs
from datalab.registry.participants import Participants
from datalab.registry.policies import Policies
from datalab.registry.spaces import DataSpaces
from datalab.registry.storages import Storages

_PAGE = 500


class Registrations(Protocol):
    """The services that apply calls; `datalab.app.wiring` makes them."""

    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def clients(self) -> Clients: ...
    @property
    def participants(self) -> Participants: ...
    @property
    def ai_factories(self) -> AiFactories: ...
    @property
    def data_spaces(self) -> DataSpaces: ...
    @property
    def data_labs(self) -> DataLabs: ...
    @property
    def admissions(self) -> Admissions: ...
    @property
    def storages(self) -> Storages: ...
    @property
    def datasets(self) -> Datasets: ...
    @property
    def policies(self) -> Policies: ...


class Registered:
    """Reads of the catalogue by (kind, key); each answer is looked up once."""

    def __init__(self, registrations: Registrations, principal: Principal) -> None:
        self._registrations = registrations
        self._principal = principal
        self._known: dict[tuple[Kind, str], Resource | None] = {}
        self._clients: dict[str, dict[str, Client]] = {}
        registrations.catalogue.revision()

    def get(self, kind: Kind, key: str) -> Resource | None:
        """The thing as it is registered; None: there is none. Clients are no resources: see `client`."""
        if (kind, key) not in self._known:
            self._known[kind, key] = self._look_up(kind, key)
        return self._known[kind, key]

    def client(self, key: str) -> Client | None:
        """key: `participant/name`. The one with this name that is not revoked."""
        participant, _, name = key.partition("/")
        if participant not in self._clients:
            self._clients[participant] = self._clients_of(participant)
        return self._clients[participant].get(name)

    def uid(self, kind: Kind, key: str) -> str | None:
        """What identifies the thing for good; a client's id for a client."""
        if kind is Kind.CLIENT:
            client = self.client(key)
            return None if client is None else client.client_id
        found = self.get(kind, key)
        return None if found is None else found.uid

    def version(self, dataset: Dataset) -> Version | None:
        """Its newest version that can be queried."""
        return self._registrations.catalogue.version(dataset.uid)

    def _look_up(self, kind: Kind, key: str) -> Resource | None:
        catalogue = self._registrations.catalogue
        match kind:
            case Kind.PARTICIPANT:
                return catalogue.participant(key)
            case Kind.AI_FACTORY:
                return catalogue.ai_factory(key)
            case Kind.DATA_SPACE:
                return catalogue.data_space(key)
            case Kind.DATA_LAB:
                return catalogue.data_lab(key)
            case Kind.STORAGE:
                return catalogue.storage(key)
            case Kind.DATASET:
                space, _, name = key.partition("/")
                return catalogue.dataset(space, name)
            case Kind.ADMISSION:
                return self._admission(key)
            case Kind.POLICY:
                return self._policy(key)
        raise AssertionError(f"{kind} is no resource")

    def _admission(self, key: str) -> Admission | None:
        space, participant, role = key.split("/")
        for admission in self._registrations.catalogue.admissions(participant):
            if (admission.space, admission.role) == (space, role):
                return admission
        return None

    def _policy(self, key: str) -> Resource | None:
        try:
            return self._registrations.policies.get(self._principal, key)
        except NotFound:
            return None

    def _clients_of(self, participant: str) -> dict[str, Client]:
        if self._registrations.catalogue.participant(participant) is None:
            return {}
        found: dict[str, Client] = {}
        after: str | None = None
        while True:
            page = self._registrations.clients.list(self._principal, participant, after=after, limit=_PAGE)
            for client in page:
                found.setdefault(client.name, client)
            if len(page) < _PAGE:
                return found
            after = page[-1].client_id
