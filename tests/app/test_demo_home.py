"""The demo's home, prepared again and again: complete, and never undoing what was changed in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import datalab.app.demo.home as demo_home
from catalog.entities import DatasetStatus
from datalab.app.apply.workshop import Workshop, workshop_of
from datalab.app.demo import DemoHome, prepare
from datalab.app.foundation import open_foundation
from datalab.app.home import HomeRefused
from datalab.app.settings import read_settings
from datalab.registry.labs import DataLabs
from tests.app.rig import lines
from tests.registry.world import MACHINE


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the content, to change as a new installation would."""
    copy = tmp_path / "content"
    shutil.copytree(demo_home.CONTENT, copy)
    monkeypatch.setattr(demo_home, "CONTENT", copy)
    monkeypatch.setattr(demo_home, "FILES", copy / "files")
    return copy


def _prepared(home: Path) -> tuple[DemoHome, list[str]]:
    made: list[str] = []
    return prepare(home, read_settings(), lambda change: made.extend(lines([change]))), made


@contextmanager
def _inside(demo: DemoHome) -> Iterator[Workshop]:
    with open_foundation(demo.home, demo.settings) as base:
        yield workshop_of(base)


def test_what_was_changed_in_a_demo_is_not_undone(content: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    demo, made = _prepared(home)
    assert len(made) == 103
    with _inside(demo) as workshop:
        heat_pumps = workshop.datasets.get(MACHINE, "energy", "heat_pumps")
        workshop.datasets.replace(MACHINE, replace(heat_pumps, title={"en": "Changed"}))
        workshop.datasets.withdraw(MACHINE, "cultural_heritage", "artworks")
        workshop.policies.delete(MACHINE, "heat_pumps_open")
        outsider = json.loads(demo.credentials.read_text())["clients"]["outsider"]["client_id"]
        workshop.clients.revoke(MACHINE, "alpine_apps", outsider)
    demo, made = _prepared(home)
    assert made == []
    os.utime(content / "files/grid_cooperative/heat_pumps/heat_pumps.parquet")  # as a new installation does
    demo, made = _prepared(home)
    assert made == ["publish dataset energy/heat_pumps"]
    with _inside(demo) as workshop:
        assert workshop.datasets.get(MACHINE, "energy", "heat_pumps").title == {"en": "Changed"}
        assert workshop.datasets.get(MACHINE, "cultural_heritage", "artworks").status is DatasetStatus.WITHDRAWN
        assert workshop.catalogue.policies("dataset:energy/heat_pumps") == ()
    assert set(json.loads(demo.credentials.read_text())["clients"]) == {"admin", "provider", "developer"}


def test_a_preparation_that_died_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    home = tmp_path / "home"
    monkeypatch.setattr(DataLabs, "create", die)
    with pytest.raises(KeyboardInterrupt):
        _prepared(home)
    monkeypatch.undo()
    demo, made = _prepared(home)
    assert made[0] == "create data_lab health_lab"
    assert made[-1] == "publish dataset tourism/hotel_bookings"
    clients = json.loads(demo.credentials.read_text())["clients"]
    assert set(clients) == {"admin", "provider", "developer", "outsider"}
    with _inside(demo) as workshop:
        for client in clients.values():
            assert workshop.client_store.find(client["client_id"]) is not None


def test_another_gateway_s_home_is_refused(tmp_path: Path) -> None:
    from datalab.app.init import initialise

    initialise(tmp_path / "home", read_settings())
    with pytest.raises(HomeRefused, match="no demo's home"):
        _prepared(tmp_path / "home")
