"""An audit trail in a real SQLite file and callers to write about, for every test that audits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from catalog.entities import Participant, ParticipantKind, ParticipantStatus
from datalab.db.audit import SqlAuditStore, open_audit_engine
from datalab.db.audit_reads import SqlTrail
from datalab.db.audit_tables import create_audit
from datalab.flow.audit import Journal
from datalab.flow.principal import Principal, Role

KEY = bytes(range(32))


def principal(participant: str = "acme", *roles: Role) -> Principal:
    return Principal(
        issuer="https://gateway.example",
        subject=f"{participant}-client",
        client_id=f"{participant}-client",
        participant=Participant(
            uid=f"uid-{participant}",
            id=participant,
            legal_name=participant.title(),
            country="DE",
            kind=ParticipantKind.SME,
            status=ParticipantStatus.VERIFIED,
        ),
        roles=frozenset(roles or {Role.MEMBER}),
        scopes=frozenset(),
        spaces=frozenset(),
        token_id=f"token-of-{participant}",
    )


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class AuditHome:
    """An audit database, and journals on it as several processes would have them."""

    path: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.engine = self.connect()
        with self.engine.begin() as connection:
            create_audit(connection)
        self.store = SqlAuditStore(self.engine)
        self.trail = SqlTrail(self.engine)

    def connect(self) -> Engine:
        return open_audit_engine(f"sqlite:///{self.path}")

    def journal(self, store: SqlAuditStore | None = None, lease_s: float = 30.0, process: str = "test:1") -> Journal:
        return Journal(store or self.store, KEY, clock=self.clock, lease_s=lease_s, process=process)
