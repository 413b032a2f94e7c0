"""What apply works on, for tests: the registry on a real database, and a directory of documents to change."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from catalog.entities import Column, Storage, Version
from connectors.contract import Connector
from connectors.credentials import Credentials
from connectors.registry import StorageRules, connect, screen
from datalab.app.apply import ApplyRefused, Change, Plan, Planner, Runner
from datalab.app.apply.inventory import opened
from datalab.db.base import new_uid
from datalab.db.oauth import OAuthStore
from datalab.db.versions import insert_version
from datalab.flow.principal import Principal
from datalab.flow.trail import Actor, Kind
from datalab.oauth.clients import Clients, Issued
from datalab.registry.policies import Policies
from tests.registry.world import MACHINE, Notebook, World


class Diary(Notebook):
    """Also takes the records that stand alone."""

    def record(self, kind: Kind, actor: Actor, detail: Mapping[str, object]) -> str:
        self.records.append((actor.subject, kind, str(detail.get("client")), "done"))
        return "reference"


class Gateway(World):
    """The services that apply calls, and what it published."""

    def __init__(self, engine: Engine, rules: StorageRules) -> None:
        super().__init__(engine)
        self.catalogue = self.reader
        self.policies = Policies(self.registrar)
        self.diary = Diary()
        self.clients = Clients(OAuthStore(self.database), self.reader, self.diary, self.clock)
        self.published: list[str] = []

        self.rules = rules

    def screen(self, storage: Storage) -> None:
        screen(storage, self.rules)

    def connect(self, storage: Storage, credentials: Mapping[str, str] | None = None) -> Connector:
        return connect(storage, None if credentials is None else Credentials.parse(credentials), self.rules)

    def publish_version(self, principal: Principal, space: str, name: str) -> None:
        """Records what lies there without looking into it."""
        self.published.append(f"{space}/{name}")
        dataset = self.reader.dataset(space, name)
        storage = self.reader.storage(dataset.storage) if dataset else None
        assert dataset is not None
        assert storage is not None
        with closing(self.connect(storage)) as connector:
            files = tuple(file.entry(1) for file in connector.list(dataset.location))
        version = Version(
            uid=new_uid(),
            dataset_uid=dataset.uid,
            number=len(self.published),
            files=files,
            columns=(Column(name="a", type="INTEGER"),),
            arrow_schema=b"",
            row_count=len(files),
            size_bytes=sum(file.size_bytes for file in files),
            created_at=self.clock(),
        )
        with self.database.write() as session:
            insert_version(session, version, "0" * 64)


@dataclass
class Applying:
    """One gateway and one directory. steps: `verb kind key` of the last run; secrets: by `participant/name`."""

    gateway: Gateway
    home: Path
    directory: Path
    steps: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    defaults: tuple[Path, ...] = ()
    disk_full: bool = False

    def write(self, file: str, text: str) -> Path:
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def plan(self, *, prune: bool = False) -> Plan:
        with opened(self.home) as inventory:
            planner = Planner(self.gateway, self.gateway, MACHINE, inventory)
            return planner.plan([self.directory], defaults=self.defaults, prune=prune)

    def run(self, *, prune: bool = False) -> list[str]:
        self.steps = []
        with opened(self.home) as inventory:
            planner = Planner(self.gateway, self.gateway, MACHINE, inventory)
            plan = planner.plan([self.directory], defaults=self.defaults, prune=prune)
            runner = Runner(self.gateway, self.gateway.publish_version, MACHINE, inventory, self._keep)
            runner.run(plan, self._told)
        return self.steps

    def refused(self, *, prune: bool = False) -> list[str]:
        """What a plan is refused for, each line without the directory's own path."""
        try:
            self.plan(prune=prune)
        except ApplyRefused as refused:
            return [str(found).replace(f"{self.directory}/", "") for found in refused.found]
        return []

    def _keep(self, key: str, issued: Issued) -> None:
        if self.disk_full:
            raise OSError
        self.secrets[key] = issued.secret

    def _told(self, change: Change) -> None:
        self.steps.append(shown(change))


def shown(change: Change) -> str:
    fields = f" ({', '.join(change.fields)})" if change.fields else ""
    return f"{change.verb} {change.kind} {change.key}{fields}"


def lines(changes: Sequence[Change]) -> list[str]:
    return [shown(change) for change in changes]
