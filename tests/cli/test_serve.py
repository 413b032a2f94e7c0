"""The commands as a person types them: init, check, serve on a free port, login, query, and an orderly end."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from datalab.cli.main import VERBS
from datalab.client import Client, GatewayError

COMMAND = (sys.executable, "-m", "datalab.cli.main")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATALAB_")}
    return {**kept, "COLUMNS": "200", **more}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=environment(**variables), timeout=120, check=False
    )


@dataclass(frozen=True)
class Served:
    home: Path
    url: str
    client_id: str
    secret: str
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("serve") / "home"
    client = json.loads(run("init", "--home", str(home), "--json").stdout)
    log = (home.parent / "log").open("w")
    process = subprocess.Popen(
        [*COMMAND, "serve", "--home", str(home), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment(DATALAB_LOG_LEVEL="debug"),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("datalab serves at http://127.0.0.1:"), (home.parent / "log").read_text()
    yield Served(home, line.split()[-1], client["client_id"], client["client_secret"], process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in {0, -signal.SIGTERM}
    process.stdout.close()
    log.close()
    logged = (home.parent / "log").read_text()
    assert client["client_secret"] not in logged
    assert "eyJ" not in logged
    assert "Traceback" not in logged


def test_help_lists_every_verb_at_once() -> None:
    began = time.monotonic()
    done = run("--help")
    assert done.returncode == 0
    assert all(f"\n  {verb}" in done.stdout for verb in VERBS)
    slow = run("check")
    assert time.monotonic() - began < 60
    assert slow.returncode == 0


def test_help_imports_no_verb() -> None:
    script = "import sys; from datalab.cli.main import _help; _help(); print([m for m in sys.modules if 'typer' in m or 'fastapi' in m])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("verb", ["init", "serve", "migrate", "check", "query", "login"])
def test_each_verb_explains_itself_with_an_example(verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0
    assert "Example:" in done.stdout


def test_an_unknown_verb_and_a_wrong_option_are_wrong_calls() -> None:
    assert run("frobnicate").returncode == 2
    assert run("init", "--frobnicate").returncode == 2
    assert run().returncode == 2


def test_wrong_settings_are_told_at_once_and_without_a_trace(tmp_path: Path) -> None:
    done = run("check", DATALAB_ENGINE_ACTIVE="0", DATALAB_SERVER_PORT="x", DATALAB_NONSENSE="1")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 3
    assert "Traceback" not in done.stderr


def test_check_finds_what_is_wrong_with_a_home(tmp_path: Path) -> None:
    done = run("check", "--home", str(tmp_path))
    assert done.returncode == 1
    assert "no gateway home" in done.stdout


def test_serve_needs_a_home(tmp_path: Path) -> None:
    done = run("serve", "--home", str(tmp_path))
    assert done.returncode == 1
    assert "datalab init" in done.stderr


def test_the_gateway_names_itself_by_the_port_it_got(served: Served) -> None:
    metadata = httpx2.get(f"{served.url}/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == served.url
    assert httpx2.get(f"{served.url}/healthz").status_code == 200


def test_headers_of_a_proxy_are_not_believed(served: Served) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Host": "evil.example"}
    answer = httpx2.get(f"{served.url}/api/v1/participants", headers=headers)
    assert served.url in answer.headers["www-authenticate"]
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers


def test_a_client_fetches_its_token_once(served: Served) -> None:
    with Client(served.url, served.client_id, served.secret) as client:
        first = client.token()
        assert client.token() is first
        assert client.token(renew=True) is not first
    with Client(served.url, served.client_id, "wrong") as client, pytest.raises(GatewayError) as refused:
        client.token()
    assert (refused.value.status, refused.value.code) == (401, "invalid_client")


def test_login_keeps_a_token_and_never_the_secret(served: Served, tmp_path: Path) -> None:
    config = {"XDG_CONFIG_HOME": str(tmp_path)}
    done = run(
        "login", "--url", served.url, "--client-id", served.client_id, DATALAB_CLIENT_SECRET=served.secret, **config
    )
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "datalab" / "login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert served.secret not in kept.read_text() + done.stdout + done.stderr
    answer = run("query", "SELECT 1 FROM nowhere.nothing", **config)
    assert answer.returncode == 1
    assert "Give --url" not in answer.stderr


def test_a_wrong_secret_and_an_absent_gateway_are_sentences(served: Served, tmp_path: Path) -> None:
    config = {"XDG_CONFIG_HOME": str(tmp_path)}
    wrong = run("login", "--url", served.url, "--client-id", served.client_id, DATALAB_CLIENT_SECRET="wrong", **config)
    absent = run("login", "--url", "http://127.0.0.1:1", "--client-id", "a", DATALAB_CLIENT_SECRET="b", **config)
    nothing = run("query", "SELECT 1", **config)
    for done in (wrong, absent, nothing):
        assert done.returncode == 1
        assert done.stderr.startswith("datalab: ")
        assert "Traceback" not in done.stderr


def test_credentials_files_are_private_and_choose_a_client(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    pair = {"client_id": served.client_id, "client_secret": served.secret}
    file.write_text(json.dumps({"base_url": served.url, "clients": {"admin": pair}}))
    config = {"XDG_CONFIG_HOME": str(tmp_path)}
    file.chmod(0o644)
    assert "chmod 600" in run("login", "--credentials", str(file), "--as", "admin", **config).stderr
    file.chmod(0o600)
    assert "--as admin" in run("login", "--credentials", str(file), **config).stderr
    assert run("login", "--credentials", str(file), "--as", "admin", **config).returncode == 0
