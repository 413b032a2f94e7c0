"""The servers that are measured: our gateway over TPC-H, and ROAPI over the same files.

Owns their starting and ending, on free loopback ports, and the thinnest HTTP client that Python has, so that the client's own
time counts as little as it can.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.data import TABLES
from tests.running import run, serving

ARROW = "application/vnd.apache.arrow.stream"
PIECE_BYTES = 1 << 20


@dataclass
class Peer:
    """A running server. headers: sent with each query; pid: of its main process."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    pid: int
    json_body: bool

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=600)

    def ask(self, connection: http.client.HTTPConnection, sql: str, accept: str = ARROW) -> http.client.HTTPResponse:
        body = json.dumps({"sql": sql}) if self.json_body else sql
        connection.request("POST", self.path, body, {**self.headers, "Accept": accept})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{self.path} answered {answer.status}: {answer.read()[:500]!r}")
        return answer

    def fetch(self, connection: http.client.HTTPConnection, sql: str, accept: str = ARROW) -> bytes:
        return self.ask(connection, sql, accept).read()


@contextmanager
def gateway(directory: Path, policies: list[dict[str, Any]] | None = None, **settings: str) -> Iterator[Peer]:
    """Our gateway, with each table as `tpch.<table>`; policies: of `tpch.lineitem`, default: everything to everyone."""
    with TemporaryDirectory(prefix="datalab-bench-") as scratch:
        home, files, secrets = Path(scratch, "home"), Path(scratch, "catalogue"), Path(scratch, "secrets.json")
        files.mkdir()
        Path(files, "all.yaml").write_text(yaml.safe_dump_all(documents(directory, policies)), encoding="utf-8")
        own = {"DATALAB_STORAGE_LOCAL_ROOTS": str(directory.parent), **settings}
        for arguments in (
            ["init", "--home", str(home)],
            ["apply", "--home", str(home), "-f", str(files), "--content", "--secrets", str(secrets)],
        ):
            done = run(*arguments, **own)
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)
        client = json.loads(secrets.read_text(encoding="utf-8"))["clients"]["bench/Bench"]
        clients = {"bench": (client["client_id"], client["client_secret"])}
        with serving(["serve", "--home", str(home), "--port", "0"], clients, **own) as running:
            headers = {"Authorization": f"Bearer {running.token('bench')}", "Content-Type": "application/json"}
            host, port = running.url.removeprefix("http://").split(":")
            yield Peer(host, int(port), "/api/v1/query", headers, running.process.pid, json_body=True)


def documents(directory: Path, policies: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """What `datalab apply` registers for the benchmark."""
    everything = {
        "kind": "policy",
        "title": "Everything to everyone",
        "effect": "permit",
        "actions": ["query"],
        "when": "true",
    }
    common: list[dict[str, Any]] = [
        {
            "kind": "participant",
            "id": "bench",
            "type": "research",
            "legal_name": "Bench",
            "country": "FI",
            "status": "verified",
        },
        {
            "kind": "client",
            "participant": "bench",
            "name": "Bench",
            "roles": ["member"],
            "scopes": ["catalog:read", "data:query"],
        },
        {"kind": "data_space", "id": "tpch", "title": {"en": "TPC-H"}, "sector": "manufacturing", "operator": "bench"},
        {
            "kind": "data_lab",
            "id": "bench_lab",
            "title": {"en": "Bench"},
            "home": "lumi",
            "spaces": ["tpch"],
            "operator": "bench",
        },
        {"kind": "admission", "space": "tpch", "participant": "bench", "role": "provider"},
        {"kind": "admission", "space": "tpch", "participant": "bench", "role": "lab"},
        {"kind": "storage", "id": "bench_files", "type": "local", "participant": "bench", "root": str(directory)},
    ]
    for table in TABLES:
        common.append(
            {
                "kind": "dataset",
                "space": "tpch",
                "name": table,
                "provider": "bench",
                "lab": "bench_lab",
                "title": {"en": table},
                "licence": "CC0-1.0",
                "storage": "bench_files",
                "location": f"{table}/",
                "status": "published",
            }
        )
        own = policies if policies is not None and table == "lineitem" else [everything]
        common += [
            {"kind": "policy", **policy, "id": f"{table}_{number}", "scope": f"dataset:tpch/{table}"}
            for number, policy in enumerate(own)
        ]
    return common


@contextmanager
def roapi(directory: Path) -> Iterator[Peer]:
    """ROAPI, reading the files at each query as we do (its default copies them into memory first)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tables = [
        argument
        for table in TABLES
        for argument in ("-t", f"{table}={directory}/{table}/{table}.parquet,format=parquet,use_memory_table=false")
    ]
    command = [str(Path(sys.executable).with_name("roapi")), "-a", f"127.0.0.1:{port}", *tables]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            peer = Peer("127.0.0.1", port, "/api/sql", {}, process.pid, json_body=False)
            _wait(peer, process)
            yield peer
        finally:
            process.terminate()


def _wait(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = peer.connect()
            peer.fetch(connection, "SELECT count(*) FROM region", "application/json")
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
            continue
        connection.close()
        return
    raise RuntimeError("ROAPI did not start")
