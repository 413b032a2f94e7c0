"""PostgreSQL from Debian's package, in a temporary directory, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import ServerMissing, dies_with_us, free_ports, scratch, stop, wait_until

PASSWORD = "test-password"


@dataclass(frozen=True)
class Postgres:
    """A running server; user and superuser `datalab`."""

    port: int

    def url(self, database: str = "datalab") -> str:
        """SQLAlchemy's address of a database."""
        return f"postgresql+psycopg://datalab:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """A new, empty database; returns its address."""
        import psycopg
        from psycopg import sql

        address = self.url("postgres").replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Starts the server with an empty database `datalab` and stops it at the end. Raises ServerMissing, RuntimeError."""
    programs = _programs()
    user = _unprivileged()
    with scratch("pg-") as directory:
        data, log, password = directory / "data", directory / "log", directory / "password"
        password.write_text(PASSWORD)
        if user is not None:
            for path in (directory, password):
                shutil.chown(path, user)
        _run(
            [programs / "initdb", "-D", data, "-U", "datalab", "-A", "scram-sha-256", f"--pwfile={password}",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            directory, user,
        )  # fmt: skip
        server, process = _start(programs, directory, data, log, user)
        try:
            server.create_database("datalab")
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # "fast" shutdown, which does not wait for clients
            stop(process, timeout_s=10)


def _programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name), reverse=True
    )
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise ServerMissing("needs PostgreSQL's server programs (Debian: apt-get install postgresql)")
    return Path(on_path).resolve().parent


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: the user to become, or None where we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerMissing("needs a user other than root to run PostgreSQL as")


def _run(command: list[object], directory: Path, user: str | None) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=directory, user=user, group=_group(user), extra_groups=_groups(user),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout.decode(errors='replace')[-3000:]}")


def _start(
    programs: Path, directory: Path, data: Path, log: Path, user: str | None
) -> tuple[Postgres, subprocess.Popen[bytes]]:
    server = Postgres(free_ports(1)[0])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(programs / "postgres"), "-D", str(data), "-c", "listen_addresses=127.0.0.1", "-c",
                f"port={server.port}", "-c", f"unix_socket_directories={directory}", "-c", "fsync=off", "-c",
                "max_connections=200", "-c", "shared_buffers=32MB",
            ],
            cwd=directory, user=user, group=_group(user), extra_groups=_groups(user), stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGQUIT),  # noqa: PLW1509  one system call; SIGQUIT ends its children too
        )  # fmt: skip
    try:
        wait_until(lambda: _ready(server.port), process, log, timeout_s=60)
    except BaseException:
        stop(process)
        raise
    return server, process


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _groups(user: str | None) -> list[int] | None:
    return None if user is None else []


def _ready(port: int) -> bool:
    import psycopg

    try:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=2)):
            pass
        address = f"postgresql://datalab:{PASSWORD}@127.0.0.1:{port}/postgres"
        psycopg.connect(address, connect_timeout=2).close()
    except (OSError, psycopg.OperationalError):
        return False
    return True
