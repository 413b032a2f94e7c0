from __future__ import annotations

import pytest

from datalab.flow.principal import Role
from tests.api.gateway import Gateway

OPERATOR = ("ops", Role.GATEWAY_OPERATOR)
FACTORY = {
    "id": "mimer",
    "name": "MIMER",
    "host": "LiU",
    "place": "Linköping",
    "country": "SE",
    "consortium": ["SE"],
    "supercomputer": {"name": "Arrhenius", "status": "new"},
    "sectors": ["health"],
}


def test_a_factory_is_created_read_changed_and_deleted(gateway: Gateway) -> None:
    made = gateway.call("POST", "/api/v1/ai-factories", *OPERATOR, json=FACTORY)
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == "/api/v1/ai-factories/mimer"
    assert made.json()["supercomputer"] == {"name": "Arrhenius", "status": "new"}
    read = gateway.call("GET", "/api/v1/ai-factories/mimer", *OPERATOR)
    assert read.json() == made.json()
    assert read.headers["ETag"] == made.headers["ETag"]
    changed = gateway.call(
        "PATCH",
        "/api/v1/ai-factories/mimer",
        *OPERATOR,
        json={"supercomputer": {"status": "existing"}, "sectors": ["energy"], "consortium": None},
        headers={"If-Match": read.headers["ETag"]},
    )
    assert changed.status_code == 200, changed.text
    assert changed.json()["supercomputer"] == {"name": "Arrhenius", "status": "existing"}
    assert changed.json()["consortium"] == []
    assert changed.headers["ETag"] != read.headers["ETag"]
    stale = gateway.call("DELETE", "/api/v1/ai-factories/mimer", *OPERATOR, headers={"If-Match": read.headers["ETag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "registry.stale")
    gone = gateway.call(
        "DELETE", "/api/v1/ai-factories/mimer", *OPERATOR, headers={"If-Match": changed.headers["ETag"]}
    )
    assert gone.status_code == 204
    assert gateway.call("GET", "/api/v1/ai-factories/mimer", *OPERATOR).status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/ai-factories/lumi",
        "/api/v1/data-spaces/health",
        "/api/v1/data-labs/lab",
        "/api/v1/participants/alpha",
        "/api/v1/storages/alpha_disk",
    ],
)
def test_a_change_must_name_the_state_it_changes(gateway: Gateway, method: str, path: str) -> None:
    answer = gateway.call(method, path, *OPERATOR, json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["code"]) == (428, "request.if_match")
    answer = gateway.call(method, path, *OPERATOR, json={}, headers={"If-Match": "W/x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "request.header")


def test_a_tag_is_given_only_to_those_who_may_change_the_thing(gateway: Gateway) -> None:
    assert "ETag" in gateway.call("GET", "/api/v1/ai-factories/lumi", *OPERATOR).headers
    assert "ETag" not in gateway.call("GET", "/api/v1/ai-factories/lumi", "alpha").headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/ai-factories", FACTORY),
        ("/api/v1/data-spaces", {"id": "energy", "title": {"en": "Energy"}, "sector": "energy"}),
        ("/api/v1/participants", {"id": "newco", "legal_name": "Newco", "country": "DE", "kind": "sme"}),
    ],
)
def test_only_the_gateway_operator_writes_what_all_share(gateway: Gateway, path: str, body: dict[str, object]) -> None:
    for role in (Role.MEMBER, Role.PARTICIPANT_ADMIN, Role.AUDITOR):
        answer = gateway.call("POST", path, "alpha", role, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "registry.forbidden")
    assert gateway.call("POST", path, *OPERATOR, json=body).status_code == 201


def test_a_factory_with_a_lab_cannot_be_deleted(gateway: Gateway) -> None:
    answer = gateway.call("DELETE", "/api/v1/ai-factories/lumi", *OPERATOR, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["code"]) == (409, "registry.in_use")


def test_a_lab_without_an_existing_factory_is_refused(gateway: Gateway) -> None:
    body = {"id": "second", "title": {"en": "Second"}, "home": "nowhere", "operator": "labco"}
    answer = gateway.call("POST", "/api/v1/data-labs", "labco", Role.PARTICIPANT_ADMIN, json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (409, "registry.reference", "home")
    body["home"] = "lumi"
    assert gateway.call("POST", "/api/v1/data-labs", "labco", Role.PARTICIPANT_ADMIN, json=body).status_code == 201


def test_an_id_cannot_be_changed(gateway: Gateway) -> None:
    answer = gateway.call(
        "PATCH", "/api/v1/data-spaces/health", *OPERATOR, json={"id": "other"}, headers={"If-Match": "*"}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "registry.fixed")


def test_a_contact_is_for_the_participants_admins_and_operators(gateway: Gateway) -> None:
    path = "/api/v1/participants/alpha"
    assert gateway.call("GET", path, *OPERATOR).json()["contact"] == "info@alpha.example.org"
    assert gateway.call("GET", path, "alpha", Role.PARTICIPANT_ADMIN).json()["contact"] == "info@alpha.example.org"
    assert gateway.call("GET", path, "beta", Role.PARTICIPANT_ADMIN).json()["contact"] is None
    listed = gateway.call("GET", "/api/v1/participants", "beta").json()["items"]
    assert {one["contact"] for one in listed if one["id"] != "beta"} == {None}


def test_an_application_is_seen_by_operators_and_acts_only_once_verified(gateway: Gateway) -> None:
    body = {"id": "nobody", "legal_name": "Nobody", "country": "DE", "kind": "ngo"}
    made = gateway.call("POST", "/api/v1/participants", *OPERATOR, json=body)
    assert made.json()["status"] == "applied"
    assert gateway.call("GET", "/api/v1/participants/nobody", "alpha").status_code == 404
    listed = [one["id"] for one in gateway.call("GET", "/api/v1/participants", "alpha").json()["items"]]
    assert "nobody" not in listed
    refused = gateway.call("GET", "/api/v1/data-spaces", "nobody")
    assert (refused.status_code, refused.json()["code"]) == (403, "principal.unverified")
    verified = gateway.call(
        "PATCH",
        "/api/v1/participants/nobody",
        *OPERATOR,
        json={"status": "verified"},
        headers={"If-Match": made.headers["ETag"]},
    )
    assert verified.status_code == 200, verified.text
    assert gateway.call("GET", "/api/v1/data-spaces", "nobody").status_code == 200


def test_storages_are_their_participants_own_and_never_show_keys(gateway: Gateway) -> None:
    body = {
        "id": "bucket",
        "participant": "alpha",
        "kind": "s3",
        "endpoint": "https://s3.example.org",
        "bucket": "data",
        "credentials": {"access_key": "AKIAEXAMPLE", "secret_key": "very-secret-key"},
    }
    made = gateway.call("POST", "/api/v1/storages", "alpha", json=body)
    assert made.status_code == 201, made.text
    shown = [made.text, gateway.call("GET", "/api/v1/storages/bucket", "alpha").text]
    shown += [gateway.call("GET", "/api/v1/storages", "alpha").text, str(gateway.world.notebook.details)]
    assert not any("very-secret-key" in text or "AKIAEXAMPLE" in text for text in shown)
    for other in ("beta", "ops"):
        assert gateway.call("GET", "/api/v1/storages/bucket", other, Role.PARTICIPANT_ADMIN).status_code == 404
        listed = gateway.call("GET", "/api/v1/storages", other, Role.PARTICIPANT_ADMIN).json()["items"]
        assert all(one["participant"] == other for one in listed)
    assert gateway.call("POST", "/api/v1/storages", "beta", json={**body, "id": "mine"}).status_code == 403


def test_local_storages_are_written_by_the_gateway_operator_only(gateway: Gateway) -> None:
    body = {"id": "disk", "participant": "alpha", "kind": "local", "root": "/srv/data"}
    assert gateway.call("POST", "/api/v1/storages", "alpha", json=body).status_code == 403
    assert gateway.call("POST", "/api/v1/storages", *OPERATOR, json=body).status_code == 201
    assert gateway.call("GET", "/api/v1/storages/disk", "alpha").status_code == 200
    answer = gateway.call("DELETE", "/api/v1/storages/disk", "alpha", headers={"If-Match": "*"})
    assert answer.status_code == 403


def test_admissions_are_the_space_operators(gateway: Gateway) -> None:
    path = "/api/v1/data-spaces/health/admissions"
    body = {"participant": "outsider", "role": "developer"}
    for who, role in (("alpha", Role.PARTICIPANT_ADMIN), ("ops", Role.GATEWAY_OPERATOR), ("steward", Role.MEMBER)):
        assert gateway.call("POST", path, who, role, json=body).status_code == 403
    assert gateway.call("GET", path, "outsider").status_code == 403
    for _twice in range(2):
        made = gateway.call("POST", path, "steward", Role.PARTICIPANT_ADMIN, json=body)
        assert (made.status_code, made.json()["role"]) == (201, "developer")
    listed = gateway.call("GET", path, "outsider").json()["items"]
    assert {(one["participant"], one["role"]) for one in listed} == {
        ("alpha", "provider"),
        ("beta", "provider"),
        ("labco", "lab"),
        ("outsider", "developer"),
    }
    gone = gateway.call("DELETE", f"{path}/outsider/developer", "steward", Role.PARTICIPANT_ADMIN)
    assert gone.status_code == 204
    assert gateway.call("GET", path, "outsider").status_code == 403


def test_a_page_leads_to_the_next_until_there_is_none(gateway: Gateway) -> None:
    for number in range(7):
        body = {"id": f"space_{number}", "title": {"en": "S"}, "sector": "a" if number % 2 else "b"}
        assert gateway.call("POST", "/api/v1/data-spaces", *OPERATOR, json=body).status_code == 201
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = gateway.call("GET", "/api/v1/data-spaces", params=query).json()
        seen += [one["id"] for one in page["items"]]
        assert len(page["items"]) <= 3
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["health", *(f"space_{number}" for number in range(7))]
    odd = gateway.call("GET", "/api/v1/data-spaces", params={"sector": "a"}).json()["items"]
    assert [one["id"] for one in odd] == ["space_1", "space_3", "space_5"]


@pytest.mark.parametrize("cursor", ["x", "====", "aGVhbHRoAA", "..", "YQ==YQ", "é", "L2V0Yy9wYXNzd2Q7", "A" * 300])
def test_a_made_up_cursor_is_refused(gateway: Gateway, cursor: str) -> None:
    answer = gateway.call("GET", "/api/v1/data-spaces", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "request.cursor")


@pytest.mark.parametrize("limit", ["0", "-1", "501", "x", "1e3", "99999999999999999999"])
def test_a_limit_out_of_range_is_refused(gateway: Gateway, limit: str) -> None:
    answer = gateway.call("GET", "/api/v1/data-spaces", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == "query.limit"


def test_each_endpoint_wants_its_scope(gateway: Gateway) -> None:
    answer = gateway.call("GET", "/api/v1/data-spaces", scope="data:query")
    assert (answer.status_code, answer.json()["code"]) == (403, "token.scope")
    assert 'scope="catalog:read"' in answer.headers["WWW-Authenticate"]
    answer = gateway.call("POST", "/api/v1/ai-factories", *OPERATOR, scope="catalog:read", json=FACTORY)
    assert (answer.status_code, answer.json()["code"]) == (403, "token.scope")
