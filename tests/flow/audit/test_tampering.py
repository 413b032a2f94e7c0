"""Whatever someone with the database file changes behind the gateway's back is found, and named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from datalab.app.checkpoints import Checkpointer, CheckpointFile, public_key_of, read_checkpoints
from datalab.db.audit_reads import snapshot
from datalab.flow.chain import record_hash, record_mac
from datalab.flow.principal import Principal
from datalab.flow.request import Query
from datalab.flow.trail import Actor, Ending, Outcome, Touched
from datalab.flow.verification import Checkpoint, Report, verify
from tests.flow.audit.audited import KEY, AuditHome

SIGNING_KEY = bytes(range(100, 132))
COHORT = Touched(uid="d1", space="health", name="cohort", provider="clinic", version=3, action="query")
QUERIES = 4


@dataclass
class Scene:
    """Two ended chains of 15 records each: 1 opens it, 2 to 13 are four queries, 14 a checkpoint's (first only), the last
    ends it. The checkpoint file saw the first chain's first 13 records.
    """

    home: AuditHome
    file: Path
    first: str
    second: str
    refs: list[str]

    def tamper(self, *statements: str, **parameters: object) -> None:
        with sqlite3.connect(self.home.path) as connection:
            for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {trigger}")
            for statement in statements:
                connection.execute(statement, {"first": self.first, "second": self.second, **parameters})
        connection.close()

    def checkpoints(self) -> list[Checkpoint]:
        found, wrong = read_checkpoints(self.file, public_key_of(SIGNING_KEY))
        assert wrong == []
        return found

    def verify(self, key: bytes | None = KEY, *, checkpoints: list[Checkpoint] | None = None) -> Report:
        seen = self.checkpoints() if checkpoints is None else checkpoints
        with snapshot(self.home.engine) as trail:
            return verify(trail, key, seen, complete=seen if checkpoints is None else None)

    def found(self) -> list[tuple[str, str | None, int | None, int | None]]:
        findings = self.verify().findings
        return [(one.code.removeprefix("verify."), one.chain, one.first, one.last) for one in findings]

    def body(self, chain: str, seq: int) -> dict[str, object]:
        with self.home.engine.connect() as connection:
            where = f"chain = '{chain}' AND seq = {seq}"
            text = connection.exec_driver_sql(f"SELECT body FROM audit_records WHERE {where}").scalar_one()
        body = orjson.loads(text)
        assert isinstance(body, dict)
        return body


def write_chain(home: AuditHome, caller: Principal, before_the_end: Callable[[Checkpointer], object]) -> list[str]:
    refs = []
    file = CheckpointFile(home.path.with_name("checkpoints.jsonl"), SIGNING_KEY)
    with home.journal() as journal:
        for number in range(QUERIES):
            handle = journal.open_query(caller, Query(sql=f"SELECT {number}"))
            handle.decided([COHORT])
            handle.close(Ending(outcome=Outcome.COMPLETED, rows=number))
            refs.append(handle.ref)
        journal.flush()
        before_the_end(Checkpointer(file, home.trail, journal, clock=home.clock))
    home.clock.advance(60)
    return refs


@pytest.fixture
def scene(audit_home: AuditHome, caller: Principal) -> Scene:
    refs = write_chain(audit_home, caller, lambda checkpointer: checkpointer.write())
    (first,) = (state.chain for state in audit_home.trail.heads())
    refs += write_chain(audit_home, caller, lambda _checkpointer: None)
    (second,) = {state.chain for state in audit_home.trail.heads()} - {first}
    return Scene(audit_home, audit_home.path.with_name("checkpoints.jsonl"), first, second, refs)


def test_an_untouched_trail_is_intact(scene: Scene) -> None:
    report = scene.verify()
    assert report.findings == []
    assert (report.chains, report.records, report.checkpoints) == (2, 15 + 14, 1)


def test_the_engine_itself_refuses_to_change_a_record(scene: Scene) -> None:
    with sqlite3.connect(scene.home.path) as connection:
        for change in ("DELETE FROM audit_records", "UPDATE audit_records SET body = ''", "DELETE FROM audit_links"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(change)
    connection.close()


def test_an_altered_record_is_named(scene: Scene) -> None:
    scene.tamper(
        "UPDATE audit_records SET body = replace(body, '\"rows\":1', '\"rows\":9') WHERE chain = :first AND seq = 7"
    )
    assert scene.found() == [("altered", scene.first, 7, 7)]


def test_a_record_altered_with_a_fitting_hash_but_without_the_key_is_forged(scene: Scene) -> None:
    body = orjson.dumps({**scene.body(scene.first, 7), "rows": 9}, option=orjson.OPT_SORT_KEYS)
    (previous,) = (
        scene.home.engine.connect()
        .exec_driver_sql(f"SELECT previous FROM audit_records WHERE chain = '{scene.first}' AND seq = 7")
        .one()
    )
    scene.tamper(
        "UPDATE audit_records SET body = :body, hash = :hash WHERE chain = :first AND seq = 7",
        body=body.decode(), hash=record_hash(previous, body),
    )  # fmt: skip
    assert scene.found() == [("forged", scene.first, 7, 7)]


def test_an_added_record_is_forged(scene: Scene) -> None:
    head = next(state.head for state in scene.home.trail.heads() if state.chain == scene.second)
    body = orjson.dumps({**scene.body(scene.second, 2), "seq": 15}, option=orjson.OPT_SORT_KEYS)
    hash_ = record_hash(head.hash, body)
    scene.tamper(
        "INSERT INTO audit_records SELECT chain, 15, at_us, kind, ref, participant, :body, :previous, :hash, :mac "
        "FROM audit_records WHERE chain = :second AND seq = 2",
        body=body.decode(), hash=hash_, previous=head.hash, mac=record_mac(bytes(32), hash_),
    )  # fmt: skip
    assert ("forged", scene.second, 15, 15) in scene.found()


@pytest.mark.parametrize(("first", "last"), [(5, 5), (3, 9)])
def test_records_removed_from_the_middle_are_named(scene: Scene, first: int, last: int) -> None:
    scene.tamper(
        "DELETE FROM audit_records WHERE chain = :second AND seq BETWEEN :a AND :b",
        a=first, b=last,
    )  # fmt: skip
    assert scene.found() == [("removed", scene.second, first, last)]


def test_a_removed_beginning_is_named(scene: Scene) -> None:
    scene.tamper("DELETE FROM audit_records WHERE chain = :second AND seq < 4")
    assert scene.found() == [("removed", scene.second, 1, 3)]


def test_a_removed_tail_is_named_by_the_list_of_chains(scene: Scene) -> None:
    scene.tamper("DELETE FROM audit_records WHERE chain = :second AND seq > 10")
    assert ("removed", scene.second, 11, 14) in scene.found()


def cut(scene: Scene, chain: str, seq: int) -> None:
    """As a careful attacker does it: the chain looks like that of a process still alive."""
    scene.tamper(
        "DELETE FROM audit_records WHERE chain = :chain AND seq > :seq",
        "UPDATE audit_chains SET ended = 0, seq = :seq, hash = (SELECT hash FROM audit_records WHERE chain = :chain "
        "AND seq = :seq) WHERE chain = :chain",
        chain=chain, seq=seq,
    )  # fmt: skip


def test_a_carefully_cut_tail_is_found_up_to_the_last_checkpoint(scene: Scene) -> None:
    cut(scene, scene.first, 10)
    assert scene.found() == [("removed", scene.first, 11, 13)]


def test_a_tail_cut_after_the_last_checkpoint_goes_unnoticed_and_the_report_says_until_when_it_covers(
    scene: Scene,
) -> None:
    cut(scene, scene.first, 13)
    report = scene.verify()
    assert report.intact
    assert report.covered_until_us == scene.checkpoints()[-1].at_us


def test_a_cut_chain_that_counts_as_ended_is_found_without_a_checkpoint(scene: Scene) -> None:
    cut(scene, scene.second, 13)
    scene.tamper("UPDATE audit_chains SET ended = 1")
    assert scene.found() == [("unended", scene.second, 13, 13)]


def test_a_whole_chain_removed_is_found_by_its_checkpoint(scene: Scene) -> None:
    scene.tamper("DELETE FROM audit_records WHERE chain = :first", "DELETE FROM audit_chains WHERE chain = :first")
    assert scene.found() == [("chain_removed", scene.first, 1, 13)]


def test_a_chain_hidden_from_the_list_is_found(scene: Scene) -> None:
    scene.tamper("DELETE FROM audit_chains WHERE chain = :second")
    assert ("unlisted", scene.second, None, None) in scene.found()


def swap(scene: Scene, one: tuple[str, int], other: tuple[str, int]) -> None:
    move = "UPDATE audit_records SET chain = :to_chain, seq = :to WHERE chain = :from_chain AND seq = :from"
    for source, target in ((one, ("", 0)), (other, one), (("", 0), other)):
        parameters = {"from_chain": source[0], "from": source[1], "to_chain": target[0], "to": target[1]}
        scene.tamper(move, **parameters)


def test_two_records_that_changed_places_are_named(scene: Scene) -> None:
    swap(scene, (scene.second, 4), (scene.second, 6))
    assert scene.found() == [("moved", scene.second, 4, 4), ("moved", scene.second, 6, 6)]


def test_records_that_changed_chains_are_named(scene: Scene) -> None:
    swap(scene, (scene.first, 4), (scene.second, 4))
    assert set(scene.found()) == {("moved", scene.first, 4, 4), ("moved", scene.second, 4, 4)}


def test_whole_chains_that_changed_names_are_found(scene: Scene) -> None:
    scene.tamper(*(
        f"UPDATE audit_records SET chain = {to} WHERE chain = {origin}"
        for origin, to in ((":first", "'x'"), (":second", ":first"), ("'x'", ":second"))
    ))  # fmt: skip
    moved = [(chain, seq) for code, chain, seq, _ in scene.found() if code == "moved"]
    assert moved == [
        *((c, n) for c in sorted((scene.first, scene.second)) for n in range(1, 14 + (c == scene.second) + 1))
    ]


def test_history_rewritten_with_the_audit_key_contradicts_the_checkpoint(scene: Scene, caller: Principal) -> None:
    """Who holds the audit key can make up a chain that is sound in itself; the checkpoint kept elsewhere shows it."""
    known = scene.checkpoints()
    scene.tamper(
        *(f"DELETE FROM {table}" for table in ("audit_records", "audit_links", "audit_chains", "audit_literals"))
    )
    write_chain(scene.home, caller, lambda _checkpointer: None)
    (made_up,) = (state.chain for state in scene.home.trail.heads())
    assert [one.code for one in scene.verify(checkpoints=[]).findings] == []
    assert [(one.code, one.chain) for one in scene.verify(checkpoints=known).findings] == [
        ("verify.chain_removed", scene.first)
    ]
    assert made_up != scene.first


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE audit_records SET participant = 'other' WHERE chain = :second AND seq = 5", "index"),
        ("UPDATE audit_records SET at_us = 0 WHERE chain = :second AND seq = 5", "index"),
        ("DELETE FROM audit_links WHERE chain = :second AND seq = 6", "index"),
        ("UPDATE audit_links SET provider = 'other' WHERE chain = :second AND seq = 6", "index"),
        ("UPDATE audit_literals SET content = '{}'", "literals"),
        ("UPDATE audit_literals SET salt = 'nonsense'", "literals"),
        ("DELETE FROM audit_literals", "literals"),
        ("UPDATE audit_chains SET hash = 'x' WHERE chain = :second", "head"),
        ("UPDATE audit_records SET previous = 'nonsense' WHERE chain = :second AND seq = 6", "altered"),
    ],
)
def test_what_lies_beside_the_bodies_is_examined_too(scene: Scene, change: str, code: str) -> None:
    scene.tamper(change)
    assert {found[0] for found in scene.found()} == {code}


def test_without_the_audit_key_the_hashes_still_bind_the_trail_to_the_checkpoints(scene: Scene) -> None:
    assert scene.verify(key=None).intact
    scene.tamper("UPDATE audit_records SET body = replace(body, '\"rows\":1', '\"rows\":9') WHERE chain = :first")
    assert [one.code for one in scene.verify(key=None).findings] == ["verify.altered"]


@pytest.mark.parametrize("body", ["{}", "[]", "nonsense", '{"chain": 1, "seq": 2, "actor": 3}'])
def test_without_the_audit_key_a_made_up_record_is_still_recognised_by_its_form(scene: Scene, body: str) -> None:
    with scene.home.engine.connect() as connection:
        last = f"SELECT previous FROM audit_records WHERE chain = '{scene.second}' AND seq = 14"
        previous = connection.exec_driver_sql(last).scalar_one()
    scene.tamper(
        "UPDATE audit_records SET body = :body, hash = :hash WHERE chain = :second AND seq = 14",
        "UPDATE audit_chains SET hash = :hash WHERE chain = :second",
        body=body,
        hash=record_hash(previous, body.encode()),
    )
    codes = {one.code for one in scene.verify(key=None).findings}
    assert codes & {"verify.forged", "verify.moved"}


def test_a_shortened_checkpoint_file_is_found_as_the_trail_mentions_what_is_gone(scene: Scene) -> None:
    scene.file.write_bytes(b"")
    assert [found[0] for found in scene.found()] == ["checkpoint_removed"]


def test_an_older_copy_of_the_checkpoint_file_is_enough_to_verify(scene: Scene) -> None:
    assert scene.verify(checkpoints=[]).intact


def test_erasing_literals_leaves_the_trail_intact(scene: Scene, caller: Principal) -> None:
    with scene.home.journal() as journal:
        journal.erase(scene.refs[0], Actor.of(caller), reason="asked for by the data subject")
    opened = scene.home.trail.operation(scene.refs[0])
    assert opened[0].literals is None
    assert [one.kind for one in opened][-1] == "literals.erased"
    assert scene.verify().intact


def test_erased_literals_are_gone_from_the_files(audit_home: AuditHome, caller: Principal) -> None:
    with audit_home.journal() as journal:
        handle = journal.open_query(caller, Query(sql="SELECT 'quite-personal-literal'"))
        handle.close(Ending(outcome=Outcome.COMPLETED))
        journal.erase(handle.ref, Actor.of(caller), reason="x")
    files = list(audit_home.path.parent.glob(audit_home.path.name + "*"))
    assert len(files) >= 2
    assert not any(b"quite-personal-literal" in file.read_bytes() for file in files)
