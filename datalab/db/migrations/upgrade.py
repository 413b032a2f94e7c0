"""Brings the main database and the audit database to the newest form, each by a line of migrations of its own.

Owns what alembic is told. One process migrates at a time, and a migration that fails leaves no trace. Must never lose what
is in a database, and never touch one that a newer version of the gateway has written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData

from datalab.db import audit_tables, catalogue, database, datasets, jobs, oauth, policies, versions
from datalab.db.base import AuditBase, Base

HERE = Path(__file__).parent
MIGRATION_LOCK = 0x6D696772  # "migr": PostgreSQL's advisory lock for this

TABLES = (audit_tables, catalogue, database, datasets, jobs, oauth, policies, versions)
"""The modules whose tables the metadata of both databases consist of."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of migrations: of which tables, and where a database notes how far it is."""

    name: str
    metadata: MetaData
    version_table: str

    def config(self, connection: Connection | None = None) -> Config:
        config = Config()
        config.set_main_option("script_location", str(HERE))
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", str(HERE / "versions" / self.name))
        config.attributes.update(connection=connection, line=self)
        return config

    @property
    def head(self) -> str:
        head = ScriptDirectory.from_config(self.config()).get_current_head()
        assert head is not None, "there is always a first migration"
        return head


MAIN = Line("main", Base.metadata, "alembic_version")
AUDIT = Line("audit", AuditBase.metadata, "alembic_version_audit")


def migrate(engine: Engine) -> None:
    """Brings the main database to the newest form."""
    _upgrade(MAIN, engine)


def migrate_audit(engine: Engine) -> None:
    """Brings the audit database to the newest form; under PostgreSQL it may be the main one."""
    _upgrade(AUDIT, engine)


def is_current(engine: Engine, line: Line) -> bool:
    """Whether the database has the newest form; False for an empty one and for one of a newer version."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": line.version_table})
        return context.get_current_revision() == line.head


def _upgrade(line: Line, engine: Engine) -> None:
    with _alone(engine) as connection:
        command.upgrade(line.config(connection), "head")


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other migration, and under SQLite no other write, runs beside."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
