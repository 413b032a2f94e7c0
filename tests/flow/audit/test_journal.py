"""What the journal writes, and when it counts as written."""

from __future__ import annotations

import asyncio

import pytest

from datalab.flow.audit import Journal
from datalab.flow.errors import AuditUnavailable, DecisionRefused, EngineFailed
from datalab.flow.principal import Principal
from datalab.flow.request import Query
from datalab.flow.trail import Actor, Ending, Kind, Outcome, PolicyRef, Touched
from tests.flow.audit.audited import AuditHome

COHORT = Touched(
    uid="d1",
    space="health",
    name="cohort",
    provider="clinic",
    version=3,
    action="query",
    policies=(PolicyRef(id="open", revision=2, uid="p1", level="dataset:health/cohort", effect="permit"),),
)
DONE = Ending(outcome=Outcome.COMPLETED, rows=7, size_bytes=123, sha256="ab", duration_s=0.5)


def test_a_query_leaves_an_opened_a_decided_and_a_closed_record(audit_home: AuditHome, caller: Principal) -> None:
    with audit_home.journal() as journal:
        handle = journal.open_query(caller, Query(sql="SELECT 'Ann'", params=("Bob",), versions={"health.cohort": 3}))
        handle.decided([COHORT])
        handle.wait()
        handle.close(DONE)
    opened, decided, closed = audit_home.trail.operation(handle.ref)
    assert [one.kind for one in (opened, decided, closed)] == ["query.opened", "query.decided", "query.closed"]
    assert opened.actor == Actor.of(caller)
    assert opened.literals == {"sql": "SELECT 'Ann'", "params": ["Bob"]}
    assert opened.details["versions"] == {"health.cohort": 3}
    assert decided.datasets == closed.datasets == (COHORT,)
    assert closed.details["outcome"] == "completed"
    assert (closed.details["rows"], closed.details["size_bytes"], closed.details["sha256"]) == (7, 123, "ab")


def test_the_opening_record_is_durable_once_its_future_is_done(audit_home: AuditHome, caller: Principal) -> None:
    async def journey(journal: Journal) -> str:
        handle = journal.open_query(caller, Query(sql="SELECT 1"))
        await asyncio.wrap_future(handle.durable)
        return handle.ref

    with audit_home.journal() as journal:
        ref = asyncio.run(journey(journal))
        assert [one.kind for one in audit_home.trail.operation(ref)] == ["query.opened"]


def test_cancelling_the_wait_does_not_disturb_the_journal(audit_home: AuditHome, caller: Principal) -> None:
    with audit_home.journal() as journal:
        handle = journal.open_query(caller, Query(sql="SELECT 1"))
        assert not handle.durable.cancel()
        journal.flush()


def test_the_chain_holds_no_literal(audit_home: AuditHome, caller: Principal) -> None:
    with audit_home.journal() as journal:
        journal.open_query(caller, Query(sql="SELECT 'secret-literal'", params=("secret-parameter",))).wait()
        with journal.administrative(caller, verb="create", resource="participant:x", detail={"contact": "secret@x"}):
            pass
    with audit_home.engine.connect() as connection:
        bodies = " ".join(row[0] for row in connection.exec_driver_sql("SELECT body FROM audit_records"))
    assert "secret" not in bodies


def test_a_query_is_closed_once(audit_home: AuditHome, caller: Principal) -> None:
    with audit_home.journal() as journal:
        handle = journal.open_query(caller, Query(sql="SELECT 1"))
        handle.close(DONE)
        handle.close(Ending(outcome=Outcome.FAILED))
    assert [one.details.get("outcome") for one in audit_home.trail.operation(handle.ref)] == [None, "completed"]


def test_a_write_is_recorded_before_it_runs_and_closed_after(audit_home: AuditHome, caller: Principal) -> None:
    detail = {"provider": "clinic", "title": {"en": "Cohort"}}
    with audit_home.journal() as journal:
        with journal.administrative(caller, verb="create", resource="dataset:health/cohort", detail=detail) as write:
            (opened,) = audit_home.trail.operation(write.ref)
        journal.flush()
        closed = audit_home.trail.operation(write.ref)[-1]
    assert opened.literals == {"detail": detail}
    assert (opened.details["verb"], opened.details["resource"]) == ("create", "dataset:health/cohort")
    assert (opened.links[0].space, opened.links[0].name, opened.links[0].provider) == ("health", "cohort", "clinic")
    assert closed.details == {"outcome": "completed", "code": None}


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (DecisionRefused("decision.denied", "No."), "refused", "decision.denied"),
        (EngineFailed("engine.failed", "Broken."), "failed", "engine.failed"),
        (ValueError("x"), "failed", None),
    ],
)
def test_a_write_that_raises_is_closed_with_what_happened(
    audit_home: AuditHome, caller: Principal, error: Exception, outcome: str, code: str | None
) -> None:
    with audit_home.journal() as journal:
        with (
            pytest.raises(type(error)),
            journal.administrative(caller, verb="delete", resource="storage:s", detail={}) as write,
        ):
            raise error
        journal.flush()
        assert audit_home.trail.operation(write.ref)[-1].details == {"outcome": outcome, "code": code}


def test_an_issued_token_is_durable_before_it_is_answered(audit_home: AuditHome, caller: Principal) -> None:
    with audit_home.journal() as journal:
        ref = journal.record(Kind.TOKEN_ISSUED, Actor.of(caller), {"token_id": "t1", "scopes": ["data:query"]})
        (issued,) = audit_home.trail.operation(ref)
    assert issued.details == {"detail": {"token_id": "t1", "scopes": ["data:query"]}}


def test_what_is_still_open_at_the_end_is_closed_as_lost(audit_home: AuditHome, caller: Principal) -> None:
    with audit_home.journal() as journal:
        handle = journal.open_query(caller, Query(sql="SELECT 1"))
        handle.decided([COHORT])
    closed = audit_home.trail.operation(handle.ref)[-1]
    assert (closed.kind, closed.details["outcome"], closed.datasets) == ("query.closed", "lost", (COHORT,))


def test_a_journal_that_does_not_run_refuses(audit_home: AuditHome, caller: Principal) -> None:
    journal = audit_home.journal()
    with pytest.raises(AuditUnavailable):
        journal.open_query(caller, Query(sql="SELECT 1"))
    with journal:
        handle = journal.open_query(caller, Query(sql="SELECT 1"))
    with pytest.raises(AuditUnavailable):
        journal.open_query(caller, Query(sql="SELECT 1"))
    handle.close(DONE)  # too late, but no error hides the query's own


def test_a_journal_that_wrote_nothing_leaves_no_chain(audit_home: AuditHome) -> None:
    with audit_home.journal():
        pass
    assert audit_home.trail.heads() == []


def test_whatever_a_caller_sends_can_be_recorded(audit_home: AuditHome, caller: Principal) -> None:
    odd = Query(sql="SELECT '\ud800 \x00'", params={"big": 2**70, "nan": float("nan")}, versions={"a.b": 2**80})
    with audit_home.journal() as journal:
        handle = journal.open_query(caller, odd)
        handle.wait()
        assert audit_home.trail.operation(handle.ref)[0].literals is not None
