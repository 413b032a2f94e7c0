"""The places that the contract suite runs over: a test writes files into one, and reads them through its connector."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.contract import Connector
from connectors.local import LocalConnector


def parquet(rows: int = 3, *, value: int = 0) -> bytes:
    """A small Parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(rows)), "value": [value] * rows}), sink)
    return sink.getvalue()


class Place(ABC):
    """A storage that a test fills."""

    connector: Connector

    @abstractmethod
    def put(self, path: str, content: bytes) -> None: ...

    @abstractmethod
    def remove(self, path: str) -> None: ...


class LocalPlace(Place):
    def __init__(self, directory: Path) -> None:
        self.root = directory / "roots" / "data"
        self.home = directory / "home"
        self.root.mkdir(parents=True)
        self.home.mkdir()
        self.connector: LocalConnector = LocalConnector(str(self.root), roots=[self.root.parent], home=self.home)

    def put(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # As a careful writer does: a new file in the old one's place.
        beside = target.with_name(target.name + ".new")
        beside.write_bytes(content)
        beside.replace(target)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()


@pytest.fixture
def local_place(tmp_path: Path) -> LocalPlace:
    return LocalPlace(tmp_path)


@pytest.fixture(params=["local"])
def place(request: pytest.FixtureRequest) -> Place:
    """The same storage, once of each kind."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found
