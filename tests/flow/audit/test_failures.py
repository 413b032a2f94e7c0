"""A trail that cannot be written refuses what needs it, and goes on unbroken when it can be written again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from datalab.db.audit import SqlAuditStore, SqlTransaction
from datalab.db.audit_reads import snapshot
from datalab.flow.audit import Journal
from datalab.flow.errors import AuditUnavailable
from datalab.flow.principal import Principal
from datalab.flow.request import Query
from datalab.flow.trail import Actor, Ending, Kind, Outcome, Touched
from datalab.flow.verification import verify
from tests.flow.audit.audited import KEY, AuditHome

DONE = Ending(outcome=Outcome.COMPLETED, rows=1)
LARGE = "SELECT '" + "x" * 200_000 + "'"
HEALTHY = "PRAGMA query_only=OFF; PRAGMA max_page_count=1073741823"


class TroubledStore(SqlAuditStore):
    """A real store on a real file, with pragmas set on each connection it takes, and a count and a gate."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.pragmas = HEALTHY
        self.transactions = 0
        self.gate = Event()
        self.gate.set()
        self.raise_after_commit = False
        event.listen(engine, "checkout", self.trouble)

    def trouble(self, connection: DBAPIConnection, *_rest: object) -> None:
        for pragma in self.pragmas.split("; "):
            connection.cursor().execute(pragma)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        self.gate.wait()
        with super().transaction() as transaction:
            yield transaction
            self.transactions += 1
        if self.raise_after_commit:
            raise OSError("the connection broke after the commit")


@pytest.fixture
def store(audit_home: AuditHome) -> TroubledStore:
    return TroubledStore(audit_home.engine)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def outcomes(home: AuditHome, ref: str) -> list[object]:
    return [one.details["outcome"] for one in home.trail.operation(ref) if one.kind.endswith(".closed")]


def assert_intact(home: AuditHome) -> None:
    with snapshot(home.engine) as seen:
        assert verify(seen, KEY, []).findings == []


@pytest.mark.parametrize("trouble", ["PRAGMA query_only=ON", "PRAGMA max_page_count=1"], ids=["read-only", "disk full"])
def test_queries_are_refused_while_the_trail_cannot_be_written_and_served_again_after(
    audit_home: AuditHome, store: TroubledStore, caller: Principal, trouble: str
) -> None:
    with audit_home.journal(store) as journal:
        before = journal.open_query(caller, Query(sql=LARGE))
        before.wait()
        store.pragmas = trouble
        for _ in range(3):
            refused = journal.open_query(caller, Query(sql=LARGE))
            with pytest.raises(AuditUnavailable):
                refused.wait()
            refused.close(Ending(outcome=Outcome.REFUSED, code="audit.unavailable"))
        before.close(DONE)
        with pytest.raises(AuditUnavailable):
            journal.record(Kind.TOKEN_ISSUED, Actor.of(caller), {"scopes": LARGE})
        store.pragmas = HEALTHY
        after = journal.open_query(caller, Query(sql=LARGE))
        after.wait()
        after.close(DONE)
    assert outcomes(audit_home, before.ref) == outcomes(audit_home, after.ref) == ["completed"]
    assert audit_home.trail.operation(refused.ref) == ()
    assert_intact(audit_home)


def test_a_write_does_not_run_while_the_trail_cannot_be_written(
    audit_home: AuditHome, store: TroubledStore, caller: Principal
) -> None:
    store.pragmas = "PRAGMA query_only=ON"
    ran = False
    with audit_home.journal(store) as journal:
        with (
            pytest.raises(AuditUnavailable),
            journal.administrative(caller, verb="create", resource="storage:s", detail={}),
        ):
            ran = True
        assert not ran


def test_a_store_that_is_broken_from_the_start_is_used_once_it_works(
    audit_home: AuditHome, store: TroubledStore, caller: Principal
) -> None:
    store.pragmas = "PRAGMA query_only=ON"
    with audit_home.journal(store) as journal:
        with pytest.raises(AuditUnavailable):
            journal.open_query(caller, Query(sql="SELECT 1")).wait()
        store.pragmas = HEALTHY
        handle = journal.open_query(caller, Query(sql="SELECT 1"))
        handle.wait()
    assert outcomes(audit_home, handle.ref) == ["lost"]
    assert_intact(audit_home)


def test_a_commit_whose_success_was_not_seen_neither_breaks_the_chain_nor_doubles_a_record(
    audit_home: AuditHome, store: TroubledStore, caller: Principal
) -> None:
    with audit_home.journal(store) as journal:
        first = journal.open_query(caller, Query(sql="SELECT 1"))
        first.wait()
        store.raise_after_commit = True
        first.close(DONE)
        refused = journal.open_query(caller, Query(sql="SELECT 2"))
        with pytest.raises(AuditUnavailable):
            refused.wait()
        store.raise_after_commit = False
        journal.flush()
        refused.close(Ending(outcome=Outcome.REFUSED, code="audit.unavailable"))
    assert outcomes(audit_home, first.ref) == ["completed"]
    assert outcomes(audit_home, refused.ref) == ["refused"]
    assert_intact(audit_home)


def test_what_waits_together_is_written_together(
    audit_home: AuditHome, store: TroubledStore, caller: Principal
) -> None:
    with audit_home.journal(store) as journal:
        store.gate.clear()
        handles = [journal.open_query(caller, Query(sql=f"SELECT {number}")) for number in range(200)]
        before = store.transactions
        store.gate.set()
        for handle in handles:
            handle.wait()
        assert store.transactions - before <= 3


def test_a_query_costs_one_transaction_when_nothing_else_is_under_way(
    audit_home: AuditHome, store: TroubledStore, caller: Principal
) -> None:
    """Opening and decision go together, and the closing record rides with the next query."""
    with audit_home.journal(store) as journal:
        for number in range(20):
            handle = journal.open_query(caller, Query(sql=f"SELECT {number}"))
            handle.decided([Touched(uid="d1", space="health", name="cohort", provider="clinic")])
            handle.wait()
            handle.close(DONE)
    assert store.transactions <= 20 + 10


def test_sixteen_threads_share_one_chain(audit_home: AuditHome, store: TroubledStore, caller: Principal) -> None:
    def work(thread: int) -> list[str]:
        refs = []
        for number in range(20):
            handle = journal.open_query(caller, Query(sql=f"SELECT {thread}, {number}"))
            handle.wait()
            handle.close(DONE)
            refs.append(handle.ref)
        return refs

    with audit_home.journal(store) as journal, ThreadPoolExecutor(16) as threads:
        refs = [ref for some in threads.map(work, range(16)) for ref in some]
    assert len(audit_home.trail.heads()) == 1
    assert all(outcomes(audit_home, ref) == ["completed"] for ref in refs)
    assert store.transactions < 2 * len(refs)
    assert_intact(audit_home)


def test_a_silent_process_is_declared_lost_and_what_it_says_later_is_recorded_as_late(
    audit_home: AuditHome, caller: Principal
) -> None:
    silent = audit_home.journal(process="silent:1")
    with silent:
        handle = silent.open_query(caller, Query(sql="SELECT 1"))
        handle.wait()
        audit_home.clock.advance(31)
        with audit_home.journal(process="other:2"):
            until(lambda: outcomes(audit_home, handle.ref) == ["lost"])
        audit_home.clock.advance(1)
        handle.close(DONE)
        again = silent.open_query(caller, Query(sql="SELECT 2"))
        again.wait()
        again.close(DONE)
    assert [one.kind for one in audit_home.trail.operation(handle.ref)] == [
        "query.opened",
        "query.closed",
        "operation.closed_late",
    ]
    assert len(audit_home.trail.heads()) == 3
    assert_intact(audit_home)


def test_a_process_that_has_nothing_to_say_keeps_its_lease(audit_home: AuditHome, caller: Principal) -> None:
    def journal(process: str) -> Journal:
        return Journal(
            audit_home.store, KEY, clock=lambda: datetime.now(UTC), lease_s=0.6, process=process
        )  # fmt: skip

    with journal("quiet:1") as quiet:
        handle = quiet.open_query(caller, Query(sql="SELECT 1"))
        handle.wait()
        with journal("other:2"):
            time.sleep(1.5)
        handle.close(DONE)
    assert outcomes(audit_home, handle.ref) == ["completed"]
