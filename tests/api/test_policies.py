from __future__ import annotations

from typing import Any

from datalab.flow.principal import Role
from tests.api.gateway import Gateway
from tests.registry.world import MACHINE, dataset

POLICY: dict[str, Any] = {
    "id": "mine",
    "title": "Mine",
    "scope": "dataset:health/cohort",
    "effect": "permit",
    "actions": ["query"],
    "when": 'principal.country == "DE"',
}


def test_a_policy_is_written_changed_and_deleted_with_its_reasons(gateway: Gateway) -> None:
    gateway.world.datasets.create(MACHINE, dataset("cohort"))
    made = gateway.call("POST", "/api/v1/policies", json=POLICY, params={"reason": "because"})
    assert made.status_code == 201, made.text
    assert made.json() == {**POLICY, "uid": made.json()["uid"], "owner": "alpha", "version": 1}
    path = made.headers["Location"]
    read = gateway.call("GET", path)
    assert (read.json(), read.headers["ETag"]) == (made.json(), made.headers["ETag"])
    changed = gateway.call(
        "PATCH", path, json={"when": None}, params={"reason": "for all"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert changed.json()["version"] == 2
    assert "when" not in changed.json()
    stale = gateway.call("PATCH", path, json={"when": "true"}, headers={"If-Match": read.headers["ETag"]})
    assert stale.status_code == 412
    versions = gateway.call("GET", f"{path}/versions").json()
    assert [(one["number"], one["reason"], one["author"]["subject"]) for one in versions] == [
        (1, "because", "alpha-user"),
        (2, "for all", "alpha-user"),
    ]
    assert gateway.call("DELETE", path).status_code == 428
    gone = gateway.call("DELETE", path, headers={"If-Match": changed.headers["ETag"]})
    assert gone.status_code == 204
    assert gateway.call("GET", path).status_code == 404


def test_a_foreign_policy_looks_like_none(gateway: Gateway) -> None:
    gateway.world.datasets.create(MACHINE, dataset("cohort"))
    gateway.world.policies.create(MACHINE, POLICY)
    for method, sent in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        answers = []
        for name in ("mine", "absent"):
            answer = gateway.call(
                method,
                f"/api/v1/policies/{name}",
                "beta",
                Role.PARTICIPANT_ADMIN,
                headers={"If-Match": "*"},
                json=sent,
            )
            document = answer.json()
            document.pop("request_id")
            answers.append((answer.status_code, document))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404


def test_a_list_can_be_narrowed_to_a_scope(gateway: Gateway) -> None:
    gateway.world.datasets.create(MACHINE, dataset("cohort"))
    gateway.world.policies.create(MACHINE, POLICY)
    gateway.world.policies.create(MACHINE, {**POLICY, "id": "all", "scope": "federation"})
    listed = [one["id"] for one in gateway.call("GET", "/api/v1/policies").json()["items"]]
    assert listed == ["all", "mine"]
    narrowed = gateway.call("GET", "/api/v1/policies", params={"scope": "federation"}).json()["items"]
    assert [one["id"] for one in narrowed] == ["all"]


def test_a_document_is_checked_without_being_saved(gateway: Gateway) -> None:
    good = gateway.call("POST", "/api/v1/policies/validate", json=POLICY)
    assert good.json() == {"valid": True, "problems": []}
    bad = gateway.call("POST", "/api/v1/policies/validate", json={**POLICY, "when": "principal.cuontry == 1"})
    assert (bad.status_code, bad.json()["valid"]) == (200, False)
    assert bad.json()["problems"][0]["path"] == "when"
    assert gateway.call("GET", "/api/v1/policies").json()["items"] == []


def test_what_cannot_be_in_force_is_refused_with_its_problems(gateway: Gateway) -> None:
    gateway.world.datasets.create(MACHINE, dataset("cohort"))
    answer = gateway.call("POST", "/api/v1/policies", json={**POLICY, "actions": ["read"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "policy.invalid")
    assert answer.json()["problems"]


def test_a_simulation_is_for_the_provider(gateway: Gateway) -> None:
    gateway.world.datasets.create(MACHINE, dataset("cohort"))
    question = {"dataset": "health/cohort", "participant": "steward", "policies": [{**POLICY, "when": "true"}]}
    answer = gateway.call("POST", "/api/v1/policies/simulate", json=question)
    assert answer.status_code == 200, answer.text
    assert answer.json()["actions"] == ["discover", "aggregate", "query"]
    assert gateway.call("POST", "/api/v1/policies/simulate", "beta", json=question).status_code == 404
    absent = gateway.call("POST", "/api/v1/policies/simulate", json={**question, "dataset": "health/none"})
    assert absent.status_code == 404
