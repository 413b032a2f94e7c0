"""What holds for every request: its form, its bounds, its headers."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.gateway import EVERY_SCOPE, Gateway

POSTS = [
    "/api/v1/ai-factories",
    "/api/v1/data-spaces",
    "/api/v1/data-labs",
    "/api/v1/participants",
    "/api/v1/storages",
    "/api/v1/datasets",
    "/api/v1/policies",
    "/api/v1/policies/validate",
    "/api/v1/policies/simulate",
    "/api/v1/data-spaces/health/admissions",
]
PATCHES = [
    "/api/v1/ai-factories/lumi",
    "/api/v1/data-spaces/health",
    "/api/v1/data-labs/lab",
    "/api/v1/participants/alpha",
    "/api/v1/storages/alpha_disk",
    "/api/v1/datasets/health/cohort",
    "/api/v1/policies/none",
]

POLICY = {"id": "p", "title": "P", "scope": "space:health", "effect": "permit", "actions": ["discover"]}

DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES: dict[str, bytes] = {
    "empty": b"",
    "no json": b"{",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a text": b'"x"',
    "not utf-8": b'{"id": "\xff\xfe"}',
    "utf-16": '{"id": "x"}'.encode("utf-16"),
    "deep lists": DEEP,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "just too deep": b'{"a":' * 70 + b"1" + b"}" * 70,
    "NUL": b'{"id": "a\\u0000b"}',
    "a lone surrogate": b'{"id": "\\ud800"}',
    "a surrogate as a name": b'{"\\udfff": 1}',
    "NaN": b'{"id": NaN}',
    "Infinity": b'{"id": -Infinity}',
    "a huge float": b'{"id": 1e999}',
    "a huge integer": b'{"id": ' + b"9" * 5000 + b"}",
    "a large integer": b'{"id": 18446744073709551616}',
    "duplicate members": b'{"id": "a", "id": "b"}',
    "trailing text": b'{"id": "a"} x',
    "a bom": b'\xef\xbb\xbf{"id": "a"}',
    "many members": json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
    "a long text": json.dumps({"id": "a" * 500_000}).encode(),
    "wrong types": json.dumps(
        {key: [{"a": [1]}] for key in ("id", "title", "name", "space", "scope", "actions")}
    ).encode(),
    "all null": json.dumps(dict.fromkeys(("id", "title", "name", "space", "scope", "actions"))).encode(),
    "control characters": json.dumps({"id": "\x1b[31m", "legal_name": "\x07", "title": {"en": "\x9b"}}).encode(),
    "right to left": json.dumps({"id": "\u202e", "title": {"\u202e": "\u202e"}}).encode(),
}


def check_problem(answer: Any) -> None:
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["code"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["Datalab-Request-Id"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("method", "path"), [*(("POST", p) for p in POSTS), *(("PATCH", p) for p in PATCHES)])
def test_a_hostile_body_is_refused_and_never_our_failure(gateway: Gateway, method: str, path: str) -> None:
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    for name, body in BODIES.items():
        answer = gateway.call(method, path, content=body, headers=headers)
        assert 200 <= answer.status_code < 500, (name, answer.text)
        if answer.status_code >= 400:
            check_problem(answer)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(gateway: Gateway) -> None:
    headers = {"Content-Type": "application/json"}
    answer = gateway.call("POST", "/api/v1/datasets", content=b" " * 1_000_001, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
    check_problem(answer)


def test_a_body_of_unknown_length_is_bounded_too(gateway: Gateway) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 100_000
            yield b" " * 100_000

    answer = gateway.call("POST", "/api/v1/datasets", content=pieces(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "x"])
def test_only_json_is_taken(gateway: Gateway, kind: str) -> None:
    answer = gateway.call("POST", "/api/v1/datasets", content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "request.media_type")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/datasets/health/%00",
        "/api/v1/datasets/health%00/x",
        "/api/v1/datasets?q=%00",
        "/api/v1/data-spaces/%0d%0aSet-Cookie:x",
        "/api/v1/data-spaces/%ff%fe",
        "/api/v1/datasets/health/..%2f..%2fetc",
        "/api/v1/datasets/health/%2e%2e",
        "/api/v1/data-spaces/" + "a" * 5000,
        "/api/v1/data-spaces?cursor=%ff",
        "/api/v1/datasets?country=%00&q=%ed%a0%80",
        "/api/v1/datasets?q=" + "a" * 5000,
        "/api/v1/datasets/health/x/schema?version=99999999999999999999",
        "/api/v1/datasets/health/x/schema?version=0",
    ],
)
def test_a_hostile_address_is_refused_and_never_our_failure(gateway: Gateway, path: str) -> None:
    answer = gateway.call("GET", path)
    assert 400 <= answer.status_code < 500
    check_problem(answer)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "request.not_found"),
        ("GET", "/api/v1/datasets/", 404, "request.not_found"),
        ("PUT", "/api/v1/datasets", 405, "request.method"),
        ("GET", "/api/v1/policies/validate/x/y", 404, "request.not_found"),
    ],
)
def test_what_is_not_there_is_a_problem_too(gateway: Gateway, method: str, path: str, status: int, code: str) -> None:
    answer = gateway.call(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    check_problem(answer)


def test_every_answer_has_the_headers(gateway: Gateway) -> None:
    for path, who in (("/api/v1/data-spaces", "alpha"), ("/nowhere", None), ("/healthz", None)):
        headers = gateway.call("GET", path, who).headers
        assert headers["Cache-Control"] == "private, no-store"
        assert headers["Vary"] == "Authorization"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert len(headers["Datalab-Request-Id"]) == 32


def test_without_a_token_the_answer_says_how_to_get_one(gateway: Gateway) -> None:
    for method, path in (("GET", "/api/v1/data-spaces"), ("POST", "/api/v1/datasets")):
        answer = gateway.call(method, path, None)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        check_problem(answer)


def test_health_needs_no_token_and_tells_nothing(gateway: Gateway) -> None:
    assert gateway.call("GET", "/healthz", None).json() == {"status": "ok"}
    assert (gateway.call("GET", "/readyz", None).status_code, gateway.call("GET", "/readyz", None).text) == (200, "")


def test_a_gateway_that_cannot_serve_says_so_and_the_log_says_why(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> bool:
        raise ConnectionError("the database is gone")

    state = gateway.api.state
    state.services = dataclasses.replace(state.services, ready=broken)
    answer = gateway.call("GET", "/readyz", None)
    assert (answer.status_code, answer.text) == (503, "")
    assert "the database is gone" in caplog.text


def test_a_database_that_takes_no_write_is_our_fault_and_says_so(gateway: Gateway) -> None:
    with gateway.world.engine.connect() as blocking:
        blocking.exec_driver_sql("BEGIN IMMEDIATE")
        answer = gateway.call("POST", "/api/v1/policies", json=POLICY)
    assert (answer.status_code, answer.json()["code"]) == (503, "registry.unavailable")
    check_problem(answer)


def test_what_nobody_foresaw_is_logged_with_the_id_that_the_caller_gets(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    @gateway.api.get("/explode")
    def explode() -> None:
        raise ZeroDivisionError("secret detail")

    with caplog.at_level(logging.ERROR):
        answer = gateway.call("GET", "/explode", None)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    check_problem(answer)
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in caplog.text


def test_a_refusal_is_logged_at_info(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="datalab"):
        gateway.call("GET", "/api/v1/data-labs/none")
    levels = [record.levelname for record in caplog.records if "registry.not_found" in record.getMessage()]
    assert levels == ["INFO"]


def test_every_endpoint_of_the_interface_names_exactly_one_scope(gateway: Gateway) -> None:
    document = gateway.call("GET", "/openapi.json", None).json()
    unscoped = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scopes = [scope for needs in operation.get("security", []) for names in needs.values() for scope in names]
            if path.startswith("/api/v1/") and not (len(scopes) == 1 and scopes[0] in EVERY_SCOPE.split()):
                unscoped.append((method, path, scopes))
    assert unscoped == []


def test_random_bodies_never_make_us_fail(gateway: Gateway) -> None:
    """Shapes near the right ones, with anything in any place."""
    rng = random.Random(7)
    atoms: list[Any] = [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "x",
        "é",
        "\U0001f4a9",
        [],
        {},
        "a" * 300,
        "health",
        "alpha",
        "2020",
    ]
    keys = [
        "id",
        "space",
        "name",
        "provider",
        "lab",
        "title",
        "description",
        "keywords",
        "theme",
        "licence",
        "roles",
        "storage",
        "location",
        "status",
        "home",
        "operator",
        "partners",
        "spaces",
        "services",
        "scope",
        "effect",
        "actions",
        "when",
        "obligations",
        "kind",
        "endpoint",
        "bucket",
        "credentials",
        "country",
        "consortium",
    ]

    def value(depth: int) -> Any:
        if depth == 0 or rng.random() < 0.5:
            return rng.choice(atoms)
        if rng.random() < 0.5:
            return [value(depth - 1) for _ in range(rng.randrange(4))]
        return {rng.choice(keys): value(depth - 1) for _ in range(rng.randrange(5))}

    for _ in range(300):
        body = {rng.choice(keys): value(3) for _ in range(rng.randrange(12))}
        method, path = rng.choice([("POST", rng.choice(POSTS)), ("PATCH", rng.choice(PATCHES))])
        answer = gateway.call(method, path, json=body, headers={"If-Match": "*"})
        assert answer.status_code < 500, (path, body, answer.text)
