"""The checkpoint file: signed lines that only ever grow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from datalab.app.checkpoints import Checkpointer, CheckpointFile, public_key_of, read_checkpoints, seal_at_end
from datalab.db.audit_reads import snapshot
from datalab.flow.audit import Journal
from datalab.flow.chain import Head
from datalab.flow.request import Query
from datalab.flow.trail import GATEWAY, Actor, ChainState, Ending, Kind, Outcome
from datalab.flow.verification import Finding, verify
from tests.flow.audit.audited import KEY, AuditHome, principal

SIGNING_KEY = bytes(range(100, 132))
PUBLIC = public_key_of(SIGNING_KEY)


class Heads:
    """A trail of which only the heads matter; they move each time."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.chain = uuid4().hex

    def heads(self) -> list[ChainState]:
        seq = next(self.numbers)
        head = Head(seq, f"{seq:064x}")
        return [ChainState(chain=self.chain, process="p", head=head, lease_until_us=0, ended=False)]

    def busy_since(self, chain: str, seq: int) -> bool:
        return True


@pytest.fixture
def home(tmp_path: Path) -> AuditHome:
    return AuditHome(tmp_path / "audit.db")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.jsonl"


def written(path: Path, lines: int) -> CheckpointFile:
    file, heads = CheckpointFile(path, SIGNING_KEY), Heads()
    for number in range(lines):
        file.append(heads, number)  # type: ignore[arg-type]  # only what `append` uses
    return file


def wrong(path: Path, public_key: str | None = PUBLIC) -> list[Finding]:
    return read_checkpoints(path, public_key)[1]


def test_lines_are_numbered_chained_and_signed(path: Path) -> None:
    written(path, 3)
    found, findings = read_checkpoints(path, PUBLIC)
    assert [one.number for one in found] == [1, 2, 3]
    assert len({one.file for one in found}) == 1
    assert findings == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_altered_line_is_found(path: Path) -> None:
    written(path, 3)
    path.write_bytes(path.read_bytes().replace(b'"number":2', b'"number":7'))
    assert "Line 2" in wrong(path)[0].sentence


def test_a_line_removed_from_the_middle_is_found(path: Path) -> None:
    written(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    assert [one.sentence for one in wrong(path)] == [
        f"Before line 2 of {path.name}, 1 checkpoints are missing or altered."
    ]


def test_a_removed_beginning_is_found(path: Path) -> None:
    written(path, 3)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    assert len(wrong(path)) == 1


def test_a_line_signed_with_another_key_is_found(path: Path) -> None:
    written(path, 1)
    CheckpointFile(path, bytes(32)).append(Heads(), 9)  # type: ignore[arg-type]  # only what `append` uses
    assert "Line 2" in wrong(path)[0].sentence
    assert "Line 2" in wrong(path, None)[0].sentence, "without a known key, the first line's counts"


def test_a_line_that_a_dying_process_did_not_finish_is_passed_over(path: Path) -> None:
    file = written(path, 2)
    with path.open("ab") as handle:
        handle.write(path.read_bytes().splitlines()[1][:50])
    file.append(Heads(), 9)  # type: ignore[arg-type]  # only what `append` uses
    found, findings = read_checkpoints(path, PUBLIC)
    assert [one.number for one in found] == [1, 2, 3]
    assert findings == []


def test_several_writers_share_one_file(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: written(path, 10), range(8)))
    found, findings = read_checkpoints(path, PUBLIC)
    assert [one.number for one in found] == list(range(1, 81))
    assert findings == []


def checkpointer(home: AuditHome, journal: Journal, path: Path) -> Checkpointer:
    return Checkpointer(CheckpointFile(path, SIGNING_KEY), home.trail, journal, clock=home.clock)


def test_an_idle_gateway_writes_no_checkpoints(home: AuditHome, path: Path) -> None:
    with home.journal() as journal:
        writer = checkpointer(home, journal, path)
        assert writer.write() is None
        journal.record(Kind.TOKEN_ISSUED, GATEWAY, {})
        assert writer.write() is not None
        for _ in range(3):
            home.clock.advance(60)
            assert writer.write() is None
        journal.record(Kind.TOKEN_ISSUED, GATEWAY, {})
        assert writer.write() is not None


def test_another_process_that_just_wrote_one_is_enough(home: AuditHome, path: Path) -> None:
    with home.journal() as journal:
        journal.record(Kind.TOKEN_ISSUED, GATEWAY, {})
        assert checkpointer(home, journal, path).write() is not None
        journal.record(Kind.TOKEN_ISSUED, GATEWAY, {})
        home.clock.advance(10)
        assert checkpointer(home, journal, path).write() is None
        home.clock.advance(50)
        assert checkpointer(home, journal, path).write() is not None


def test_a_clock_that_was_set_back_does_not_stop_the_checkpoints(home: AuditHome, path: Path) -> None:
    with home.journal() as journal:
        journal.record(Kind.TOKEN_ISSUED, GATEWAY, {})
        assert checkpointer(home, journal, path).write() is not None
        home.clock.advance(-3600)
        journal.record(Kind.TOKEN_ISSUED, GATEWAY, {})
        assert checkpointer(home, journal, path).write() is not None


def test_the_end_of_a_process_is_pinned(home: AuditHome, path: Path) -> None:
    with home.journal() as journal:
        seal_at_end(journal, CheckpointFile(path, SIGNING_KEY), home.trail, home.clock)
        handle = journal.open_query(principal(), Query(sql="SELECT 1"))
        handle.close(Ending(outcome=Outcome.COMPLETED))
    (state,) = home.trail.heads()
    assert read_checkpoints(path, PUBLIC)[0][-1].heads == {state.chain: state.head}
    assert state.ended


def test_the_checkpointer_writes_by_itself(home: AuditHome, path: Path) -> None:
    with home.journal() as journal:
        journal.record(Kind.TOKEN_ISSUED, Actor.of(principal()), {})
        writer = Checkpointer(CheckpointFile(path, SIGNING_KEY), home.trail, journal, clock=home.clock, interval_s=0.02)
        writer.start()
        while not path.exists() or not path.read_bytes():
            pass
        writer.stop()
    with snapshot(home.engine) as seen:
        found = read_checkpoints(path, PUBLIC)[0]
        assert verify(seen, KEY, found, complete=found).intact


def test_a_line_says_nothing_but_heads(path: Path) -> None:
    written(path, 1)
    assert set(orjson.loads(path.read_bytes())) == {"file", "number", "at_us", "previous", "heads", "key", "signature"}
