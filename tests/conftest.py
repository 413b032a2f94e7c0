"""The real servers, one of each per test process, for every test that names them."""

from __future__ import annotations

from tests.servers.fixtures import postgres_server, s3_server

__all__ = ["postgres_server", "s3_server"]
