"""The audit trail as its readers see it: one operation, pages of records, and whole snapshots for verification.

Owns the queries. Must never write, and never show a record outside the reader's reach: each query carries the reach itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    exists,
    false,
    inspect,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from datalab.db.audit_tables import ChainRow, LinkRow, LiteralsRow, RecordRow
from datalab.flow.chain import Head, Literals, Sealed
from datalab.flow.trail import (
    AuditRecord,
    ChainState,
    Kind,
    Link,
    Place,
    Reach,
    Search,
    Stored,
    actor_from,
    links_from,
    touched_from,
)

APART = frozenset({"chain", "seq", "at_us", "kind", "ref", "actor", "datasets", "links", "literals"})
CHAINS = select(ChainRow.chain, ChainRow.process, ChainRow.seq, ChainRow.hash, ChainRow.lease_until_us, ChainRow.ended)
_PLACE = (RecordRow.at_us, RecordRow.chain, RecordRow.seq)
_KEYS = select(*_PLACE)
_WITH_LITERALS = select(RecordRow.body, LiteralsRow.content).join_from(
    RecordRow, LiteralsRow, and_(LiteralsRow.ref == RecordRow.ref, RecordRow.kind.endswith(".opened")), isouter=True
)
_LINKED = and_(LinkRow.chain == RecordRow.chain, LinkRow.seq == RecordRow.seq)
_STORED_BATCH = 2000


def chain_state(chain: str, process: str, seq: int, hash_: str, lease_until_us: int, ended: bool) -> ChainState:
    return ChainState(chain=chain, process=process, head=Head(seq, hash_), lease_until_us=lease_until_us, ended=ended)


def read_operation(connection: Connection, ref: str) -> tuple[AuditRecord, ...]:
    ordered = _WITH_LITERALS.where(RecordRow.ref == ref).order_by(*_PLACE)
    return tuple(_record(row) for row in connection.execute(ordered))


def _record(row: Row[tuple[str, str]]) -> AuditRecord:
    body = orjson.loads(row[0])
    return AuditRecord(
        chain=body["chain"],
        seq=body["seq"],
        at_us=body["at_us"],
        kind=body["kind"],
        ref=body["ref"],
        actor=actor_from(body["actor"]),
        datasets=touched_from(body.get("datasets")),
        details={key: value for key, value in body.items() if key not in APART},
        links=links_from(body),
        literals=orjson.loads(row[1]) if row[1] is not None else None,
    )


class SqlTrail:
    """Implements `flow.trail_ports.Trail`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def operation(self, ref: str) -> tuple[AuditRecord, ...]:
        with reading(self._engine) as connection:
            return read_operation(connection, ref)

    def search(self, where: Search, reach: Reach, *, after: Place | None, limit: int) -> tuple[AuditRecord, ...]:
        """Newest first. Each branch is one walk along an index; their union is cut to the limit."""
        conditions = _conditions(where)
        if after is not None:
            conditions.append(tuple_(*_PLACE) < tuple_(*(literal(part) for part in after)))
        with reading(self._engine) as connection:
            keys: set[Place] = set()
            for branch in _branches(where, reach):
                newest = branch.where(*conditions).order_by(*(one.desc() for one in _PLACE)).limit(limit)
                keys.update((at_us, chain, seq) for at_us, chain, seq in connection.execute(newest))
            wanted = sorted(keys, reverse=True)[:limit]
            if not wanted:
                return ()
            rows = _WITH_LITERALS.where(tuple_(RecordRow.chain, RecordRow.seq).in_([key[1:] for key in wanted]))
            found = {(one.at_us, one.chain, one.seq): one for one in map(_record, connection.execute(rows))}
        return tuple(found[key] for key in wanted if key in found)

    def heads(self) -> Sequence[ChainState]:
        with reading(self._engine) as connection:
            return [chain_state(*row) for row in connection.execute(CHAINS.order_by(ChainRow.chain))]

    def busy_since(self, chain: str, seq: int) -> bool:
        later = select(RecordRow.seq).where(
            RecordRow.chain == chain, RecordRow.seq > seq, RecordRow.kind != Kind.CHECKPOINT.value
        )
        with reading(self._engine) as connection:
            return connection.execute(later.limit(1)).first() is not None


def _conditions(where: Search) -> list[ColumnElement[bool]]:
    given = (
        (where.kind, RecordRow.kind == where.kind),
        (where.participant, RecordRow.participant == where.participant),
        (where.ref, RecordRow.ref == where.ref),
        (where.since_us, RecordRow.at_us >= (where.since_us or 0)),
        (where.until_us, RecordRow.at_us < (where.until_us or 0)),
    )
    return [condition for value, condition in given if value is not None]


def _branches(where: Search, reach: Reach) -> Iterator[Select[tuple[int, str, int]]]:
    """The records within reach, as unions of what one index can list in order."""
    linked = _KEYS.join_from(LinkRow, RecordRow, _LINKED).distinct()
    if where.dataset is not None:
        space, name = where.dataset
        yield linked.where(LinkRow.space == space, LinkRow.name == name, _within(reach))
    elif where.space is not None:
        yield linked.where(LinkRow.space == where.space, _within(reach))
    elif where.ref is not None:
        yield _KEYS if reach.everything else _KEYS.where(exists().where(_LINKED, _within(reach)))
    elif reach.everything:
        yield _KEYS
    else:
        if reach.provider is not None:
            yield linked.where(LinkRow.provider == reach.provider)
            yield linked.where(LinkRow.provider == "", LinkRow.name != "", RecordRow.participant == reach.provider)
        for space in sorted(reach.spaces):
            yield linked.where(LinkRow.space == space)


def _within(reach: Reach) -> ColumnElement[bool]:
    """Whether a link is within reach. A write whose record names no provider is the writer's own."""
    if reach.everything:
        return true()
    parts: list[ColumnElement[bool]] = [LinkRow.space.in_(sorted(reach.spaces))] if reach.spaces else []
    if reach.provider is not None:
        parts.append(LinkRow.provider == reach.provider)
        parts.append(and_(LinkRow.provider == "", LinkRow.name != "", RecordRow.participant == reach.provider))
    return or_(false(), *parts)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent snapshot."""
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        connection.exec_driver_sql(
            "BEGIN DEFERRED" if sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )
        try:
            yield connection
        finally:
            connection.rollback()


def has_trail(engine: Engine) -> bool:
    """Whether the database holds a trail's tables. Raises the engine's errors if it cannot be read."""
    return inspect(engine).has_table(RecordRow.__tablename__)


@contextmanager
def snapshot(engine: Engine) -> Iterator[SqlSnapshot]:
    """The trail as it is when the block begins."""
    with reading(engine) as connection:
        connection.execute(select(ChainRow.chain).limit(1)).first()  # the engines fix a snapshot at its first read
        yield SqlSnapshot(connection)


class SqlSnapshot:
    """Implements `flow.trail_ports.Snapshot`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def chains(self) -> Sequence[ChainState]:
        return [chain_state(*row) for row in self._connection.execute(CHAINS.order_by(ChainRow.chain))]

    def stray_chains(self) -> Sequence[str]:
        listed = select(ChainRow.chain)
        found = select(RecordRow.chain).where(RecordRow.chain.not_in(listed)).distinct().order_by(RecordRow.chain)
        return list(self._connection.execute(found).scalars())

    def records(self, chain: str) -> Iterator[Stored]:
        """In the order of seq, read in batches."""
        after = -(2**62)
        while True:
            page = RecordRow.chain == chain, RecordRow.seq > after
            rows = self._connection.execute(_STORED.where(*page).order_by(RecordRow.seq).limit(_STORED_BATCH)).all()
            if not rows:
                return
            last = rows[-1].seq
            within = LinkRow.chain == chain, LinkRow.seq > after, LinkRow.seq <= last
            links: dict[int, set[Link]] = {}
            for seq, *parts in self._connection.execute(_LINKS.where(*within)):
                links.setdefault(seq, set()).add(Link(*parts))
            for row in rows:
                yield _stored(row, frozenset(links.get(row.seq, ())))
            after = last


_STORED = select(
    RecordRow.chain,
    RecordRow.seq,
    RecordRow.previous,
    RecordRow.body,
    RecordRow.hash,
    RecordRow.mac,
    RecordRow.at_us,
    RecordRow.kind,
    RecordRow.ref,
    RecordRow.participant,
    LiteralsRow.salt,
    LiteralsRow.content,
).join_from(
    RecordRow, LiteralsRow, and_(LiteralsRow.ref == RecordRow.ref, RecordRow.kind.endswith(".opened")), isouter=True
)
_LINKS = select(LinkRow.seq, LinkRow.space, LinkRow.name, LinkRow.uid, LinkRow.provider)


def _stored(row: Any, links: frozenset[Link]) -> Stored:
    return Stored(
        sealed=Sealed(chain=row.chain, seq=row.seq, previous=row.previous, body=row.body, hash=row.hash, mac=row.mac),
        at_us=row.at_us,
        kind=row.kind,
        ref=row.ref,
        participant=row.participant,
        links=links,
        literals=None if row.salt is None else Literals(row.salt, row.content),
    )
