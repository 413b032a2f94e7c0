from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.db.database import open_engine
from tests.registry.world import World


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    yield World(engine)
    engine.dispose()


@pytest.fixture
def world(empty: World) -> World:
    return empty.furnish()
