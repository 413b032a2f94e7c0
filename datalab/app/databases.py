"""The databases of one gateway: where they are, opened together and closed together.

Owns the rule which URL stands for which database. Must never print one: it may hold a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from datalab.app.home import Home
from datalab.app.settings import Settings
from datalab.db.audit import open_audit_engine
from datalab.db.database import open_engine
from datalab.db.migrations import migrate, migrate_audit


@dataclass(frozen=True, slots=True)
class Engines:
    main: Engine
    audit: Engine

    def migrate(self) -> None:
        """Brings both to the form that this version needs."""
        migrate(self.main)
        migrate_audit(self.audit)


def database_url(home: Home, settings: Settings) -> str:
    url = settings.database.url
    return url.get_secret_value() if url is not None else f"sqlite:///{home.database}"


def audit_url(home: Home, settings: Settings) -> str:
    """A URL of its own if one is set, else the configured main database (unless that is SQLite), else a file in the home."""
    if settings.audit.database_url is not None:
        return settings.audit.database_url.get_secret_value()
    main = database_url(home, settings)
    return f"sqlite:///{home.audit_database}" if main.startswith("sqlite") else main


@contextmanager
def open_engines(home: Home, settings: Settings) -> Iterator[Engines]:
    """Both databases; closed at the end of the block."""
    main = open_engine(database_url(home, settings))
    audit = open_audit_engine(audit_url(home, settings))
    try:
        yield Engines(main, audit)
    finally:
        audit.dispose()
        main.dispose()
