from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.addresses import AddressRules
from connectors.registry import StorageRules
from datalab.db.database import open_engine
from tests.app.rig import Applying, Gateway


@pytest.fixture
def applying(tmp_path: Path) -> Iterator[Applying]:
    """An empty gateway and an empty directory of documents."""
    home, directory = tmp_path / "home", tmp_path / "documents"
    home.mkdir()
    directory.mkdir()
    engine = open_engine(f"sqlite:///{home}/datalab.db")
    rules = StorageRules(
        addresses=AddressRules(networks=(ipaddress.ip_network("127.0.0.0/8"),), schemes=frozenset({"http"})),
        local_roots=(tmp_path,),
        home=home,
        ca_directory=tmp_path,
    )
    yield Applying(Gateway(engine, rules), home, directory)
    engine.dispose()
