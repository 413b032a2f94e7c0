"""The home directory: private, whole or not there, and never a stranger's."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from datalab.app import init
from datalab.app.home import SECRET_KEYS, HomeRefused, open_home, read_keys
from datalab.app.init import initialise
from datalab.app.settings import DatabaseSettings, Settings
from datalab.flow.principal import Role
from datalab.oauth.keys import read_signing_keys
from tests.servers.postgres import Postgres


def modes(path: Path) -> dict[str, int]:
    return {str(one.relative_to(path)): stat.S_IMODE(one.stat().st_mode) for one in [path, *path.rglob("*")]}


def test_init_makes_a_private_home_with_keys_databases_and_one_admin(tmp_path: Path) -> None:
    issued = initialise(tmp_path / "home", Settings())
    found = modes(tmp_path / "home")
    assert found["."] == found["keys"] == 0o700
    assert {mode for name, mode in found.items() if name.startswith("keys/")} == {0o600}
    assert {"database.sqlite", "audit.sqlite", "home.json"} <= found.keys()
    assert issued.secret.startswith("dls_")
    assert {Role.GATEWAY_OPERATOR, Role.PARTICIPANT_ADMIN} <= issued.client.roles
    keys = read_keys(open_home(tmp_path / "home"))
    assert len({keys.credentials, keys.audit, keys.hash, keys.checkpoint}) == 4


def test_init_leaves_nothing_beside_the_home(tmp_path: Path) -> None:
    initialise(tmp_path / "home", Settings())
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


def test_init_uses_an_empty_directory_and_refuses_any_other(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    initialise(tmp_path / "empty", Settings())
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("x")
    with pytest.raises(HomeRefused, match="not empty"):
        initialise(tmp_path / "foreign", Settings())
    assert [one.name for one in (tmp_path / "foreign").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(HomeRefused, match="not empty"):
        initialise(tmp_path / "file", Settings())


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    initialise(tmp_path / "home", Settings())
    key = (tmp_path / "home" / "keys" / "signing.jwk").read_bytes()
    with pytest.raises(HomeRefused, match="initialised"):
        initialise(tmp_path / "home", Settings())
    assert (tmp_path / "home" / "keys" / "signing.jwk").read_bytes() == key


def test_a_crash_in_the_middle_leaves_no_home_and_the_next_init_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import os, sys; from pathlib import Path; from datalab.app import init; from datalab.app.settings import Settings\n"
        "init._publish = lambda staging, path: os._exit(9)\n"
        "init.initialise(Path(sys.argv[1]), Settings())"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "home")], check=False)
    assert done.returncode == 9
    assert not (tmp_path / "home").exists()
    assert any(tmp_path.iterdir())
    initialise(tmp_path / "home", Settings())
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(init, "_publish", fail)
    with pytest.raises(OSError, match="disk full"):
        initialise(tmp_path / "home", Settings())
    assert list(tmp_path.iterdir()) == []


def test_a_home_whose_database_was_not_finished_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(database=DatabaseSettings(url=f"sqlite:///{tmp_path}/elsewhere.sqlite"))  # type: ignore[arg-type]  # pydantic makes it a secret
    furnish = init._furnish
    monkeypatch.setattr(init, "_furnish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        initialise(tmp_path / "home", settings)
    assert (tmp_path / "home" / "home.json").exists()
    monkeypatch.setattr(init, "_furnish", furnish)
    assert initialise(tmp_path / "home", settings).client.participant == "operator"


@pytest.mark.slow
def test_init_on_postgresql_makes_one_gateway_per_database(tmp_path: Path, postgres_server: Postgres) -> None:
    url = postgres_server.create_database(f"init_{uuid4().hex}")
    settings = Settings(database=DatabaseSettings(url=url))  # type: ignore[arg-type]  # pydantic makes it a secret
    assert initialise(tmp_path / "home", settings).client.participant == "operator"
    assert not list((tmp_path / "home").glob("*.sqlite"))
    with pytest.raises(HomeRefused, match="already has an operator"):
        initialise(tmp_path / "another", settings)


@pytest.mark.slow
def test_init_killed_at_any_moment_leaves_a_whole_home_or_none(tmp_path: Path) -> None:
    moments = random.Random(2)
    for number in range(100):
        home = tmp_path / f"home{number}"
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                initialise(home, Settings())
                os._exit(0)
            os._exit(1)
        time.sleep(moments.uniform(0, 0.6))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}
        if os.waitstatus_to_exitcode(status) == 0:
            assert home.exists()
        if home.exists():
            read_keys(open_home(home))
            with pytest.raises(HomeRefused, match="initialised"):
                initialise(home, Settings())
        elif number % 5 == 0:
            assert initialise(home, Settings()).client.participant == "operator"
        shutil.rmtree(home, ignore_errors=True)
    initialise(tmp_path / "last", Settings())
    names = {one.name for one in tmp_path.iterdir()}
    assert {name for name in names if not name.startswith(".")} == {"last"}


def test_a_home_that_others_can_read_is_not_opened(tmp_path: Path) -> None:
    home = tmp_path / "home"
    initialise(home, Settings())
    for private in (home, home / "keys", home / "keys" / "signing.jwk", home / "keys" / "hash.key"):
        mode = private.stat().st_mode
        private.chmod(mode | 0o040)
        with pytest.raises(HomeRefused, match="open to others"):
            open_home(home)
        private.chmod(mode)
    open_home(home)


def test_what_is_no_home_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(HomeRefused, match="datalab init"):
        open_home(tmp_path)
    (tmp_path / "home.json").write_text("nonsense")
    with pytest.raises(HomeRefused, match="cannot be read"):
        open_home(tmp_path)
    (tmp_path / "home.json").write_text(json.dumps({"datalab_home": 99}))
    with pytest.raises(HomeRefused, match="another version"):
        open_home(tmp_path)


@pytest.mark.parametrize("key", [*(f"{name}.key" for name in SECRET_KEYS), "signing.jwk"])
def test_a_missing_or_damaged_key_stops_everything(tmp_path: Path, key: str) -> None:
    home = tmp_path / "home"
    initialise(home, Settings())
    file = home / "keys" / key
    content = file.read_bytes()
    file.write_bytes(content[:5])
    with pytest.raises(HomeRefused):
        read_keys(open_home(home))
    file.unlink()
    with pytest.raises(HomeRefused):
        open_home(home)


@pytest.mark.parametrize("jwk", ["[]", "{}", "x", '{"kty": "oct", "k": "AAAA"}'])
def test_a_signing_key_is_a_private_p256_key(jwk: str) -> None:
    with pytest.raises(ValueError, match="signing key"):
        read_signing_keys([jwk])


def test_the_command_shows_the_secret_once_and_errors_without_a_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "datalab.cli.main", "init", "--home", str(tmp_path / "home"), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATALAB_")}
    first = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert json.loads(first.stdout).keys() == {"client_id", "client_secret"}
    second = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert second.returncode == 1
    assert second.stderr.startswith("datalab: ")
    assert "Traceback" not in second.stderr
