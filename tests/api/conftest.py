from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.db.database import open_engine
from tests.api.gateway import Gateway
from tests.registry.world import World


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db", busy_timeout_s=1)
    yield Gateway(World(engine).furnish())
    engine.dispose()
