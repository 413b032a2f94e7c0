"""A provider's directory to write files into, and the inspection of what lies there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.entities import Storage, StorageKind
from connectors.addresses import AddressRules
from connectors.registry import StorageRules
from datalab.publish.inspection import Inspected, inspect
from datalab.publish.process import Limits
from datalab.publish.source import Source, connect
from tests.connectors.conftest import S3Place, s3_place

__all__ = ["S3Place", "s3_place"]

Inspect = Callable[..., Inspected]


def local_source(root: Path, home: Path) -> Source:
    rules = StorageRules(addresses=AddressRules(), local_roots=(root,), home=home, ca_directory=home)
    return Source(storage=Storage(id="lake", participant="p", kind=StorageKind.LOCAL, root=str(root)), rules=rules)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    return place


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """The root that the operator opened, and a storage's directory."""
    place = tmp_path / "lake"
    place.mkdir()
    return place


@pytest.fixture
def inspect_lake(lake: Path, home: Path) -> Inspect:
    """Lists and inspects a location of the lake, as publishing does."""

    def run(location: str = "", **limits: object) -> Inspected:
        source = local_source(lake, home)
        with connect(source) as connector:
            files = list(connector.list(location))
        return inspect(source, files, Limits(**limits))  # type: ignore[arg-type]  # test values

    return run
