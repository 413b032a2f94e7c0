"""kill -9 while publishing: what was acknowledged is there, nothing is half there, and the next publication works."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from catalog.entities import VersionStatus
from datalab.db.database import open_engine
from datalab.db.versions import VersionFileRow, VersionRow
from tests.publish.lake import Lake, lake
from tests.registry.world import World

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shore(tmp_path: Path) -> Iterator[Lake]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    with lake(World(engine).furnish(), tmp_path) as made:
        yield made
    engine.dispose()


def acknowledged_until_killed(directory: Path, how: str, delay_s: float) -> list[tuple[int, int]]:
    """Runs a publisher and kills it `delay_s` after its first acknowledgement; (number, files) it was told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.publish.publisher", str(directory), how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(delay_s)
    process.kill()
    rest = process.stdout.read()
    process.stdout.close()
    process.wait()
    lines = [line.split() for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")]
    return [(int(number), int(files)) for word, number, files in lines if word == "version"]


def check(shore: Lake, told: list[tuple[int, int]]) -> None:
    """Every version has all its files; every acknowledged one is there; numbers have no gaps."""
    with shore.world.database.read() as session:
        found = {row.number: row for row in session.execute(select(VersionRow)).scalars()}
        counts = dict(
            session.execute(select(VersionFileRow.version_uid, func.count()).group_by(VersionFileRow.version_uid))
            .tuples()
            .all()
        )
        assert sorted(found) == list(range(1, len(found) + 1))
        assert {row.uid: row.file_count for row in found.values()} == counts
        assert all(row.status is VersionStatus.PUBLISHED for row in found.values())
        for number, files in told:
            assert found[number].file_count == files


def run(shore: Lake, directory: Path, how: str, seeds: range, longest_s: float) -> None:
    for seed in seeds:
        told = acknowledged_until_killed(directory, how, random.Random(seed).uniform(0, longest_s))
        assert told
        check(shore, told)
    shore.file("cohort/zz.parquet", {"id": [1]})
    after = shore.versions.publish(shore.alpha, "health", "cohort")
    assert after.created
    check(shore, [(after.record.version.number, after.record.file_count)])


def test_publications_survive_kills(shore: Lake, tmp_path: Path) -> None:
    run(shore, tmp_path, "whole", range(4), 1.0)


def test_commits_survive_kills(shore: Lake, tmp_path: Path) -> None:
    run(shore, tmp_path, "commit", range(6), 0.3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_publications_survive_many_kills(part: int, shore: Lake, tmp_path: Path) -> None:
    run(shore, tmp_path, "whole", range(100 + 10 * part, 110 + 10 * part), 2.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_commits_survive_many_kills(part: int, shore: Lake, tmp_path: Path) -> None:
    run(shore, tmp_path, "commit", range(200 + 20 * part, 220 + 20 * part), 0.5)


def test_an_inspector_dies_with_the_gateway(shore: Lake, tmp_path: Path) -> None:
    """Else a killed gateway would leave processes that hold a provider's keys."""
    acknowledged_until_killed(tmp_path, "whole", 0.2)
    deadline = time.monotonic() + 10
    while left := inspectors_below(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def inspectors_below(directory: Path) -> list[int]:
    """The inspector processes whose working directory is below that one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            place = (entry / "cwd").readlink()
        except OSError:
            continue
        if b"datalab.publish.inspector" in command and place.is_relative_to(directory):
            found.append(int(entry.name))
    return found
