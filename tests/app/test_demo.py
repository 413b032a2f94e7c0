"""`datalab demo` as a stranger uses it: started as a process, its three commands pasted into a shell, four callers asking."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

DATALAB = str(Path(sys.executable).with_name("datalab"))
LAST_LINES = "with_position"


@dataclass
class Demo:
    """A running demo. printed: all that it said."""

    process: subprocess.Popen[str]
    home: Path
    printed: str
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def credentials(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "credentials.json").read_text())
        return found

    def command(self, number: int) -> str:
        sections = re.split(r"^# \d\. .*$", self.printed, flags=re.MULTILINE)
        return sections[number].strip()

    def ask(self, who: str, sql: str) -> tuple[int, Any]:
        """Status, and the rows or the error's code."""
        if who not in self.tokens:
            client = self.credentials["clients"][who]
            basic = base64.b64encode(f"{client['client_id']}:{client['client_secret']}".encode()).decode()
            form = urllib.parse.urlencode({"grant_type": "client_credentials"}).encode()
            status, token = _post(self.credentials["token_url"], form, {"Authorization": f"Basic {basic}"})
            assert status == 200
            self.tokens[who] = token["access_token"]
        headers = {"Authorization": f"Bearer {self.tokens[who]}", "Content-Type": "application/json"}
        url = f"{self.credentials['base_url']}/api/v1/query"
        status, answer = _post(url, json.dumps({"sql": sql}).encode(), headers)
        return status, answer.get("rows", answer.get("code"))

    def everyone(self, sql: str) -> dict[str, tuple[int, Any]]:
        return {who: self.ask(who, sql) for who in ("admin", "provider", "developer", "outsider")}


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def start(home: Path) -> Demo:
    process = subprocess.Popen(
        [DATALAB, "demo", "--home", str(home), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed: list[str] = []
    for line in process.stdout:
        printed.append(line)
        if LAST_LINES in line:
            return Demo(process, home, "".join(printed))
    raise AssertionError("".join(printed))


def stop(demo: Demo) -> str:
    """Ends it as Ctrl-C does; what it said until then."""
    demo.process.send_signal(signal.SIGINT)
    out, _ = demo.process.communicate(timeout=60)
    return demo.printed + out


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    started = start(tmp_path_factory.mktemp("demo") / "a home")
    yield started
    if started.process.poll() is None:
        stop(started)


def test_the_credentials_have_their_fixed_form_and_are_private(demo: Demo) -> None:
    document = demo.credentials
    assert set(document) == {"base_url", "token_url", "clients"}
    assert document["token_url"] == document["base_url"] + "/oauth/token"
    assert f"datalab serves at {document['base_url']}" in demo.printed
    assert set(document["clients"]) == {"admin", "provider", "developer", "outsider"}
    assert all(set(client) == {"client_id", "client_secret"} for client in document["clients"].values())
    for file in ("credentials.json", "developer.curl"):
        assert stat.S_IMODE((demo.home / file).stat().st_mode) == 0o600


def test_four_callers_get_four_honest_answers_to_the_same_sql(demo: Demo) -> None:
    trial = demo.everyone("SELECT count(*), max(pnodes), any_value(typeof(patient)) FROM health.breast_cancer_trial")
    assert trial == {
        "admin": (403, "decision.refused"),
        "provider": (200, [[686, 51, "INTEGER"]]),
        "developer": (200, [[675, 20, "VARCHAR"]]),
        "outsider": (404, "decision.not_found"),
    }
    airports = demo.everyone("SELECT count(*), count(lat), count(DISTINCT country) > 1 FROM mobility.airports")
    assert airports == {
        "admin": (200, [[3, 3, False]]),
        "provider": (200, [[28298, 28298, True]]),
        "developer": (200, [[28298, 27, True]]),
        "outsider": (200, [[62, 62, False]]),
    }
    bookings = demo.everyone(
        "SELECT min(arrival_date), count(avg_price_per_room), min(length(agent)) FROM tourism.hotel_bookings"
    )
    assert bookings == {
        "admin": (200, [["2016-01-01", 0, 8]]),
        "provider": (200, [["2016-07-02", 15402, 9]]),
        "developer": (200, [["2016-07-02", 15402, 32]]),
        "outsider": (200, [["2016-01-01", 0, 8]]),
    }


def test_open_data_is_open_and_members_data_is_for_members(demo: Demo) -> None:
    heat_pumps = demo.everyone('SELECT count("Mass of Refrigerant [kg]") FROM energy.heat_pumps')
    assert {status for status, _ in heat_pumps.values()} == {200}
    profiles = demo.everyone("SELECT count(*) FROM energy.load_profiles")
    assert {who: status for who, (status, _) in profiles.items()} == {
        "admin": 403,
        "provider": 403,
        "developer": 200,
        "outsider": 403,
    }
    assert demo.ask("developer", "SELECT * FROM agriculture.wine_quality") == (413, "engine.max_rows")
    assert demo.ask("developer", "SELECT count(*) FROM agriculture.wine_quality") == (200, [[1599]])
    assert demo.ask("outsider", "SELECT count(*) FROM agriculture.wine_quality") == (404, "decision.not_found")


def test_every_dataset_answers_somebody(demo: Demo) -> None:
    counts = {
        "agriculture.station_weather": 1983,
        "cultural_heritage.artworks": 69202,
        "public_administration.population": 346332,
        "energy.heat_pumps": 3225,
    }
    for name, count in counts.items():
        assert demo.ask("outsider", f"SELECT count(*) FROM {name}") == (200, [[count]])


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("python3")), reason="the commands need curl and python3")
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, ['"rows":[[2016,6471,101,106.31],[2017,8931,85,103.89]]']),
        (
            2,
            [
                "admin 403 decision.refused",
                "provider 200 [[686, 51]]",
                "developer 200 [[675, 20]]",
                "outsider 404 decision.not_found",
            ],
        ),
        (3, ["28298", "27"]),
    ],
)
def test_the_three_commands_work_when_pasted(demo: Demo, number: int, expected: list[str]) -> None:
    done = subprocess.run(["sh", "-eu"], input=demo.command(number), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for part in expected:
        assert part in done.stdout


def test_the_demo_is_used_again_with_the_same_clients_and_never_prints_a_secret(demo: Demo) -> None:
    before = demo.credentials["clients"]
    said = stop(demo)
    (demo.home / "credentials.json").write_text(
        json.dumps({"clients": {name: client for name, client in before.items() if name != "outsider"}})
    )
    again = start(demo.home)
    try:
        after = again.credentials["clients"]
        assert {name: after[name] for name in ("admin", "provider", "developer")} == {
            name: before[name] for name in ("admin", "provider", "developer")
        }
        assert after["outsider"]["client_id"] == before["outsider"]["client_id"]
        assert after["outsider"]["client_secret"] != before["outsider"]["client_secret"]
        assert again.ask("outsider", "SELECT count(*) FROM energy.heat_pumps") == (200, [[3225]])
        assert "create" not in again.printed
        assert "publish" not in again.printed
    finally:
        said += stop(again)
    for client in (*before.values(), *after.values()):
        assert client["client_secret"] not in said


def test_a_directory_that_is_no_demo_s_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = subprocess.run([DATALAB, "demo", "--home", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "is not empty and no demo's home" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_free_port_needs_a_server(tmp_path: Path) -> None:
    done = subprocess.run(
        [DATALAB, "demo", "--home", str(tmp_path / "x"), "--port", "0", "--no-serve"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert not (tmp_path / "x").exists()
