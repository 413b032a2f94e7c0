"""The audit trail's tables: a database file of their own under SQLite, the gateway's database under PostgreSQL.

Owns their columns, indexes and the triggers that make the engine itself refuse to change or delete a record. Columns beside
a body repeat what it says, for looking it up; verification compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from datalab.db.base import AuditBase

ID_LENGTH = 64
NAME_LENGTH = 63
HASH_LENGTH = 64


class ChainRow(AuditBase):
    """One process's chain. seq, hash: its head. lease_until_us: until when the process counts as alive."""

    __tablename__ = "audit_chains"

    chain: Mapped[str] = mapped_column(String(32), primary_key=True)
    process: Mapped[str] = mapped_column(Text)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))
    lease_until_us: Mapped[int] = mapped_column(BigInteger)
    ended: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (Index("ix_audit_chains_ended", "ended", "lease_until_us"),)


class RecordRow(AuditBase):
    """A record: its canonical body, the hash that chains it and the code that only the audit key makes."""

    __tablename__ = "audit_records"

    chain: Mapped[str] = mapped_column(String(32), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_us: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(40))
    ref: Mapped[str] = mapped_column(String(ID_LENGTH))
    participant: Mapped[str] = mapped_column(String(NAME_LENGTH))
    body: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(HASH_LENGTH))
    hash: Mapped[str] = mapped_column(String(HASH_LENGTH))
    mac: Mapped[str] = mapped_column(String(HASH_LENGTH))

    __table_args__ = (
        Index("ix_audit_records_ref", "ref"),
        Index("ix_audit_records_at", "at_us", "chain", "seq"),
        Index("ix_audit_records_participant", "participant", "at_us"),
        Index("ix_audit_records_kind", "kind", "at_us"),
    )


class LinkRow(AuditBase):
    """A data space, or a dataset in it (name not empty), that a record concerns."""

    __tablename__ = "audit_links"

    chain: Mapped[str] = mapped_column(String(32), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    space: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    uid: Mapped[str] = mapped_column(String(32))
    provider: Mapped[str] = mapped_column(String(NAME_LENGTH))
    at_us: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_audit_links_dataset", "space", "name", "at_us"),
        Index("ix_audit_links_provider", "provider", "at_us"),
    )


class OpenRow(AuditBase):
    """An operation that its chain opened and nobody closed yet."""

    __tablename__ = "audit_open"

    ref: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    chain: Mapped[str] = mapped_column(String(32), index=True)
    kind: Mapped[str] = mapped_column(String(40))


class LiteralsRow(AuditBase):
    """SQL text, parameters or the detail of a write: what may be erased. The record keeps a salted commitment."""

    __tablename__ = "audit_literals"

    ref: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    salt: Mapped[str] = mapped_column(String(HASH_LENGTH))
    content: Mapped[str] = mapped_column(Text)


APPEND_ONLY: dict[str, tuple[str, ...]] = {
    "sqlite": tuple(
        f"CREATE TRIGGER IF NOT EXISTS {table}_{verb} BEFORE {verb.upper()} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        for table, verb in (
            ("audit_records", "update"),
            ("audit_records", "delete"),
            ("audit_links", "update"),
            ("audit_links", "delete"),
            ("audit_literals", "update"),
        )
    ),
    "postgresql": (
        """CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$""",
        *(
            f"CREATE OR REPLACE TRIGGER {table}_append_only BEFORE {events} ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
            for table, events in (
                ("audit_records", "UPDATE OR DELETE OR TRUNCATE"),
                ("audit_links", "UPDATE OR DELETE OR TRUNCATE"),
                ("audit_literals", "UPDATE OR TRUNCATE"),
            )
        ),
    ),
}
"""Triggers that refuse changes, by dialect; a migration executes them after it made the tables."""


def create_audit(connection: Connection) -> None:
    """Makes tables, indexes and triggers where they are missing; migrations end in the same state."""
    AuditBase.metadata.create_all(connection)
    for statement in APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
