"""Three commands to try on a running demo: curl, Python, and DuckDB over a saved result.

Owns their text, which is meant to be pasted into a shell. Must never carry a secret: they read it from files of the demo's home.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

CREDENTIALS = "credentials.json"
CURL_CONFIG = "developer.curl"

BOOKINGS = (
    "SELECT year(arrival_date) AS year, count(*) AS bookings, count(DISTINCT agent) AS agents, "
    "round(avg(avg_price_per_room), 2) AS price FROM tourism.hotel_bookings GROUP BY ALL ORDER BY ALL"
)
TRIAL = "SELECT count(*) AS patients, max(pnodes) AS most_nodes FROM health.breast_cancer_trial"
AIRPORTS = "SELECT icao, name, country, lat, lon FROM mobility.airports"


@dataclass(frozen=True, slots=True)
class Command:
    """title: what it shows. text: one or more shell lines."""

    title: str
    text: str


def commands(base_url: str, home: Path, *, python: str = sys.executable) -> tuple[Command, Command, Command]:
    """home: where credentials.json is. python: an interpreter that has the duckdb module, for the third."""
    return (
        Command("curl: a developer asks for bookings and sees pseudonyms", _curl(base_url, home)),
        Command("Python: the same SQL by four clients, four answers", _python(home)),
        Command("DuckDB: a result saved as Parquet", _duckdb(base_url, home, python)),
    )


def _token(home: Path) -> str:
    """A line that puts a developer's token into TOKEN; curl reads the secret from a file."""
    read = 'import json, sys; print(json.load(sys.stdin)["access_token"])'
    return f"TOKEN=$(curl -sS -K {shlex.quote(str(home / CURL_CONFIG))} | python3 -c {shlex.quote(read)})"


def curl_config(token_url: str, client_id: str, client_secret: str) -> str:
    """What `curl -K` needs to ask for a token, see curl(1)."""
    return f'url = "{token_url}"\nuser = "{client_id}:{client_secret}"\ndata = "grant_type=client_credentials"\n'


def _post(base_url: str, sql: str, *options: str) -> str:
    body = json.dumps({"sql": sql})
    return (
        f'curl -sS {base_url}/api/v1/query -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\\n'
        + "".join(f"  {option} \\\n" for option in options)
        + f"  --data-binary {shlex.quote(body)}"
    )


def _curl(base_url: str, home: Path) -> str:
    return f"{_token(home)}\n{_post(base_url, BOOKINGS)}; echo"


def _python(home: Path) -> str:
    return f"""\
python3 - {shlex.quote(str(home / CREDENTIALS))} <<'END'
import base64, json, sys, urllib.error, urllib.parse, urllib.request

with open(sys.argv[1]) as file:
    demo = json.load(file)

def post(url, body, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

for name, client in demo["clients"].items():
    basic = base64.b64encode("{{client_id}}:{{client_secret}}".format(**client).encode()).decode()
    form = urllib.parse.urlencode({{"grant_type": "client_credentials"}}).encode()
    _, token = post(demo["token_url"], form, Authorization="Basic " + basic)
    sql = "{TRIAL}"
    headers = {{"Authorization": "Bearer " + token["access_token"], "Content-Type": "application/json"}}
    status, answer = post(demo["base_url"] + "/api/v1/query", json.dumps({{"sql": sql}}).encode(), **headers)
    print(name, status, answer.get("rows", answer.get("code")))
END"""


def _duckdb(base_url: str, home: Path, python: str) -> str:
    saved = shlex.quote(str(home / "airports.parquet"))
    counts = '"count(*) AS airports, count(lat) AS with_position"'
    program = f"import duckdb, sys; print(duckdb.read_parquet(sys.argv[1]).aggregate({counts}))"
    options = ('-H "Accept: application/vnd.apache.parquet"', f"--fail --output {saved}")
    post = _post(base_url, AIRPORTS, *options)
    return f"{_token(home)}\n{post} \\\n  && {shlex.quote(python)} -c {shlex.quote(program)} {saved}"
