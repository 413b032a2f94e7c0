"""A gateway's registry on a real database, with a few participants, a factory, a space and a lab in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, event

from catalog.entities import (
    Admission,
    AdmissionRole,
    AiFactory,
    DataLab,
    Dataset,
    DataSpace,
    Participant,
    ParticipantKind,
    ParticipantStatus,
    Storage,
    StorageKind,
)
from datalab.db.base import Base
from datalab.db.database import Database
from datalab.db.reader import Reader
from datalab.db.registry import SqlStore
from datalab.flow.authority import operator_principal
from datalab.flow.decision import Decider
from datalab.flow.principal import Principal, Role
from datalab.registry.admissions import Admissions
from datalab.registry.datasets import Datasets
from datalab.registry.discovery import Discovery
from datalab.registry.factories import AiFactories
from datalab.registry.labs import DataLabs
from datalab.registry.participants import Participants
from datalab.registry.policies import Policies
from datalab.registry.preview import Preview
from datalab.registry.spaces import DataSpaces
from datalab.registry.storages import Storages
from datalab.registry.writes import Registrar

MACHINE = operator_principal("os-user:test")


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Notebook:
    """A journal in memory: (subject, verb, resource, outcome), and the details."""

    records: list[tuple[str, str, str, str]] = field(default_factory=list)
    details: list[Mapping[str, object]] = field(default_factory=list)

    @contextmanager
    def administrative(
        self, principal: Principal, *, verb: str, resource: str, detail: Mapping[str, object]
    ) -> Iterator[None]:
        self.details.append(detail)
        try:
            yield
        except BaseException as error:
            self.records.append((principal.subject, verb, resource, type(error).__name__))
            raise
        self.records.append((principal.subject, verb, resource, "done"))


class Reversing:
    """Stands where `connectors` seals: enough to see that what is stored is not what was given."""

    def seal(self, uid: str, credentials: Mapping[str, str]) -> bytes:
        return f"{uid}:{credentials!r}"[::-1].encode()


class World:
    def __init__(self, engine: Engine) -> None:
        Base.metadata.create_all(engine)
        self.engine = engine
        self.database = Database(engine)
        self.reader = Reader(self.database)
        self.store = SqlStore(self.database)
        self.clock = Clock()
        self.notebook = Notebook()
        registrar = Registrar(self.store, self.notebook, self.clock)
        self.registrar = registrar
        self.participants = Participants(registrar, self.reader)
        self.ai_factories = AiFactories(registrar, self.reader)
        self.data_spaces = DataSpaces(registrar, self.reader)
        self.data_labs = DataLabs(registrar, self.reader)
        self.admissions = Admissions(registrar, self.reader)
        self.storages = Storages(registrar, self.reader, Reversing(), lambda _storage: None)
        self.datasets = Datasets(registrar, self.reader)
        self.policies = Policies(registrar)
        self.decider = Decider(self.reader, clock=self.clock)
        self.discovery = Discovery(self.store, self.reader, self.decider)
        self.preview = Preview(self.store, self.reader, self.decider)

    def furnish(self) -> World:
        """Alpha and beta provide in health, labco runs its lab at LUMI, steward operates it; outsider is nowhere in it."""
        for id_, country in {
            "alpha": "DE",
            "beta": "FR",
            "labco": "FI",
            "steward": "IT",
            "outsider": "NL",
            "ops": "BE",
        }.items():
            self.participants.create(MACHINE, participant(id_, country=country))
        self.ai_factories.create(MACHINE, factory("lumi"))
        self.data_spaces.create(MACHINE, space("health", operator="steward"))
        for who, role in (
            ("alpha", AdmissionRole.PROVIDER),
            ("beta", AdmissionRole.PROVIDER),
            ("labco", AdmissionRole.LAB),
        ):
            self.admissions.create(MACHINE, Admission(space="health", participant=who, role=role))
        self.data_labs.create(MACHINE, lab("lab"))
        for who in ("alpha", "beta"):
            self.storages.create(MACHINE, storage(f"{who}_disk", who))
        return self

    def principal(self, id_: str, *roles: Role) -> Principal:
        """A principal of that participant as it is registered now; a member unless roles say otherwise."""
        self.reader.revision()
        found = self.reader.participant(id_)
        assert found is not None
        return Principal(
            issuer="https://issuer.test",
            subject=f"{id_}-client",
            client_id=f"{id_}-client",
            participant=found,
            roles=frozenset(roles or {Role.MEMBER}),
            scopes=frozenset(),
            spaces=frozenset(admission.space for admission in self.reader.admissions(id_)),
            token_id="t",
        )

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL statements that the database is sent meanwhile."""
        seen: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            seen.append(statement)

        event.listen(self.engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(self.engine, "before_cursor_execute", note)


def participant(
    id_: str, *, country: str = "DE", status: ParticipantStatus = ParticipantStatus.VERIFIED
) -> Participant:
    return Participant(
        id=id_,
        legal_name=f"{id_.title()} GmbH",
        country=country,
        kind=ParticipantKind.SME,
        status=status,
        contact=f"info@{id_}.example.org",
    )


def factory(id_: str) -> AiFactory:
    return AiFactory(id=id_, name=id_.upper(), host="CSC", place="Kajaani", country="FI")


def space(id_: str, *, operator: str | None = None) -> DataSpace:
    return DataSpace(id=id_, title={"en": id_.title()}, sector=id_, operator=operator)


def lab(id_: str, *, home: str = "lumi", operator: str = "labco", spaces: tuple[str, ...] = ("health",)) -> DataLab:
    return DataLab(id=id_, title={"en": id_.title()}, home=home, operator=operator, spaces=spaces)


def storage(id_: str, owner: str) -> Storage:
    return Storage(id=id_, participant=owner, kind=StorageKind.LOCAL, root=f"/srv/{owner}")


def dataset(name: str, *, provider: str = "alpha", space: str = "health", lab: str = "lab", **more: object) -> Dataset:
    values: dict[str, object] = {
        "space": space,
        "name": name,
        "provider": provider,
        "lab": lab,
        "title": {"en": name.title()},
        "storage": f"{provider}_disk",
        "location": f"{name}.parquet",
        **more,
    }
    return Dataset(**values)  # type: ignore[arg-type]  # the tests pass what the field takes
