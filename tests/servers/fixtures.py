"""Session fixtures of the real servers, which `tests/conftest.py` gives to every test.

A server that is not installed skips the test with the reason, or fails it where TESTS_NO_SKIP=1.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgres import Postgres, postgres
from tests.servers.processes import ServerMissing, missing
from tests.servers.seaweedfs import SeaweedFS, seaweedfs


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SeaweedFS]:
    """A real S3 server."""
    try:
        with seaweedfs() as server:
            yield server
    except ServerMissing as reason:
        missing(reason)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A real PostgreSQL server."""
    try:
        with postgres() as server:
            yield server
    except ServerMissing as reason:
        missing(reason)
