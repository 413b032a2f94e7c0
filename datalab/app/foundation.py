"""What every process that works on a gateway's home stands on: keys, databases, the audit journal, the registry's writes.

Owns their opening, in the order in which they depend on each other, and their closing in reverse. Must never serve anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from datalab.app.checkpoints import CheckpointFile, seal_at_end
from datalab.app.databases import Engines, open_engines
from datalab.app.home import Home, Keys, read_keys
from datalab.app.settings import Settings
from datalab.db.audit import SqlAuditStore
from datalab.db.audit_reads import SqlTrail
from datalab.db.database import Database
from datalab.db.reader import Reader
from datalab.db.registry import SqlStore
from datalab.flow.audit import Journal
from datalab.flow.jwks import Clock
from datalab.registry.writes import Registrar


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """journal: started. catalogue: shared by all requests of this process."""

    settings: Settings
    home: Home
    keys: Keys
    engines: Engines
    database: Database
    catalogue: Reader
    store: SqlStore
    journal: Journal
    checkpoints: CheckpointFile
    registrar: Registrar
    clock: Clock


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def open_foundation(
    home: Home, settings: Settings, *, migrate: bool = False, clock: Clock = now
) -> Iterator[Foundation]:
    """migrate: first bring the databases to the form of this version. Raises HomeRefused."""
    keys = read_keys(home)
    with open_engines(home, settings) as engines:
        if migrate:
            engines.migrate()
        database = Database(engines.main)
        store = SqlStore(database)
        catalogue = Reader(database)

        def provider_of(space: str, name: str) -> str | None:
            dataset = catalogue.dataset(space, name)
            return None if dataset is None else dataset.provider

        with Journal(SqlAuditStore(engines.audit), keys.audit, clock=clock, provider_of=provider_of) as journal:
            checkpoints = CheckpointFile(settings.audit.checkpoint_file or home.checkpoints, keys.checkpoint)
            seal_at_end(journal, checkpoints, SqlTrail(engines.audit), clock)
            yield Foundation(
                settings=settings,
                home=home,
                keys=keys,
                engines=engines,
                database=database,
                catalogue=catalogue,
                store=store,
                journal=journal,
                checkpoints=checkpoints,
                registrar=Registrar(store, journal, clock),
                clock=clock,
            )
