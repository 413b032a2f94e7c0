"""Connections and transactions: how the gateway reads and writes its database, and the revision that guards caches.

Every write transaction takes the write lock at its start and bumps `revision`; readers compare it before they trust
anything they remember. SQLite runs in WAL mode with synchronous=FULL, so that an acknowledged write survives kill -9.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import BigInteger, Engine, create_engine, event, insert, make_url, text, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from datalab.db.base import Base

REVISION_LOCK = 0x64617461  # "data": PostgreSQL's advisory lock that serialises writers, as SQLite's write lock does


class RevisionRow(Base):
    __tablename__ = "revision"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(BigInteger)


def open_engine(url: str, *, busy_timeout_s: float = 10.0) -> Engine:
    """An engine for `sqlite:///FILE` or `postgresql+psycopg://...`.

    SQLite's own transaction handling in the Python driver is switched off: `Database` begins explicitly, so that a write
    takes the lock before it reads. Its errors never repeat parameters: they reach the log.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, hide_parameters=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        pool_size=10,
        max_overflow=40,
        hide_parameters=True,
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # sqlite3 only: we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


class Database:
    """The two ways to touch the main database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading, on one consistent snapshot; anything it changed is rolled back."""
        with self._sessions() as session:
            session.execute(
                text("BEGIN DEFERRED" if self._sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            )
            try:
                yield session
            finally:
                session.rollback()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that holds the write lock from its start; commits and bumps the revision, or leaves no trace."""
        with self._sessions() as session:
            if self._sqlite:
                session.execute(text("BEGIN IMMEDIATE"))
            else:
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": REVISION_LOCK})
            try:
                yield session
                if not session.execute(update(RevisionRow).values(value=RevisionRow.value + 1)).rowcount:  # type: ignore[attr-defined]
                    session.execute(insert(RevisionRow).values(id=1, value=1))
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def revision(self) -> int:
        """The number of committed write transactions: one indexed read."""
        # Every request pays this, so it goes to the driver: SQLAlchemy's way took four times as long.
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("SELECT value FROM revision")
            found = cursor.fetchone()
            cursor.close()
        finally:
            connection.close()  # back to the pool, which ends its transaction
        return int(found[0]) if found else 0
