"""The demo's home: made if there is none, with the content that ships and four clients whose secrets are known.

Owns `credentials.json` and, beside it, what curl needs of it; a secret that was lost or no longer works is replaced by a new
one. Must never touch a home that was not empty and is no demo's, nor undo what was changed in one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from catalog.content import AI_FACTORIES, DATA_SPACES
from catalog.entities import Dataset, DatasetStatus
from connectors.errors import StorageError
from datalab.app.apply.inventory import opened
from datalab.app.apply.kinds import Kind
from datalab.app.apply.locations import Locations
from datalab.app.apply.planning import Change, Plan, Planner, Verb
from datalab.app.apply.reading import read
from datalab.app.apply.references import World
from datalab.app.apply.registered import Registered
from datalab.app.apply.running import Runner
from datalab.app.apply.secrets import replace_private
from datalab.app.apply.workshop import Workshop, workshop_of
from datalab.app.demo.commands import CREDENTIALS, CURL_CONFIG, curl_config
from datalab.app.foundation import open_foundation
from datalab.app.home import Home, HomeRefused, open_home
from datalab.app.init import FIRST_CLIENT, initialise
from datalab.app.operator import OPERATOR
from datalab.app.settings import Settings
from datalab.flow.authority import operator_principal
from datalab.flow.principal import Principal
from datalab.oauth.client import matching
from datalab.oauth.clients import Issued
from datalab.oauth.server import TOKEN_PATH

CONTENT = Path(__file__).resolve().with_name("content")
FILES = CONTENT / "files"
MARKER = "demo.json"

_BEGUN = '{"demo": "begun"}\n'
_COMPLETE = '{"demo": "complete"}\n'

CLIENTS: Mapping[str, str] = {
    "admin": f"{OPERATOR.id}/{FIRST_CLIENT}",
    "provider": "data_trust/Demo provider",
    "developer": "polder_ai/Demo developer",
    "outsider": "alpine_apps/Demo outsider",
}
"""Name in credentials.json -> participant and name of the client."""

Known = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class DemoHome:
    """home: as `open_gateway` takes it. settings: with the content's directory open to local storages."""

    home: Home
    settings: Settings

    @property
    def credentials(self) -> Path:
        return self.home.path / CREDENTIALS

    def write_address(self, public_url: str) -> None:
        """Says in credentials.json where the gateway is reached."""
        _write(self.home, public_url, _read(self.credentials))


def prepare(path: Path, settings: Settings, told: Callable[[Change], None] | None = None) -> DemoHome:
    """Makes the demo in `path`, or opens the one that is there; what was changed in it since is left as it is.

    path: must be absent, empty or a demo's home. told: is called with each change that was made. Raises HomeRefused,
    ApplyError, InventoryBusy.
    """
    settings = _with_content(settings)
    path = path.absolute()
    issued: dict[str, Issued] = {}
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        issued[CLIENTS["admin"]] = initialise(path, settings)
        replace_private(path / MARKER, _BEGUN)
    elif not (path / MARKER).exists():
        raise HomeRefused(f"{path} is not empty and no demo's home; choose another directory, or remove it.")
    demo = DemoHome(open_home(path), settings)
    with open_foundation(demo.home, settings, migrate=True) as base, opened(demo.home.path) as inventory:
        workshop = workshop_of(base)
        principal = operator_principal(f"os-user:{os.getuid()}")
        if (path / MARKER).read_text() == _BEGUN:
            planner = Planner(workshop, workshop.places, principal, inventory)
            plan = planner.plan([CONTENT], defaults=(AI_FACTORIES, DATA_SPACES))
        else:
            plan = Plan(changes=tuple(_stale(workshop, principal)), unchanged=0, sources={})
        Runner(workshop, workshop.versions.publish, principal, inventory, issued.__setitem__).run(plan, told)
        known = _Secrets(workshop, principal, _read(demo.credentials), base.clock()).known(issued)
        _write(demo.home, planned_url(settings), known)
        replace_private(path / MARKER, _COMPLETE)
    return demo


def _stale(workshop: Workshop, principal: Principal) -> Iterator[Change]:
    """The content's datasets whose files are no longer those of their newest version: they were installed anew."""
    registered = Registered(workshop, principal)
    locations = Locations(workshop.places, World({}, registered, ()))
    for entry in read([CONTENT]).entries:
        dataset = registered.get(entry.kind, entry.key) if entry.kind is Kind.DATASET else None
        if not isinstance(dataset, Dataset) or dataset.status is not DatasetStatus.PUBLISHED:
            continue
        with suppress(StorageError):
            if locations.differs(dataset, registered.version(dataset)):
                yield Change(verb=Verb.PUBLISH, kind=entry.kind, key=entry.key, entry=entry, before=dataset)


def planned_url(settings: Settings) -> str:
    """Where the gateway will be reached, as far as the settings tell (a port of 0 is not known yet)."""
    return settings.server.public_url or f"http://{settings.server.host}:{settings.server.port}"


class _Secrets:
    """Finds, for each client of the demo, a secret that works."""

    def __init__(self, workshop: Workshop, principal: Principal, before: Known, now: datetime) -> None:
        self._workshop = workshop
        self._principal = principal
        self._registered = Registered(workshop, principal)
        self._before = before
        self._now = now

    def known(self, issued: Mapping[str, Issued]) -> Known:
        """issued: those that were just made, by `participant/name`."""
        found = {name: self._secret(name, key, issued.get(key)) for name, key in CLIENTS.items()}
        return {name: secret for name, secret in found.items() if secret is not None}

    def _secret(self, name: str, key: str, issued: Issued | None) -> dict[str, str] | None:
        """None: the client was revoked."""
        if issued is None:
            client = self._registered.client(key)
            if client is None:
                return None
            known = self._before.get(name, {})
            if known.get("client_id") == client.client_id and matching(client, known["client_secret"], self._now):
                return known
            issued = self._workshop.clients.rotate(self._principal, client.participant, client.client_id, overlap_s=0)
        return {"client_id": issued.client.client_id, "client_secret": issued.secret}


def _with_content(settings: Settings) -> Settings:
    """The settings with the content's files among the directories that local storages may lie in."""
    roots = tuple(dict.fromkeys((*settings.storage.local_roots, FILES)))
    return settings.model_copy(update={"storage": settings.storage.model_copy(update={"local_roots": roots})})


def _read(path: Path) -> Known:
    """The clients in the file; none if there is no such file or it is not ours to read."""
    try:
        clients = json.loads(path.read_bytes())["clients"]
        return {
            str(name): {part: str(client[part]) for part in ("client_id", "client_secret")}
            for name, client in clients.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(home: Home, public_url: str, clients: Known) -> None:
    token_url = public_url + TOKEN_PATH
    document = {"base_url": public_url, "token_url": token_url, "clients": clients}
    replace_private(home.path / CREDENTIALS, json.dumps(document, indent=2) + "\n")
    if "developer" in clients:
        replace_private(home.path / CURL_CONFIG, curl_config(token_url, **clients["developer"]))
