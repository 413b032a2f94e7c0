"""Every test of the registry runs on SQLite, and in `make test-all` on PostgreSQL too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from datalab.db.database import open_engine
from tests.registry.world import World
from tests.servers.fixtures import postgres_server
from tests.servers.postgres import Postgres

__all__ = ["postgres_server"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/datalab.db"
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        url = server.create_database(f"registry_{uuid4().hex}")
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def empty(engine: Engine) -> World:
    return World(engine)


@pytest.fixture
def world(empty: World) -> World:
    return empty.furnish()
