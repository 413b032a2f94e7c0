"""The audit trail's store: appends sealed records, keeps chain heads, leases and what is still open; reads them back.

Owns the transactions on the trail. Must never change or delete a record; only literals can be erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Table, bindparam, delete, event, insert, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from datalab.db.audit_reads import CHAINS, chain_state, read_operation
from datalab.db.audit_tables import ChainRow, LinkRow, LiteralsRow, OpenRow, RecordRow
from datalab.db.base import AuditBase
from datalab.db.database import open_engine
from datalab.flow.chain import Head
from datalab.flow.trail import AuditRecord, ChainState, Kind, Written


def open_audit_engine(url: str, *, busy_timeout_s: float = 5.0) -> Engine:
    """An engine for the trail; under SQLite erased literals are overwritten with zeros, not only unlinked."""
    engine = open_engine(url, busy_timeout_s=busy_timeout_s)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA secure_delete=ON")
            cursor.close()

    return engine


class SqlAuditStore:
    """Implements `flow.trail_ports.AuditStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        with self._engine.connect() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield SqlTransaction(connection)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def scrub(self) -> None:
        if not self._sqlite:
            return  # PostgreSQL frees the row at its next vacuum
        with self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


class SqlTransaction:
    """Implements `flow.trail_ports.AuditTransaction`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_chain(self, state: ChainState) -> None:
        self._connection.execute(
            insert(ChainRow),
            {
                "chain": state.chain,
                "process": state.process,
                "seq": state.head.seq,
                "hash": state.head.hash,
                "lease_until_us": state.lease_until_us,
                "ended": state.ended,
            },
        )

    def extend(self, chain: str, before: Head, head: Head, lease_until_us: int) -> bool:
        values = {"of": chain, "before": before.seq, "to": head.seq, "hash": head.hash, "lease": lease_until_us}
        return self._connection.execute(_EXTEND, values).rowcount == 1

    def state(self, chain: str) -> ChainState | None:
        found = self._connection.execute(CHAINS.where(ChainRow.chain == chain).with_for_update()).one_or_none()
        return None if found is None else chain_state(*found)

    def expired(self, now_us: int) -> Sequence[ChainState]:
        where = CHAINS.where(ChainRow.ended.is_(False), ChainRow.lease_until_us < now_us)
        locked = where.order_by(ChainRow.chain).with_for_update(skip_locked=True)
        return [chain_state(*row) for row in self._connection.execute(locked)]

    def end(self, chain: str) -> None:
        self._connection.execute(update(ChainRow).where(ChainRow.chain == chain).values(ended=True))

    def append(self, records: Sequence[Written]) -> None:
        self._connection.execute(_ADD_RECORDS, [_record_row(one) for one in records])
        links = [row for one in records for row in _link_rows(one)]
        if links:
            self._connection.execute(_ADD_LINKS, links)
        literals = [
            {"ref": one.ref, "salt": one.literals.salt, "content": one.literals.content}
            for one in records
            if one.literals is not None
        ]
        if literals:
            self._connection.execute(_ADD_LITERALS, literals)

    def mark_open(self, refs: Sequence[tuple[str, str, Kind]]) -> None:
        self._connection.execute(
            _ADD_OPEN, [{"ref": ref, "chain": chain, "kind": kind.value} for ref, chain, kind in refs]
        )

    def mark_closed(self, refs: Sequence[str]) -> None:
        self._connection.execute(_REMOVE_OPEN, [{"closed": ref} for ref in refs])

    def still_open(self, chain: str) -> Mapping[str, Kind]:
        found = self._connection.execute(select(OpenRow.ref, OpenRow.kind).where(OpenRow.chain == chain))
        return {ref: Kind(kind) for ref, kind in found}

    def erase_literals(self, ref: str) -> bool:
        return self._connection.execute(delete(LiteralsRow).where(LiteralsRow.ref == ref)).rowcount == 1

    def operation(self, ref: str) -> Sequence[AuditRecord]:
        return read_operation(self._connection, ref)


# The statements of the hot path are made once: building one anew costs more than running it.


def _table(row: type[AuditBase]) -> Table:
    table = row.__table__
    assert isinstance(table, Table)
    return table


_CHAIN = _table(ChainRow).c
_EXTEND = (
    update(_table(ChainRow))
    .where(_CHAIN.chain == bindparam("of"), _CHAIN.ended.is_(False), _CHAIN.seq == bindparam("before"))
    .values(seq=bindparam("to"), hash=bindparam("hash"), lease_until_us=bindparam("lease"))
)
_ADD_RECORDS = insert(_table(RecordRow))
_ADD_LINKS = insert(_table(LinkRow))
_ADD_LITERALS = insert(_table(LiteralsRow))
_ADD_OPEN = insert(_table(OpenRow))
_REMOVE_OPEN = delete(_table(OpenRow)).where(_table(OpenRow).c.ref == bindparam("closed"))


def _record_row(one: Written) -> dict[str, object]:
    return {
        "chain": one.sealed.chain,
        "seq": one.sealed.seq,
        "at_us": one.at_us,
        "kind": one.kind.value,
        "ref": one.ref,
        "participant": one.participant,
        "body": one.sealed.body,
        "previous": one.sealed.previous,
        "hash": one.sealed.hash,
        "mac": one.sealed.mac,
    }


def _link_rows(one: Written) -> list[dict[str, object]]:
    return [
        {
            "chain": one.sealed.chain,
            "seq": one.sealed.seq,
            "space": link.space,
            "name": link.name,
            "uid": link.uid,
            "provider": link.provider,
            "at_us": one.at_us,
        }
        for link in one.links
    ]
