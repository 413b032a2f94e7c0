from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.app.init import initialise
from datalab.app.settings import Settings
from datalab.oauth.clients import Issued
from tests.oauth.gateway import Clock, Gateway, open_gateway


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Issued]:
    """A home that was just made; copy it."""
    home = tmp_path_factory.mktemp("oauth") / "home"
    return home, initialise(home, Settings(), clock=Clock())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(tmp_path: Path, fresh_home: tuple[Path, Issued], clock: Clock) -> Iterator[Gateway]:
    home, admin = fresh_home
    shutil.copytree(home, tmp_path / "home")
    with open_gateway(tmp_path / "home", admin, clock) as opened:
        yield opened
