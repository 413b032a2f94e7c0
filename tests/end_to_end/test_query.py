"""Queries over HTTP against a served gateway: formats, negotiation, what clients do wrong, and what is left of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import socket
import time
from typing import Any

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datalab.flow.request import Format
from tests.end_to_end.conftest import BIG_ROWS
from tests.hostile.corpus import Case, load
from tests.running import Running

pytestmark = pytest.mark.xdist_group("gateway")

PEOPLE = "SELECT id, country, name, year FROM demo.people ORDER BY id LIMIT 100"


def as_rows(format_: Format, body: bytes) -> list[list[Any]]:
    match format_:
        case Format.ARROW:
            return [list(row.values()) for row in pa.ipc.open_stream(body).read_all().to_pylist()]
        case Format.PARQUET:
            return [list(row.values()) for row in pq.read_table(io.BytesIO(body)).to_pylist()]
        case Format.CSV:
            rows = list(csv.reader(io.StringIO(body.decode())))[1:]
            return [[int(row[0]), row[1], row[2], int(row[3])] for row in rows]
        case Format.NDJSON:
            return [list(json.loads(line).values()) for line in body.decode().splitlines()]
        case Format.JSON:
            found: list[list[Any]] = json.loads(body)["rows"]
            return found


@pytest.mark.parametrize("format_", list(Format))
def test_every_format_says_the_same_and_the_trail_knows_what_was_sent(gateway: Running, format_: Format) -> None:
    answer = gateway.query("maker", PEOPLE, accept=format_.value)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == format_.value
    assert answer.headers["datalab-versions"] == "demo.people=1"
    assert answer.headers["cache-control"] == "private, no-store"
    rows = as_rows(format_, answer.content)
    assert rows == gateway.rows("maker", PEOPLE)
    assert rows[3] == [3, "NL", "person-3", 1983]
    told = settled(gateway, "maker", answer.headers["datalab-query-id"])
    assert (told["outcome"], told["rows"], told["bytes"]) == ("completed", 100, len(answer.content))
    assert told["sha256"] == hashlib.sha256(answer.content).hexdigest()


def settled(gateway: Running, who: str, query_id: str) -> dict[str, Any]:
    """What `/queries/{id}` says once the query is closed."""
    deadline = time.monotonic() + 20
    while True:
        answer = gateway.call("GET", f"/api/v1/queries/{query_id}", who)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        if told.get("outcome") is not None or time.monotonic() > deadline:
            return told
        time.sleep(0.05)


def test_the_callers_own_limit_is_told_in_the_header_and_the_body(gateway: Running) -> None:
    answer = gateway.query("maker", "SELECT id FROM demo.people ORDER BY id", max_rows=3)
    assert answer.json()["rows"] == [[0], [1], [2]]
    assert answer.json()["truncated"] is True
    assert answer.headers["datalab-truncated"] == "true"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("application/vnd.apache.arrow.stream; codecs=zstd, application/json;q=0.5", Format.ARROW.value),
        ("text/csv;q=0.2, application/x-ndjson;q=0.9", "application/x-ndjson"),
        ("application/json;q=0, */*;q=0.1", Format.ARROW.value),
        ("image/png", None),
        ("application/json;q=0", None),
        ("application/json;q=nonsense", None),
    ],
)
def test_accept_chooses_the_format(gateway: Running, accept: str, expected: str | None) -> None:
    answer = gateway.query("maker", "SELECT 1 AS one", accept=accept)
    if expected is None:
        assert (answer.status_code, answer.json()["code"]) == (406, "request.accept")
    else:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].split(";")[0] == expected


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"sql": "SELECT 1"', {"Content-Type": "application/json"}, 400),
        (b"sql=SELECT 1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"sql": "SELECT 1", "nonsense": 1}', {"Content-Type": "application/json"}, 422),
        (b'{"sql": ""}', {"Content-Type": "application/json"}, 422),
        (b'{"sql": 1}', {"Content-Type": "application/json"}, 422),
        (b'{"sql": "SELECT 1", "max_rows": -1}', {"Content-Type": "application/json"}, 422),
        (b'{"sql": "SELECT ?", "params": [[1]]}', {"Content-Type": "application/json"}, 422),
        (b'{"sql": "' + b"x" * 2_000_000 + b'"}', {"Content-Type": "application/json"}, 413),
    ],
)
def test_a_malformed_request_is_a_clear_refusal(
    gateway: Running, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = gateway.call("POST", "/api/v1/query", "maker", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"].startswith("request.")


def without_name(problem: dict[str, Any], name: str) -> dict[str, str]:
    return {key: str(value).replace(name, "NAME") for key, value in problem.items() if key != "request_id"}


def test_what_may_not_be_discovered_does_not_exist(gateway: Running) -> None:
    absent = gateway.query("nobody", "SELECT * FROM demo.absent").json()
    hidden = gateway.query("nobody", "SELECT * FROM demo.people").json()
    assert without_name(absent, "demo.absent") == without_name(hidden, "demo.people")
    assert hidden["status"] == 404


def test_no_role_gives_access_to_data(gateway: Running) -> None:
    assert gateway.query("admin", "SELECT * FROM demo.people").status_code in {403, 404}
    assert gateway.query("clinic", "SELECT * FROM demo.people").status_code == 403


def test_params_and_versions_and_explain(gateway: Running) -> None:
    sql = "SELECT name FROM demo.people WHERE id = $id"
    assert gateway.rows("maker", sql, params={"id": 7}, versions={"demo.people": 1}) == [["person-7"]]
    refused = gateway.query("maker", sql, params={"id": 7}, versions={"demo.people": 9})
    assert (refused.status_code, refused.json()["code"]) == (409, "decision.version_unknown")
    explained = gateway.call("POST", "/api/v1/explain", "maker", json={"sql": "SELECT * FROM demo.people"}).json()
    assert explained["action"] == "query"
    assert [policy["id"] for policy in explained["datasets"][0]["policies"]] == ["people_for_maker"]
    hidden = gateway.call("POST", "/api/v1/explain", "nobody", json={"sql": "SELECT * FROM demo.people"})
    assert hidden.status_code == 404


@pytest.mark.parametrize("case", load("sql.yaml"), ids=lambda case: case.id)
def test_hostile_sql_is_refused_or_bounded_and_the_gateway_answers_afterwards(gateway: Running, case: Case) -> None:
    body: dict[str, Any] = {"sql": case.sql, "max_rows": 1000}
    if case.params:
        body["params"] = case.params
    text = json.dumps(body).encode("ascii")  # a lone surrogate travels as its escape
    answer = gateway.call("POST", "/api/v1/query", "maker", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500 or answer.json()["code"].startswith("engine."), answer.text[:300]
    if case.expect == "refused":
        assert 400 <= answer.status_code < 500, answer.text[:300]
        if answer.json()["code"].partition(".")[0] == "statement" and case.code:
            assert answer.json()["code"] == case.code
    assert "secret-" not in answer.text
    assert gateway.rows("maker", "SELECT 42") == [[42]]


def test_a_stream_is_whole_and_ends_as_one(gateway: Running) -> None:
    answer = gateway.query("maker", "SELECT * FROM demo.big", accept=Format.ARROW.value)
    assert "content-length" not in answer.headers
    assert pa.ipc.open_stream(answer.content).read_all().num_rows == BIG_ROWS


def open_stream(gateway: Running, who: str = "maker", sql: str = "SELECT * FROM demo.big") -> tuple[socket.socket, str]:
    """A raw connection that asked for a long stream and read its headers only; the query's id."""
    host, port = gateway.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    body = json.dumps({"sql": sql}).encode()
    connection.sendall(
        b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Accept: application/vnd.apache.arrow.stream\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
        % (gateway.token(who).encode(), len(body), body)
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 200"), head
    found = re.search(rb"datalab-query-id: (\w+)", head)
    assert found is not None
    return connection, found.group(1).decode()


def drain(connection: socket.socket) -> bytes:
    """Everything that still comes; the last bytes are what counts."""
    tail = b""
    while piece := connection.recv(1 << 20):
        tail = (tail + piece)[-64:]
    return tail


def test_a_client_that_stops_reading_is_cut_and_frees_its_place(gateway: Running) -> None:
    stalled = [open_stream(gateway) for _ in range(4)]  # as many as may run at once
    assert gateway.rows("maker", "SELECT count(*) FROM demo.people") == [[2000]]  # waits until one was cut
    for connection, query_id in stalled:
        told = settled(gateway, "maker", query_id)
        assert (told["outcome"], told["code"]) == ("refused", "stream.idle")
        assert not drain(connection).endswith(b"0\r\n\r\n")
        connection.close()


def test_a_withdrawn_policy_cuts_the_running_stream_and_refuses_the_next(gateway: Running) -> None:
    policy = {
        "id": "big_forbidden",
        "title": "Not any more",
        "scope": "dataset:demo/big",
        "effect": "forbid",
        "actions": ["aggregate"],
        "when": "true",
    }
    connection, query_id = open_stream(gateway)
    made = gateway.call("POST", "/api/v1/policies", "clinic", json=policy)
    assert made.status_code == 201, made.text
    try:
        refused = gateway.query("maker", "SELECT count(*) FROM demo.big")
        assert (refused.status_code, refused.json()["code"]) == (403, "decision.refused")
        time.sleep(1.2)  # longer than a stream may go on without asking
        assert not drain(connection).endswith(b"0\r\n\r\n")
        assert settled(gateway, "maker", query_id)["code"] == "stream.withdrawn"
    finally:
        connection.close()
        gone = gateway.call(
            "DELETE", "/api/v1/policies/big_forbidden", "clinic", headers={"If-Match": made.headers["etag"]}
        )
        assert gone.status_code == 204, gone.text
    assert gateway.rows("maker", "SELECT count(*) FROM demo.big") == [[BIG_ROWS]]


@pytest.mark.slow
def test_two_hundred_clients_that_disconnect_leave_others_served(gateway: Running) -> None:
    for _ in range(50):
        connections = [open_stream(gateway) for _ in range(4)]
        for connection, _ in connections:
            connection.close()
    began = time.monotonic()
    assert gateway.rows("maker", "SELECT count(*) FROM demo.people") == [[2000]]
    assert time.monotonic() - began < 30


def test_the_openapi_document_is_served_and_names_a_scope_for_the_query(gateway: Running) -> None:
    document = httpx2.get(gateway.url + "/openapi.json").json()
    assert document["paths"]["/api/v1/query"]["post"]["security"] == [{"oauth2": ["data:query"]}]
