"""The way of an own token: fetched, accepted, refused once it is revoked, and what it looks like."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet

from catalog.entities import ParticipantStatus
from datalab.flow.principal import Role
from datalab.flow.token import Scope
from datalab.registry.participants import Participants
from tests.oauth.gateway import MACHINE, URL, Gateway


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload = (
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]
    )
    return header, payload


def test_a_token_by_basic_is_accepted_and_names_its_participant(gateway: Gateway) -> None:
    answer = gateway.probe(gateway.token(gateway.admin))
    assert answer.status_code == 200
    assert answer.json()["participant"] == "operator"
    assert answer.json()["issuer"] == URL
    assert answer.json()["subject"] == gateway.admin.client.client_id
    assert "gateway_operator" in answer.json()["roles"]


def test_a_token_by_post_is_accepted(gateway: Gateway) -> None:
    answer = gateway.http.post(
        "/oauth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": gateway.admin.client.client_id,
            "client_secret": gateway.admin.secret,
        },
    )
    assert answer.status_code == 200
    assert gateway.probe(answer.json()["access_token"]).status_code == 200


def test_the_answer_has_no_null_members_and_must_not_be_stored(gateway: Gateway) -> None:
    answer = gateway.fetch(gateway.admin)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert None not in answer.json().values()
    assert answer.json()["token_type"] == "Bearer"


def test_the_life_in_the_answer_is_the_life_in_the_token(gateway: Gateway) -> None:  # trap 4
    answer = gateway.fetch(gateway.admin).json()
    _, payload = parts(answer["access_token"])
    assert answer["expires_in"] == payload["exp"] - payload["iat"] == 900


def test_the_token_follows_rfc_9068(gateway: Gateway) -> None:  # traps 5 and 6
    header, payload = parts(gateway.token(gateway.admin))
    published = gateway.http.get("/oauth/jwks").json()["keys"]
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": published[0]["kid"]}
    assert payload.keys() == {
        "iss", "aud", "sub", "client_id", "iat", "exp", "jti", "grant_id", "scope", "participant",
    }  # fmt: skip
    assert payload["aud"] == payload["iss"] == URL


def test_anyone_can_verify_a_token_with_the_published_keys(gateway: Gateway) -> None:
    keys = KeySet.import_key_set(gateway.http.get("/oauth/jwks").json())
    token = jwt.decode(gateway.token(gateway.admin), keys, algorithms=["ES256"])
    assert token.claims["client_id"] == gateway.admin.client.client_id


def test_the_key_set_holds_no_private_member(gateway: Gateway) -> None:
    for key in gateway.http.get("/oauth/jwks").json()["keys"]:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_without_a_scope_the_token_has_all_of_the_clients(gateway: Gateway) -> None:
    gateway.participant("acme")
    answer = gateway.fetch(gateway.client("acme")).json()
    assert answer["scope"] == "catalog:read data:query"


def test_a_token_can_ask_for_less(gateway: Gateway) -> None:
    gateway.participant("acme")
    issued = gateway.client("acme")
    token = gateway.token(issued, scope="catalog:read")
    refused = gateway.probe(token)
    assert refused.status_code == 403
    assert refused.json()["code"] == "token.scope"
    challenge = refused.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="data:query"' in challenge


def test_an_expired_token_is_refused_after_the_leeway(gateway: Gateway) -> None:
    token = gateway.token(gateway.admin)
    gateway.clock.move(seconds=929)
    assert gateway.probe(token).status_code == 200
    gateway.clock.move(seconds=1)
    assert gateway.probe(token).json()["code"] == "token.expired"


def test_a_revoked_token_is_refused_at_the_next_request(gateway: Gateway) -> None:
    token, other = gateway.token(gateway.admin), gateway.token(gateway.admin)
    assert gateway.probe(token).status_code == 200
    answer = gateway.http.post(
        "/oauth/revoke", data={"token": token}, auth=(gateway.admin.client.client_id, gateway.admin.secret)
    )
    assert answer.status_code == 200
    assert gateway.probe(token).json()["code"] == "token.revoked"
    assert gateway.probe(other).status_code == 200


def test_a_client_cannot_revoke_anothers_token(gateway: Gateway) -> None:
    gateway.participant("acme")
    token = gateway.token(gateway.admin)
    issued = gateway.client("acme")
    answer = gateway.http.post("/oauth/revoke", data={"token": token}, auth=(issued.client.client_id, issued.secret))
    assert answer.status_code == 400
    assert gateway.probe(token).status_code == 200


def test_revoking_nonsense_is_fine_but_a_missing_token_is_not(gateway: Gateway) -> None:
    auth = (gateway.admin.client.client_id, gateway.admin.secret)
    for form in ({"token": "nonsense"}, {"token": "a.b.c", "token_type_hint": "unheard_of"}):
        assert gateway.http.post("/oauth/revoke", data=form, auth=auth).status_code == 200
    assert gateway.http.post("/oauth/revoke", data={"x": "y"}, auth=auth).json()["error"] == "invalid_request"


def test_revoked_tokens_are_forgotten_once_they_would_have_expired(gateway: Gateway) -> None:
    auth = (gateway.admin.client.client_id, gateway.admin.secret)
    first = gateway.token(gateway.admin)
    gateway.http.post("/oauth/revoke", data={"token": first}, auth=auth)
    gateway.clock.move(seconds=1000)
    gateway.http.post("/oauth/revoke", data={"token": gateway.token(gateway.admin)}, auth=auth)
    with gateway.base.engines.main.connect() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM oauth_revoked_tokens").scalar_one()
    assert rows == 1
    assert gateway.probe(first).status_code == 401


def test_a_revoked_clients_token_is_refused_at_the_next_request(gateway: Gateway) -> None:
    gateway.participant("acme")
    issued = gateway.client("acme")
    token = gateway.token(issued)
    assert gateway.probe(token).status_code == 200
    gateway.identity.clients.revoke(gateway.principal(gateway.admin), "acme", issued.client.client_id)
    assert gateway.probe(token).json()["code"] == "token.revoked"
    assert gateway.fetch(issued).status_code == 401


def test_a_participant_that_is_not_verified_gets_no_token_and_loses_those_it_has(gateway: Gateway) -> None:
    stored = gateway.participant("acme")
    issued = gateway.client("acme")
    token = gateway.token(issued)
    Participants(gateway.base.registrar, gateway.base.catalogue).replace(
        MACHINE, replace(stored, status=ParticipantStatus.REFUSED)
    )
    assert gateway.probe(token).json()["code"] == "principal.unverified"
    assert gateway.fetch(issued).json()["error"] == "unauthorized_client"


def test_issued_tokens_and_secrets_are_in_the_audit_trail_and_nothing_secret_is(gateway: Gateway) -> None:
    token = gateway.token(gateway.admin)
    gateway.base.journal.flush()
    with gateway.base.engines.audit.connect() as connection:
        kinds = [row[0] for row in connection.exec_driver_sql("SELECT kind FROM audit_records")]
        tables = ("audit_records", "audit_literals")
        dump = "".join(
            str(tuple(row)) for table in tables for row in connection.exec_driver_sql(f"SELECT * FROM {table}")
        )
    assert "token.issued" in kinds
    assert "secret.issued" in kinds
    assert parts(token)[1]["jti"] in dump
    assert token not in dump
    assert gateway.admin.secret not in dump


def test_the_database_holds_no_secret_in_clear(gateway: Gateway) -> None:
    gateway.participant("acme")
    issued = gateway.client("acme")
    gateway.base.engines.main.dispose()
    for file in gateway.base.home.path.rglob("*"):
        if file.is_file():
            assert issued.secret.encode() not in file.read_bytes()


def test_roles_are_the_databases_not_the_tokens(gateway: Gateway) -> None:
    gateway.participant("acme")
    issued = gateway.client("acme", Role.MEMBER, scopes=(Scope.DATA_QUERY,))
    assert "roles" not in parts(gateway.token(issued))[1]
    assert gateway.probe(gateway.token(issued)).json()["roles"] == ["member"]
