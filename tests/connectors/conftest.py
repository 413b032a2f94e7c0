"""The places that the contract suite runs over: a test writes files into one, and reads them through its connector."""

from __future__ import annotations

import dataclasses
import io
import ipaddress
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.entities import Storage, StorageKind
from connectors.addresses import AddressRules
from connectors.contract import Connector
from connectors.credentials import Credentials
from connectors.local import LocalConnector
from connectors.s3 import S3Connector
from tests.servers.seaweedfs import READER, Identity, SeaweedFS

LOOPBACK = AddressRules(schemes=frozenset({"http", "https"}), networks=(ipaddress.ip_network("127.0.0.0/8"),))
"""What a test's own servers need."""


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
        self.connector: LocalConnector = self.reopened()

    def reopened(self) -> LocalConnector:
        return LocalConnector(str(self.root), roots=[self.root.parent], home=self.home)

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


class S3Place(Place):
    def __init__(self, server: SeaweedFS, directory: Path, *, identity: Identity = READER) -> None:
        self.server = server
        self.bucket = f"b-{uuid.uuid4().hex[:16]}"
        self.admin = server.client()
        self.admin.make_bucket(self.bucket)
        self.directory = directory
        self.connector: S3Connector = self.connect(self.storage(), identity)
        self.admin.put_object(self.bucket, "place-twin/outside.parquet", io.BytesIO(b"x"), 1)

    def storage(self, **changes: Any) -> Storage:
        """The storage's record: everything below `place/` of a bucket of its own."""
        record = Storage(
            id="place", participant="anyone", kind=StorageKind.S3, endpoint=self.server.endpoint, bucket=self.bucket,
            prefix="place",
        )  # fmt: skip
        return dataclasses.replace(record, **changes)

    def connect(
        self, storage: Storage, identity: Identity | None = READER, rules: AddressRules | None = None
    ) -> S3Connector:
        credentials = Credentials(key_id=identity.key_id, secret=identity.secret) if identity else None
        return S3Connector(storage, credentials, rules=rules or LOOPBACK, ca_directory=self.directory / "ca")

    def put(self, path: str, content: bytes) -> None:
        self.admin.put_object(self.bucket, f"place/{path}", io.BytesIO(content), len(content))

    def remove(self, path: str) -> None:
        self.admin.remove_object(self.bucket, f"place/{path}")


@pytest.fixture
def s3_place(s3_server: SeaweedFS, tmp_path: Path) -> Iterator[S3Place]:
    found = S3Place(s3_server, tmp_path)
    yield found
    found.connector.close()
    found.admin.remove_bucket(found.bucket)  # this server takes what is in it along


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    """The same storage, once of each kind."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found
