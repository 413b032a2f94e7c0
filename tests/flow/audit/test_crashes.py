"""What was acknowledged survives kill -9, what was left open is closed as lost, and several processes write one trail."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from datalab.db.audit import SqlAuditStore, open_audit_engine
from datalab.db.audit_reads import SqlTrail, snapshot
from datalab.db.audit_tables import create_audit
from datalab.flow.audit import Journal
from datalab.flow.trail import CLOSES, Kind
from datalab.flow.verification import verify
from tests.flow.audit.audited import KEY
from tests.flow.audit.journaling import LEASE_S
from tests.servers.fixtures import postgres_server as postgres_server  # noqa: PLC0414 (a fixture, used by name)
from tests.servers.postgres import Postgres

Launch = Callable[[str, Path, int], int]


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    command = [sys.executable, "-m", "tests.flow.audit.journaling"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        stdin, stdout = launcher.stdin, launcher.stdout

        def start(url: str, acks: Path, rounds: int) -> int:
            stdin.write(f"{url} {acks} {rounds}\n")
            stdin.flush()
            return int(stdout.readline())

        yield start
        stdin.close()


def made(url: str) -> Engine:
    engine = open_audit_engine(url)
    with engine.begin() as connection:
        create_audit(connection)
    return engine


def lines(acks: Path) -> list[list[str]]:
    return [line.split() for line in acks.read_text().splitlines()] if acks.exists() else []


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def is_dead(process: int) -> bool:
    """Gone, or a zombie, whose locks and files are gone."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def bury(engine: Engine) -> None:
    """The next process starts, and waits until the dead one's lease has run out."""
    trail = SqlTrail(engine)
    dead = {state.chain for state in trail.heads()}
    with Journal(SqlAuditStore(engine), KEY, clock=lambda: datetime.now(UTC), lease_s=LEASE_S):
        until(lambda: all(state.ended for state in trail.heads() if state.chain in dead))


def examine(engine: Engine, acknowledged: list[list[str]]) -> None:
    """Everything acknowledged is there; everything opened is closed exactly once; the chain is sound."""
    with snapshot(engine) as seen:
        assert verify(seen, KEY, []).findings == []
    trail = SqlTrail(engine)
    for what, ref in acknowledged:
        kinds = [one.kind for one in trail.operation(ref)]
        if what == "record":
            assert kinds == [Kind.TOKEN_ISSUED]
        else:
            opening = Kind(kinds[0])
            assert kinds.count(CLOSES[opening]) == 1
        if what == "closed":
            assert trail.operation(ref)[-1].details["outcome"] == "completed"


def kill_and_examine(launch: Launch, url: str, directory: Path, seed: int) -> None:
    chance = random.Random(seed)
    engine = made(url)
    acks = directory / f"acks-{seed}"
    child = launch(url, acks, 0)
    enough = chance.randrange(40)
    until(lambda: len(lines(acks)) >= enough)
    time.sleep(chance.random() * 0.004)
    os.kill(child, signal.SIGKILL)
    until(lambda: is_dead(child))
    acknowledged = [line for line in lines(acks) if len(line) == 2]
    bury(engine)
    examine(engine, acknowledged)
    engine.dispose()


@pytest.mark.parametrize("seed", range(10))
def test_nothing_acknowledged_is_lost_by_a_kill(launch: Launch, tmp_path: Path, seed: int) -> None:
    kill_and_examine(launch, f"sqlite:///{tmp_path / 'audit.db'}", tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("tens", range(1, 11))
def test_nothing_acknowledged_is_lost_by_a_hundred_more_kills(launch: Launch, tmp_path: Path, tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        kill_and_examine(launch, f"sqlite:///{tmp_path / f'audit-{seed}.db'}", tmp_path, seed)


def write_together(launch: Launch, url: str, directory: Path) -> None:
    engine = made(url)
    files = [directory / f"acks-{number}" for number in range(2)]
    for file in files:
        launch(url, file, 20)
    trail = SqlTrail(engine)
    until(lambda: len(trail.heads()) == 2 and all(state.ended for state in trail.heads()))
    acknowledged = [line for file in files for line in lines(file)]
    assert sum(line[0] == "opened" for line in acknowledged) == 2 * 4 * 15
    examine(engine, acknowledged)
    engine.dispose()


def test_two_processes_write_one_sqlite_trail(launch: Launch, tmp_path: Path) -> None:
    write_together(launch, f"sqlite:///{tmp_path / 'audit.db'}", tmp_path)


@pytest.mark.slow
def test_two_processes_write_one_postgresql_trail(launch: Launch, tmp_path: Path, postgres_server: Postgres) -> None:
    write_together(launch, postgres_server.create_database("audit_together"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 210))
def test_nothing_acknowledged_is_lost_by_a_kill_under_postgresql(
    launch: Launch, tmp_path: Path, postgres_server: Postgres, seed: int
) -> None:
    kill_and_examine(launch, postgres_server.create_database(f"audit_{seed}"), tmp_path, seed)
