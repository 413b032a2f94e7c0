"""The real servers of the tests start, answer and go away; a missing one skips, or fails where no skip is allowed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import psycopg
import pytest

from tests.servers import postgres, processes, seaweedfs


def test_postgresql_keeps_databases_apart(postgres_server: postgres.Postgres) -> None:
    for name in ("one_of_two", "two_of_two"):
        address = postgres_server.create_database(name).replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE only_here (n integer)")


def test_postgresql_listens_on_loopback_only(postgres_server: postgres.Postgres) -> None:
    with psycopg.connect(postgres_server.url().replace("+psycopg", "")) as connection:
        assert connection.execute("SHOW listen_addresses").fetchall() == [("127.0.0.1",)]


def test_the_s3_server_knows_its_identities(s3_server: seaweedfs.SeaweedFS) -> None:
    s3_server.client().make_bucket("known")
    assert s3_server.client(seaweedfs.READER).bucket_exists("known")


def test_nothing_is_left_of_a_server() -> None:
    with processes.scratch("none-") as base, pytest.MonkeyPatch.context() as patch:
        base.chmod(0o755)
        patch.setattr(tempfile, "tempdir", str(base))
        with postgres.postgres() as server:
            assert len(list(base.iterdir())) == 1
        assert list(base.iterdir()) == []
        assert not answers(server.port)


@pytest.mark.parametrize("module", ["seaweedfs", "postgres"])
def test_a_server_dies_with_a_test_process_that_is_killed(module: str) -> None:
    code = (
        f"import os, signal\nfrom tests.servers.{module} import {module}\n"
        f"with {module}() as server:\n    print(server.port, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with processes.scratch("dies-") as left:
        left.chmod(0o755)  # PostgreSQL runs as another user
        environment = {**os.environ, "TMPDIR": str(left)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=120)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        deadline = time.monotonic() + 10
        while answers(int(done.stdout)):
            assert time.monotonic() < deadline, "the server outlived its test process"
            time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_missing_server_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(processes.NO_SKIP, raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        processes.missing(processes.ServerMissing("install it"))


def test_a_missing_server_fails_where_no_skip_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.NO_SKIP, "1")
    with pytest.raises(pytest.fail.Exception, match="install it"):
        processes.missing(processes.ServerMissing("install it"))
