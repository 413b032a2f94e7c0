"""The trail's store on both engines: what readers reach, page by page, and what the engine itself refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from datalab.db.audit import SqlAuditStore, open_audit_engine
from datalab.db.audit_reads import SqlTrail, has_trail, snapshot
from datalab.db.audit_tables import create_audit
from datalab.flow.audit import Journal
from datalab.flow.request import Query
from datalab.flow.trail import GATEWAY, AuditRecord, Ending, Kind, Outcome, Place, Reach, Search, Touched
from datalab.flow.verification import verify
from tests.flow.audit.audited import KEY, Clock, principal
from tests.servers.fixtures import postgres_server as postgres_server  # noqa: PLC0414 (a fixture, used by name)

EVERYTHING = Reach(everything=True)


@dataclass
class Scene:
    """Thirty queries by three participants over three datasets of two providers in two spaces, a second apart."""

    engine: Engine
    trail: SqlTrail
    refs: list[str]


DATASETS = [
    Touched(uid="d0", space="health", name="cohort", provider="clinic", version=1, action="query"),
    Touched(uid="d1", space="health", name="trials", provider="lab", version=1, action="query"),
    Touched(uid="d2", space="energy", name="grid", provider="lab", version=1, action="query"),
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/audit.db"
    else:
        url = request.getfixturevalue("postgres_server").create_database(f"audit_{uuid4().hex}")
    engine = open_audit_engine(url)
    assert not has_trail(engine)
    with engine.begin() as connection:
        create_audit(connection)
    assert has_trail(engine)
    clock = Clock(datetime(2026, 3, 1, tzinfo=UTC))
    refs = []
    with Journal(SqlAuditStore(engine), KEY, clock=clock) as journal:
        for number in range(30):
            handle = journal.open_query(principal(f"org{number % 3}"), Query(sql=f"SELECT {number}"))
            handle.decided([DATASETS[number % 3], DATASETS[(number + 1) % 3]])
            handle.close(Ending(outcome=Outcome.COMPLETED, rows=number))
            journal.flush()
            clock.advance(1)
            refs.append(handle.ref)
    yield Scene(engine, SqlTrail(engine), refs)
    engine.dispose()


def pages(scene: Scene, where: Search, reach: Reach, limit: int) -> list[AuditRecord]:
    found: list[AuditRecord] = []
    after: Place | None = None
    while page := scene.trail.search(where, reach, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = (page[-1].at_us, page[-1].chain, page[-1].seq)
    return found


def expected(scene: Scene, where: Search, reach: Reach) -> list[AuditRecord]:
    """The same by hand: every record, looked at one by one."""
    everything = scene.trail.search(Search(), EVERYTHING, after=None, limit=10_000)

    def matches(record: AuditRecord) -> bool:
        links = [
            link
            for link in record.links
            if reach.everything or link.provider == reach.provider or link.space in reach.spaces
        ]
        if where.dataset is not None:
            links = [link for link in links if (link.space, link.name) == where.dataset]
        if where.space is not None:
            links = [link for link in links if link.space == where.space]
        if not links and not (reach.everything and where.dataset is None and where.space is None):
            return False
        return (
            where.participant in (None, record.actor.participant)
            and where.kind in (None, record.kind)
            and where.ref in (None, record.ref)
            and (where.since_us is None or record.at_us >= where.since_us)
            and (where.until_us is None or record.at_us < where.until_us)
        )

    return [record for record in everything if matches(record)]


MIDDLE = round(datetime(2026, 3, 1, 0, 0, 15, tzinfo=UTC).timestamp() * 1_000_000)
REACHES = [
    EVERYTHING,
    Reach(provider="clinic"),
    Reach(provider="lab"),
    Reach(spaces=frozenset({"energy"})),
    Reach(provider="clinic", spaces=frozenset({"energy", "health"})),
    Reach(provider="nobody"),
    Reach(),
]
SEARCHES = [
    Search(),
    Search(dataset=("health", "cohort")),
    Search(space="energy"),
    Search(participant="org1"),
    Search(kind=Kind.QUERY_CLOSED),
    Search(since_us=MIDDLE),
    Search(until_us=MIDDLE, participant="org2", kind=Kind.QUERY_DECIDED),
    Search(dataset=("energy", "grid"), since_us=MIDDLE, participant="org0"),
]


@pytest.mark.parametrize("limit", [1000, 7])
def test_a_search_yields_what_lies_within_reach_and_matches_newest_first(scene: Scene, limit: int) -> None:
    for reach in REACHES:
        for where in [*SEARCHES, Search(ref=scene.refs[4])]:
            wanted = expected(scene, where, reach)
            assert pages(scene, where, reach, limit) == wanted, (where, reach)
            places = [(one.at_us, one.chain, one.seq) for one in wanted]
            assert places == sorted(places, reverse=True)


def test_the_chain_verifies(scene: Scene) -> None:
    with snapshot(scene.engine) as seen:
        assert verify(seen, KEY, []).findings == []


def test_erased_literals_are_gone_but_the_records_stay(scene: Scene) -> None:
    with Journal(SqlAuditStore(scene.engine), KEY, clock=Clock()) as journal:
        journal.erase(scene.refs[3], GATEWAY, reason="asked for")
    with scene.engine.connect() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM audit_literals").scalar_one()
    assert left == 29
    test_the_chain_verifies(scene)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_records SET kind = 'x'",
        "DELETE FROM audit_records",
        "UPDATE audit_links SET provider = 'x'",
        "DELETE FROM audit_links",
        "UPDATE audit_literals SET content = 'x'",
    ],
)
def test_the_engine_refuses_to_change_what_was_written(scene: Scene, change: str) -> None:
    with scene.engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.exec_driver_sql(change)
