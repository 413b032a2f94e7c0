"""A gateway as its users run it: `datalab` commands as processes of their own, spoken to over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

DATALAB = str(Path(sys.executable).with_name("datalab"))
START_TIMEOUT_S = 90.0


def environment(**more: str) -> dict[str, str]:
    """Ours without any setting of a gateway, so that a test means the same on every machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATALAB_")}
    return {**kept, **more}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """One command to its end; its output is in the result."""
    return subprocess.run(
        [DATALAB, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=300, check=False
    )


@dataclass
class Running:
    """A server process. clients: name -> (client id, secret)."""

    process: subprocess.Popen[str]
    url: str
    clients: Mapping[str, tuple[str, str]]
    output: list[str] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, name: str) -> str:
        if name not in self._tokens:
            answer = httpx2.post(
                f"{self.url}/oauth/token", data={"grant_type": "client_credentials"}, auth=self.clients[name]
            )
            assert answer.status_code == 200, answer.text
            self._tokens[name] = answer.json()["access_token"]
        return self._tokens[name]

    def call(self, method: str, path: str, who: str | None, **rest: Any) -> httpx2.Response:
        headers = dict(rest.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.token(who)}"
        return httpx2.request(method, self.url + path, headers=headers, timeout=60, **rest)

    def query(self, who: str | None, sql: str, *, accept: str = "application/json", **body: Any) -> httpx2.Response:
        return self.call("POST", "/api/v1/query", who, json={"sql": sql, **body}, headers={"Accept": accept})

    def rows(self, who: str, sql: str, **body: Any) -> list[list[Any]]:
        answer = self.query(who, sql, **body)
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows


@contextmanager
def serving(arguments: Sequence[str], clients: Mapping[str, tuple[str, str]], **settings: str) -> Iterator[Running]:
    """`datalab ARGUMENTS` until the block ends; yields when it says where it serves."""
    process = subprocess.Popen(
        [DATALAB, *arguments], env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output: list[str] = []
    known = threading.Event()
    url: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if "serves at " in line:
                url.append(line.rsplit("serves at ", 1)[1].strip())
                known.set()
        known.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert known.wait(START_TIMEOUT_S), "the gateway did not start in time:\n" + "".join(output)
        assert url, "the gateway did not start:\n" + "".join(output)
        yield Running(process, url[0], clients, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(10)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def demo(home: Path) -> Iterator[Running]:
    """The demo on a free port, with the clients of its credentials file."""
    with serving(["demo", "--home", str(home), "--port", "0"], {}) as running:
        document = _settled(home / "credentials.json", running.url)
        running.clients = {
            name: (client["client_id"], client["client_secret"]) for name, client in document["clients"].items()
        }
        yield running


def _settled(path: Path, url: str) -> dict[str, Any]:
    """The credentials file once it names the server's address."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if path.exists():
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if document.get("base_url") == url:
                return document
        time.sleep(0.05)
    raise AssertionError("credentials.json never named the server's address")
