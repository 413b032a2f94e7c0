"""Hostile and clumsy requests to the token endpoint: each has one answer, none is a failure of ours."""

from __future__ import annotations

import base64
import io
import logging
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datalab.app.logs import configure_logs
from datalab.app.settings import LogSettings
from datalab.flow.token import Scope
from tests.oauth.gateway import FORM, Gateway

GRANT = "grant_type=client_credentials"


def basic(client_id: str, secret: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def post(gateway: Gateway, body: str | bytes = GRANT, *, path: str = "/oauth/token", **headers: str | bytes) -> Any:
    """Sends the body as it is; headers by name with `_` for `-`."""
    given_headers: list[tuple[bytes, bytes]] = [(b"content-type", FORM["Content-Type"].encode())]
    for name, value in headers.items():
        raw = value if isinstance(value, bytes) else value.encode()
        given_headers.append((name.replace("_", "-").encode(), raw))
    return gateway.http.post(path, content=body, headers=given_headers)


def good(gateway: Gateway) -> str:
    return basic(gateway.admin.client.client_id, gateway.admin.secret)["Authorization"]


def test_a_wrong_secret_and_an_unknown_client_are_answered_alike(gateway: Gateway) -> None:
    wrong = post(gateway, authorization=basic(gateway.admin.client.client_id, "wrong")["Authorization"])
    unknown = post(gateway, authorization=basic("nobody", "wrong")["Authorization"])
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content
    assert wrong.headers["www-authenticate"] == unknown.headers["www-authenticate"]


def test_a_revoked_client_is_answered_like_an_unknown_one(gateway: Gateway) -> None:
    gateway.participant("acme")
    issued = gateway.client("acme")
    gateway.identity.clients.revoke(gateway.principal(gateway.admin), "acme", issued.client.client_id)
    unknown = post(gateway, authorization=basic("nobody", "wrong")["Authorization"])
    revoked = gateway.fetch(issued)
    assert (revoked.status_code, revoked.content) == (unknown.status_code, unknown.content)


def test_every_comparison_takes_the_same_steps_for_unknown_clients(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    post(gateway, authorization=basic("nobody", "wrong")["Authorization"])
    assert [len(one) for pair in compared for one in pair] == [32, 32]


@pytest.mark.parametrize(
    "authorization",
    [
        b"Basic",
        b"Basic ",
        b"Basic !!!!",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b":"),
        b"Basic " + base64.b64encode(b"client:"),
        b"Basic " + base64.b64encode(b"caf\xe9:secret"),  # trap 12
        b"Basic " + base64.b64encode(b"client:caf\xe9"),
        b"Basic " + base64.b64encode(b"client:%e9"),
        b"Basic caf\xe9",
        b"Basic " + base64.b64encode(b"a\0b:c"),
        b"Bearer abc",
        b"Digest abc",
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
def test_credentials_that_cannot_be_read_are_wrong_credentials(
    gateway: Gateway, path: str, authorization: bytes
) -> None:
    answer = post(gateway, GRANT + "&token=x", path=path, authorization=authorization)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_credentials_are_form_decoded(gateway: Gateway) -> None:  # trap 13
    client_id, secret = gateway.admin.client.client_id, gateway.admin.secret
    escaped = "".join(f"%{ord(character):02X}" for character in secret)
    encoded = base64.b64encode(f"{client_id}:{escaped}".encode())
    assert post(gateway, authorization=b"Basic " + encoded).status_code == 200


def test_secrets_survive_every_encoding_of_basic(gateway: Gateway) -> None:  # trap 13
    assert quote_plus(gateway.admin.secret) == gateway.admin.secret
    assert quote_plus(gateway.admin.client.client_id) == gateway.admin.client.client_id


def test_two_ways_to_authenticate_at_once_are_refused(gateway: Gateway) -> None:  # trap 14
    client_id, secret = gateway.admin.client.client_id, gateway.admin.secret
    body = f"{GRANT}&client_id={client_id}&client_secret={secret}"
    answer = post(gateway, body, authorization=good(gateway))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    answer = post(gateway, f"{GRANT}&client_id=other", authorization=good(gateway))
    assert answer.json()["error"] == "invalid_request"


def test_two_authorization_headers_are_refused(gateway: Gateway) -> None:
    headers = [("authorization", good(gateway)), ("authorization", good(gateway)), *FORM.items()]
    assert gateway.http.post("/oauth/token", content=GRANT, headers=headers).json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (GRANT + "&" + GRANT, "invalid_request"),
        (GRANT + "&scope=data:query&scope=catalog:read", "invalid_request"),
        ("scope=data:query", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("grant_type=%0d%0a%22", "unsupported_grant_type"),
        (GRANT + "&scope=everything", "invalid_scope"),
        (GRANT + "&scope=data:query+everything", "invalid_scope"),
        (GRANT + "&scope=%00", "invalid_scope"),
        (GRANT + "&resource=https://victim.example/api", "invalid_target"),
        (GRANT + "&x=%ff", "invalid_request"),
        ("caf\u00e9=1&" + GRANT, "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(60)) + "&" + GRANT, "invalid_request"),
        ("x=" + "a" * 70_000 + "&" + GRANT, "invalid_request"),
    ],
)  # fmt: skip
def test_bodies_that_ask_for_what_is_not_given(gateway: Gateway, body: str, error: str) -> None:  # trap 14
    answer = post(gateway, body, authorization=good(gateway))
    assert answer.status_code == 400
    assert answer.json()["error"] == error


def test_the_gateway_itself_is_a_resource_that_tokens_are_given_for(gateway: Gateway) -> None:
    resource = urlencode({"resource": "http://127.0.0.1:8080"})
    assert post(gateway, f"{GRANT}&{resource}&{resource}", authorization=good(gateway)).status_code == 200


def test_parameters_in_the_address_are_refused(gateway: Gateway) -> None:  # trap 14
    answer = post(gateway, "a=b", path=f"/oauth/token?{GRANT}", authorization=good(gateway))
    assert answer.json()["error"] == "invalid_request"
    client_id, secret = gateway.admin.client.client_id, gateway.admin.secret
    answer = post(gateway, path=f"/oauth/token?client_id={client_id}&client_secret={secret}")
    assert answer.json()["error"] == "invalid_request"


def test_only_forms_are_read_and_only_by_post(gateway: Gateway) -> None:
    answer = gateway.http.post(
        "/oauth/token", json={"grant_type": "client_credentials"}, headers={"Authorization": good(gateway)}
    )
    assert answer.json()["error"] == "invalid_request"
    assert gateway.http.get("/oauth/token").status_code == 405


def test_a_scope_beyond_the_clients_is_refused(gateway: Gateway) -> None:
    gateway.participant("acme")
    issued = gateway.client("acme", scopes=(Scope.CATALOG_READ,))
    assert gateway.fetch(issued, scope="data:query").json()["error"] == "invalid_scope"


def test_public_addresses_come_from_configuration_not_from_the_host_header(gateway: Gateway) -> None:  # trap 17
    answer = gateway.http.get("/.well-known/oauth-authorization-server", headers={"Host": "evil.example"})
    assert "evil" not in answer.text
    answer = post(gateway, authorization=good(gateway), host="evil.example")
    assert answer.status_code == 200


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from(["grant_type", "scope", "resource", "token", "client_id", "client_secret"]),
            st.one_of(st.text(max_size=30), st.just("client_credentials")),
        ).map(lambda form: urlencode(form, errors="surrogatepass").encode()),
    ),
    header=st.one_of(st.none(), st.binary(max_size=60).filter(lambda raw: not set(raw) & set(b"\0\r\n"))),
    path=st.sampled_from(["/oauth/token", "/oauth/revoke"]),
)
def test_no_input_makes_an_endpoint_fail(gateway: Gateway, body: bytes, header: bytes | None, path: str) -> None:
    headers: dict[str, str | bytes] = {} if header is None else {"authorization": b"Basic " + base64.b64encode(header)}
    assert post(gateway, body, path=path, **headers).status_code < 500
    if header is not None:
        assert post(gateway, body, path=path, authorization=header).status_code < 500


def test_no_secret_is_logged_at_debug(gateway: Gateway) -> None:  # trap 15
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        configure_logs(LogSettings(level="debug"), stream)
        logging.getLogger("authlib").setLevel(logging.DEBUG)  # as if somebody asked for it
        token = gateway.token(gateway.admin)
        gateway.probe(token)
        gateway.probe(token[:-4] + "AAAA")
        client_id, secret = gateway.admin.client.client_id, gateway.admin.secret
        gateway.http.post("/oauth/revoke", data={"token": token, "client_id": client_id, "client_secret": secret})
        logging.getLogger("careless").debug("sending Authorization: Bearer %s and %s", token, secret)
        logging.getLogger("careless").error("at postgresql+psycopg://user:hunter2@host/db")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    logged = stream.getvalue()
    assert "careless" in logged
    for secret_text in (token, token.split(".")[2], gateway.admin.secret, "hunter2"):
        assert secret_text not in logged
    assert base64.b64encode(f"{client_id}:{secret}".encode()).decode() not in logged
