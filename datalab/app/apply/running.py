"""The changes of a plan, one after the other, through the registry's own services.

Owns the calls and the memory of what was applied. Every step is the registry's transaction with its audit record; the first
refusal ends the run, and the steps before it stand. Must never show a secret but to the `Keeper`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from catalog.entities import Admission, Dataset, DatasetStatus
from catalog.errors import CatalogError, Mark
from connectors.errors import StorageError
from datalab.app.apply.errors import ApplyFailed, Found
from datalab.app.apply.inventory import Applied, Inventory, fingerprint
from datalab.app.apply.kinds import Kind
from datalab.app.apply.planning import Change, Plan, Verb
from datalab.app.apply.reading import Entry
from datalab.app.apply.references import desired
from datalab.app.apply.registered import Registered, Registrations
from datalab.flow.errors import FlowError
from datalab.flow.principal import Principal
from datalab.oauth.clients import Issued
from datalab.oauth.errors import OAuthError
from datalab.publish.errors import PublishError
from datalab.registry.errors import NotFound, RegistryError
from policies.errors import PolicyError

REASON = "datalab apply"
REFUSALS = (CatalogError, FlowError, OAuthError, PolicyError, PublishError, RegistryError, StorageError)
"""What a service answers a step with; each has a code and a sentence that may be shown."""

Keeper = Callable[[str, Issued], None]
"""Takes `participant/name` and the secret of a new client, and keeps it on disk before it returns."""
Publisher = Callable[[Principal, str, str], object]
"""Inspects a dataset's location (space, name) and publishes what lies there as a new version."""
Told = Callable[[Change], None]


class Runner:
    """Runs plans for one gateway. keep: is given each new client's secret."""

    def __init__(
        self,
        registrations: Registrations,
        publish_version: Publisher,
        principal: Principal,
        inventory: Inventory,
        keep: Keeper,
    ) -> None:
        self._registrations = registrations
        self._publish_version = publish_version
        self._principal = principal
        self._inventory = inventory
        self._keep = keep
        self._sealed: set[str] = set()

    def run(self, plan: Plan, told: Told | None = None) -> None:
        """told: is called with each change that was made. Raises ApplyFailed at the first that the gateway refuses."""
        self._remember(plan, known_uids=False)
        try:
            for change in plan.changes:
                self._registrations.catalogue.revision()  # what earlier steps wrote is read from here on
                try:
                    self._make(change)
                except REFUSALS as refused:
                    raise ApplyFailed([_found(change, refused)]) from refused
                if told is not None:
                    told(change)
        finally:
            self._remember(plan, known_uids=True)

    def _make(self, change: Change) -> None:
        if change.verb is Verb.DELETE:
            try:
                self._delete(change)
            except NotFound:
                return  # went with what it belonged to
        elif change.verb is Verb.PUBLISH:
            self._publish(change)
        elif change.verb is Verb.CREATE:
            self._create(change)
        else:
            self._update(change)

    def _create(self, change: Change) -> None:
        services, principal = self._registrations, self._principal
        entry = _entry(change)
        match change.kind:
            case Kind.CLIENT:
                form = entry.document
                issued = services.clients.create(
                    principal, form.participant, name=form.name, roles=form.roles, scopes=form.scopes
                )
                self._keep_secret(change.key, issued)
            case Kind.POLICY:
                services.policies.create(principal, entry.document, reason=REASON)
            case Kind.STORAGE:
                services.storages.create(principal, entry.document.entity(), _credentials(entry))
                self._sealed.add(change.key)
            case Kind.ADMISSION:
                services.admissions.create(principal, entry.document.entity())
            case _:
                self._service(change.kind).create(principal, entry.document.entity())

    def _update(self, change: Change) -> None:
        services, principal = self._registrations, self._principal
        entry = _entry(change)
        match change.kind:
            case Kind.CLIENT:
                client = Registered(services, principal).client(change.key)
                assert client is not None
                issued = services.clients.rotate(principal, client.participant, client.client_id, overlap_s=0)
                self._keep_secret(change.key, issued)
            case Kind.POLICY:
                services.policies.replace(principal, entry.document, reason=REASON)
            case Kind.STORAGE:
                services.storages.replace(principal, entry.document.entity(), _credentials(entry))
                self._sealed.add(change.key)
            case Kind.DATASET:
                services.datasets.replace(principal, _unpublished(entry, change.before))
            case _:
                self._service(change.kind).replace(principal, desired(entry, change.before))

    def _keep_secret(self, key: str, issued: Issued) -> None:
        """First the secret, then the word that it is kept: a run that dies in between is known by the missing word."""
        self._keep(key, issued)
        for known in self._inventory.things.values():
            if (Kind.CLIENT, key) in known:
                known[Kind.CLIENT, key] = Applied(issued.client.client_id)
        self._inventory.save()

    def _publish(self, change: Change) -> None:
        space, _, name = change.key.partition("/")
        self._publish_version(self._principal, space, name)
        if self._registrations.datasets.get(self._principal, space, name).status is not DatasetStatus.PUBLISHED:
            self._registrations.datasets.publish(self._principal, space, name)

    def _delete(self, change: Change) -> None:
        services, principal = self._registrations, self._principal
        first, _, rest = change.key.partition("/")
        match change.kind:
            case Kind.CLIENT:
                client = Registered(services, principal).client(change.key)
                if client is not None:
                    services.clients.revoke(principal, first, client.client_id)
            case Kind.POLICY:
                services.policies.delete(principal, change.key, reason=REASON)
            case Kind.DATASET:
                services.datasets.delete(principal, first, rest)
            case Kind.ADMISSION:
                assert isinstance(change.before, Admission)
                services.admissions.delete(principal, first, change.before.participant, change.before.role)
            case _:
                self._service(change.kind).delete(principal, change.key)

    def _service(self, kind: Kind) -> Any:
        """The service of a kind whose three writes take the thing itself (or its id)."""
        services = self._registrations
        return {
            Kind.PARTICIPANT: services.participants,
            Kind.AI_FACTORY: services.ai_factories,
            Kind.DATA_SPACE: services.data_spaces,
            Kind.DATA_LAB: services.data_labs,
            Kind.STORAGE: services.storages,
            Kind.DATASET: services.datasets,
        }[kind]

    def _remember(self, plan: Plan, *, known_uids: bool) -> None:
        """What the sources name. Before the first step without the uids of what is to come, so that nothing is forgotten;
        what is no longer named is forgotten once it is gone.
        """
        registered = Registered(self._registrations, self._principal)
        pending = {(change.kind, change.key) for change in plan.new_clients}
        for source, named in plan.sources.items():
            known = self._inventory.of(source)
            for (kind, key), entry in named.items():
                if (kind, key) in pending:
                    if not known_uids:
                        known[kind, key] = Applied()  # until `_keep_secret`
                    continue
                uid = registered.uid(kind, key) or ""
                known[kind, key] = Applied(uid, self._fingerprint(entry, known.get((kind, key), Applied())))
            if known_uids:
                for kind, key in [one for one in known if one not in named and registered.uid(*one) is None]:
                    del known[kind, key]
        self._inventory.save()

    def _fingerprint(self, entry: Entry, known: Applied) -> str:
        """Of the credentials that this run sealed, else of those an earlier one did."""
        if entry.kind is not Kind.STORAGE or entry.key not in self._sealed:
            return known.credentials
        credentials = _credentials(entry)
        return fingerprint(credentials) if credentials else ""


def _entry(change: Change) -> Entry:
    assert change.entry is not None
    return change.entry


def _credentials(entry: Entry) -> dict[str, str] | None:
    given = entry.document.credentials
    return None if given is None else dict(given.reveal())


def _unpublished(entry: Entry, before: Any) -> Dataset:
    """The dataset as asked for, but published only if it is so already: publishing is a step of its own."""
    after: Dataset = desired(entry, before)
    return replace(after, status=before.status) if after.status is DatasetStatus.PUBLISHED else after


def _found(change: Change, refused: Any) -> Found:
    what = f"{change.verb} {change.kind} {change.key}: {refused.sentence}"
    if change.entry is None:
        return Found(mark=Mark("-", 1, 1), sentence=what)
    field = str(refused.detail.get("field") or "")
    found = change.entry.found(field, what)
    return replace(found, hint=_more(refused))


def _more(refused: Any) -> str | None:
    """The single problems that some refusals list, in one line."""
    listed = refused.detail.get("problems")
    if not isinstance(listed, list):
        return None
    parts = [": ".join(str(part) for part in one.values() if part) for one in listed if isinstance(one, dict)]
    return "; ".join(parts[:5]) or None
