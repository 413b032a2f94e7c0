"""The administration of clients over HTTP: who may, what may be given, and when a secret ends."""

from __future__ import annotations

from typing import Any

import pytest

from datalab.flow.principal import Role
from datalab.flow.token import Scope
from datalab.oauth.clients import Issued
from tests.oauth.gateway import Gateway

ADMIN = (Role.MEMBER, Role.PARTICIPANT_ADMIN)
MANAGER = (Scope.PARTICIPANTS_WRITE, Scope.CATALOG_READ, Scope.DATA_QUERY)


def call(gateway: Gateway, issued: Issued, method: str, path: str, **rest: Any) -> Any:
    headers = {"Authorization": f"Bearer {gateway.token(issued)}"}
    return gateway.http.request(method, f"/api/v1/participants/{path}", headers=headers, **rest)


def of(created: Any) -> tuple[str, str]:
    return created.json()["client_id"], created.json()["client_secret"]


def fetch(gateway: Gateway, client: tuple[str, str]) -> Any:
    return gateway.http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=client)


@pytest.fixture
def acme(gateway: Gateway) -> Issued:
    """An admin client of the participant acme, beside another participant, other."""
    gateway.participant("acme")
    gateway.participant("other")
    return gateway.client("acme", *ADMIN, scopes=MANAGER)


def test_an_admin_makes_a_client_that_works(gateway: Gateway, acme: Issued) -> None:
    created = call(gateway, acme, "POST", "acme/clients", json={"name": "notebooks"})
    assert created.status_code == 201
    assert created.headers["location"] == f"/api/v1/participants/acme/clients/{created.json()['client_id']}"
    assert created.json()["roles"] == ["member"]
    token = fetch(gateway, of(created)).json()["access_token"]
    assert gateway.probe(token).json()["participant"] == "acme"


def test_secrets_are_shown_once(gateway: Gateway, acme: Issued) -> None:
    client_id, secret = of(call(gateway, acme, "POST", "acme/clients", json={"name": "one"}))
    for path in ("acme/clients", f"acme/clients/{client_id}"):
        answer = call(gateway, acme, "GET", path)
        assert answer.status_code == 200
        assert secret not in answer.text
        assert "client_secret" not in answer.text
        assert "digest" not in answer.text


def test_clients_are_listed_in_pages(gateway: Gateway, acme: Issued) -> None:
    made = {of(call(gateway, acme, "POST", "acme/clients", json={"name": f"n{n}"}))[0] for n in range(4)}
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = call(gateway, acme, "GET", "acme/clients", params=query).json()
        seen += [item["client_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(made | {acme.client.client_id})


def test_nobody_touches_another_participants_clients(gateway: Gateway, acme: Issued) -> None:
    theirs = gateway.client("other")
    path = f"other/clients/{theirs.client.client_id}"
    assert call(gateway, acme, "POST", "other/clients", json={"name": "x"}).status_code == 403
    assert call(gateway, acme, "GET", "other/clients").status_code == 403
    assert call(gateway, acme, "GET", path).status_code == 403
    assert call(gateway, acme, "DELETE", path).status_code == 403
    assert call(gateway, acme, "POST", f"{path}/secrets").status_code == 403
    # By way of one's own participant it does not exist.
    mine = f"acme/clients/{theirs.client.client_id}"
    assert call(gateway, acme, "GET", mine).status_code == 404
    assert call(gateway, acme, "DELETE", mine).status_code == 404
    assert call(gateway, acme, "POST", f"{mine}/secrets").status_code == 404
    assert fetch(gateway, (theirs.client.client_id, theirs.secret)).status_code == 200


def test_a_member_administers_nothing(gateway: Gateway, acme: Issued) -> None:
    member = gateway.client("acme", Role.MEMBER, scopes=MANAGER)
    assert call(gateway, member, "POST", "acme/clients", json={"name": "x"}).status_code == 403
    assert call(gateway, member, "GET", "acme/clients").status_code == 403


def test_the_scope_is_needed_too(gateway: Gateway, acme: Issued) -> None:
    narrow = gateway.client("acme", *ADMIN, scopes=(Scope.CATALOG_READ,))
    assert call(gateway, narrow, "GET", "acme/clients").json()["code"] == "token.scope"


def test_an_operator_makes_the_first_admin_and_then_no_more(gateway: Gateway) -> None:
    gateway.participant("fresh")
    body = {"name": "first", "roles": ["member", "participant_admin"], "scopes": ["participants:write"]}
    assert call(gateway, gateway.admin, "POST", "fresh/clients", json=body).status_code == 201
    refused = call(gateway, gateway.admin, "POST", "fresh/clients", json={"name": "backdoor"})
    assert (refused.status_code, refused.json()["code"]) == (403, "oauth.forbidden")


def test_an_operator_cannot_rotate_a_participants_secret_but_can_revoke_its_client(
    gateway: Gateway, acme: Issued
) -> None:
    path = f"acme/clients/{acme.client.client_id}"
    assert call(gateway, gateway.admin, "POST", f"{path}/secrets").status_code == 403
    assert call(gateway, gateway.admin, "DELETE", path).status_code == 204
    assert fetch(gateway, (acme.client.client_id, acme.secret)).status_code == 401


@pytest.mark.parametrize("role", ["gateway_operator", "auditor"])
def test_nobody_gives_a_role_that_is_the_operators_to_give(gateway: Gateway, acme: Issued, role: str) -> None:
    refused = call(gateway, acme, "POST", "acme/clients", json={"name": "x", "roles": [role]})
    assert refused.status_code == 403


def test_nobody_gives_a_scope_that_their_token_lacks(gateway: Gateway, acme: Issued) -> None:
    refused = call(gateway, acme, "POST", "acme/clients", json={"name": "x", "scopes": ["policies:write"]})
    assert refused.status_code == 403
    assert "policies:write" in refused.json()["detail"]


def test_nobody_rotates_the_secret_of_a_client_that_may_do_more(gateway: Gateway, acme: Issued) -> None:
    wide = gateway.client("acme", scopes=tuple(Scope))
    assert call(gateway, acme, "POST", f"acme/clients/{wide.client.client_id}/secrets").status_code == 403


def test_after_a_rotation_both_secrets_work_until_the_overlap_ends(gateway: Gateway, acme: Issued) -> None:
    old = of(call(gateway, acme, "POST", "acme/clients", json={"name": "one"}))
    rotated = call(gateway, acme, "POST", f"acme/clients/{old[0]}/secrets", json={"overlap_s": 600})
    new = of(rotated)
    assert rotated.status_code == 201
    assert new[1] != old[1]
    assert fetch(gateway, old).status_code == fetch(gateway, new).status_code == 200
    gateway.clock.move(seconds=600)
    assert fetch(gateway, old).status_code == 401
    assert fetch(gateway, new).status_code == 200


def test_a_rotation_without_overlap_ends_the_old_secret_and_its_tokens(gateway: Gateway, acme: Issued) -> None:
    old = of(call(gateway, acme, "POST", "acme/clients", json={"name": "one"}))
    token = fetch(gateway, old).json()["access_token"]
    new = of(call(gateway, acme, "POST", f"acme/clients/{old[0]}/secrets", json={"overlap_s": 0}))
    assert fetch(gateway, old).status_code == 401
    assert gateway.probe(token).json()["code"] == "token.revoked"
    assert gateway.probe(fetch(gateway, new).json()["access_token"]).status_code == 200


def test_a_second_rotation_does_not_lengthen_the_first_overlap(gateway: Gateway, acme: Issued) -> None:
    first = of(call(gateway, acme, "POST", "acme/clients", json={"name": "one"}))
    path = f"acme/clients/{first[0]}/secrets"
    call(gateway, acme, "POST", path, json={"overlap_s": 60})
    call(gateway, acme, "POST", path, json={"overlap_s": 3600})
    gateway.clock.move(seconds=61)
    assert fetch(gateway, first).status_code == 401


def test_a_client_has_at_most_five_valid_secrets(gateway: Gateway, acme: Issued) -> None:
    client_id, _ = of(call(gateway, acme, "POST", "acme/clients", json={"name": "one"}))
    path = f"acme/clients/{client_id}/secrets"
    assert [call(gateway, acme, "POST", path).status_code for _ in range(5)] == [201, 201, 201, 201, 409]
    assert call(gateway, acme, "POST", path, json={"overlap_s": 0}).status_code == 201


def test_a_deleted_client_is_gone(gateway: Gateway, acme: Issued) -> None:
    client = of(call(gateway, acme, "POST", "acme/clients", json={"name": "one"}))
    path = f"acme/clients/{client[0]}"
    assert call(gateway, acme, "DELETE", path).status_code == 204
    assert call(gateway, acme, "GET", path).status_code == 404
    assert call(gateway, acme, "DELETE", path).status_code == 404
    assert client[0] not in call(gateway, acme, "GET", "acme/clients").text


def test_the_last_operator_client_cannot_be_deleted(gateway: Gateway) -> None:
    path = f"operator/clients/{gateway.admin.client.client_id}"
    assert call(gateway, gateway.admin, "DELETE", path).json()["code"] == "oauth.last_operator"
    body = {"name": "second", "roles": ["gateway_operator"], "scopes": ["participants:write"]}
    assert call(gateway, gateway.admin, "POST", "operator/clients", json=body).status_code == 201
    assert call(gateway, gateway.admin, "DELETE", path).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": " "},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"name": "x", "roles": []},
        {"name": "x", "roles": ["king"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "client_secret": "mine"},
        {"name": 7},
        [],
    ],
)
def test_a_client_that_is_not_valid_is_refused(gateway: Gateway, acme: Issued, body: object) -> None:
    assert call(gateway, acme, "POST", "acme/clients", json=body).status_code == 422


@pytest.mark.parametrize("overlap_s", [-1, 10**9, "soon", None])
def test_an_overlap_is_bounded(gateway: Gateway, acme: Issued, overlap_s: object) -> None:
    path = f"acme/clients/{acme.client.client_id}/secrets"
    assert call(gateway, acme, "POST", path, json={"overlap_s": overlap_s}).status_code == 422


def test_an_unknown_participant_or_client_is_not_found(gateway: Gateway, acme: Issued) -> None:
    assert call(gateway, acme, "POST", "nobody/clients", json={"name": "x"}).status_code == 404
    assert call(gateway, acme, "GET", "acme/clients/nobody").status_code == 404


def test_a_participant_of_the_same_name_does_not_inherit_clients(gateway: Gateway, acme: Issued) -> None:
    token = gateway.token(acme)
    with gateway.base.database.write() as session:
        session.connection().exec_driver_sql("UPDATE participants SET uid = 'another' WHERE id = 'acme'")
    assert gateway.probe(token).json()["code"] == "principal.unknown"
    assert fetch(gateway, (acme.client.client_id, acme.secret)).status_code == 401


def test_every_change_is_in_the_audit_trail(gateway: Gateway, acme: Issued) -> None:
    client_id, _ = of(call(gateway, acme, "POST", "acme/clients", json={"name": "one"}))
    call(gateway, acme, "POST", f"acme/clients/{client_id}/secrets")
    call(gateway, acme, "DELETE", f"acme/clients/{client_id}")
    gateway.base.journal.flush()
    with gateway.base.engines.audit.connect() as connection:
        dump = [str(tuple(row)) for row in connection.exec_driver_sql("SELECT * FROM audit_records")]
    for verb in ("create", "rotate", "revoke"):
        assert any(verb in line and f"client:{client_id}" in line for line in dump), verb
