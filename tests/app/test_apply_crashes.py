"""kill -9 while applying: what was said to be done is done, nothing is half there, and the next run completes it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from datalab.app.apply.inventory import InventoryBusy, opened
from datalab.app.apply.planning import Change, Planner
from datalab.app.apply.workshop import workshop_of
from datalab.app.foundation import open_foundation
from datalab.app.home import open_home
from datalab.app.init import initialise
from datalab.app.settings import read_settings
from datalab.cli.apply import line_of
from tests.app.test_apply_command import CATALOGUE
from tests.registry.world import MACHINE

KILLS = 100
GROUND = """\
    kind: ai_factory
    id: lumi
    name: LUMI
    host: CSC
    place: Kajaani
    country: FI
    ---
    kind: data_space
    id: health
    title: {en: Health}
    sector: health
    ---
    """


@dataclass
class Forge:
    """Runs apply on copies of one fresh home."""

    process: subprocess.Popen[str]
    place: Path
    rounds: int = 0

    @property
    def home(self) -> Path:
        return self.place / f"home-{self.rounds}"

    @property
    def secrets(self) -> Path:
        return self.place / f"secrets-{self.rounds}.json"

    @property
    def printed(self) -> Path:
        return self.place / "printed"

    def renew(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.rounds += 1
        shutil.copytree(self.place / "fresh", self.home)

    def run(self, kill_after_s: float | None = None) -> bool:
        """Whether it ended by itself."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.home} {self.place / 'catalogue'} {self.secrets} {self.printed}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        deadline = time.monotonic() + (60 if kill_after_s is None else kill_after_s)
        while time.monotonic() < deadline:
            if _ended(child):
                return True
            time.sleep(0.002)
        assert kill_after_s is not None, "it did not end in time"
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        while not _ended(child):
            time.sleep(0.002)
        return False

    def acknowledged(self) -> list[str]:
        lines = self.printed.read_text().split("\n")[:-1]  # the last one is empty, or was cut
        return [line for line in lines if line[:2] in {"+ ", "~ ", "> "}]

    def left(self) -> tuple[Change, ...]:
        """What is still to do. The dead one's lock may outlive it by the time that its last thread takes to go."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._left()
            except InventoryBusy:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def _left(self) -> tuple[Change, ...]:
        with open_foundation(open_home(self.home), read_settings()) as base, opened(self.home) as inventory:
            workshop = workshop_of(base)
            planner = Planner(workshop, workshop.places, MACHINE, inventory)
            return planner.plan([self.place / "catalogue"]).changes


def _ended(child: int) -> bool:
    """Gone, or a zombie, whose locks and files are gone."""
    try:
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except OSError:
        return True


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forge]:
    directory = tmp_path / "catalogue"
    (directory / "files").mkdir(parents=True)
    duckdb.sql("select range as id, 'x' as name from range(3)").write_parquet(str(directory / "files/cohort.parquet"))
    (directory / "all.yaml").write_text(
        textwrap.dedent(GROUND).strip() + "\n" + textwrap.dedent(CATALOGUE), encoding="utf-8"
    )
    monkeypatch.setenv("DATALAB_STORAGE_LOCAL_ROOTS", str(directory))
    initialise(tmp_path / "fresh", read_settings())
    command = [sys.executable, "-m", "tests.app.forking"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        forge = Forge(process, tmp_path)
        forge.renew()
        yield forge
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_apply_survives_kill_9_at_any_point(forge: Forge) -> None:
    started = time.monotonic()
    assert forge.run()
    whole_s = time.monotonic() - started
    assert forge.left() == ()
    forge.renew()
    dice = random.Random(20_261_101)
    kills = 0
    while kills < KILLS:
        if forge.run(kill_after_s=dice.uniform(0, whole_s)):
            assert forge.left() == (), forge.printed.read_text()
            forge.renew()
            continue
        kills += 1
        left = {line_of(change) for change in forge.left()}
        done = forge.acknowledged()
        assert not left & set(done)
        if any("client clinic/Pipeline" in line for line in done):
            assert "clinic/Pipeline" in json.loads(forge.secrets.read_text())["clients"]
            assert not any("client clinic/Pipeline" in line for line in left)
    assert forge.run()
    assert forge.left() == ()
    assert set(json.loads(forge.secrets.read_text())["clients"]) == {"clinic/Pipeline"}
