"""A provider's directory to write files into, and the inspection of what lies there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.local import LocalConnector
from datalab.publish.inspection import Inspected, inspect
from datalab.publish.process import Limits
from datalab.publish.source import LocalSource

Inspect = Callable[..., Inspected]


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
        source = LocalSource(root=str(lake), roots=(str(lake),), home=str(home))
        connector = LocalConnector(str(lake), roots=[lake], home=home)
        return inspect(source, list(connector.list(location)), Limits(**limits))  # type: ignore[arg-type]  # test values

    return run
