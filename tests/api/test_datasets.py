from __future__ import annotations

from typing import Any

import pytest

from catalog.entities import Column, FileEntry, Version
from datalab.db.base import new_uid
from datalab.db.reader import Reader
from datalab.db.versions import insert_version
from datalab.flow.decision import Decider
from datalab.flow.principal import Role
from datalab.registry.discovery import Discovery
from tests.api.gateway import Gateway
from tests.registry.world import MACHINE, dataset

PERMIT: dict[str, Any] = {
    "id": "open",
    "title": "Open",
    "scope": "dataset:health/cohort",
    "effect": "permit",
    "actions": ["query"],
}


def publish(gateway: Gateway, name: str, *, provider: str = "alpha") -> None:
    gateway.world.datasets.create(MACHINE, dataset(name, provider=provider))
    gateway.world.datasets.publish(MACHINE, "health", name)


def register_version(gateway: Gateway, name: str, *columns: str) -> None:
    gateway.world.reader.revision()
    found = gateway.world.reader.dataset("health", name)
    assert found is not None
    version = Version(
        uid=new_uid(),
        dataset_uid=found.uid,
        number=1,
        files=(FileEntry(path="a.parquet", size_bytes=999, rows=42, etag="e"),),
        columns=tuple(Column(name=column, type="INTEGER") for column in columns),
        arrow_schema=b"",
        row_count=42,
        size_bytes=999,
        created_at=gateway.world.clock.now,
    )
    with gateway.world.database.write() as session:
        insert_version(session, version, "f" * 64)


def permit(gateway: Gateway, name: str, **more: Any) -> None:
    document = {**PERMIT, "id": f"open_{name}", "scope": f"dataset:health/{name}", **more}
    gateway.world.policies.create(MACHINE, document, reason="test")


def body(name: str, **more: Any) -> dict[str, Any]:
    return {
        "space": "health",
        "name": name,
        "provider": "alpha",
        "lab": "lab",
        "title": {"en": name.title()},
        "storage": "alpha_disk",
        "location": f"{name}.parquet",
        **more,
    }


def without_id(answer: Any) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert document.pop("request_id")
    return document


def test_a_provider_registers_publishes_and_withdraws(gateway: Gateway) -> None:
    made = gateway.call("POST", "/api/v1/datasets", json=body("cohort", status="published"))
    assert made.status_code == 201, made.text
    assert (made.json()["status"], made.headers["Location"]) == ("draft", "/api/v1/datasets/health/cohort")
    path = made.headers["Location"]
    published = gateway.call("PATCH", path, json={"status": "published"}, headers={"If-Match": made.headers["ETag"]})
    assert published.json()["status"] == "published"
    back = gateway.call("PATCH", path, json={"status": "draft"}, headers={"If-Match": published.headers["ETag"]})
    assert (back.status_code, back.json()["code"]) == (409, "registry.status")
    stale = gateway.call("DELETE", path, headers={"If-Match": made.headers["ETag"]})
    assert stale.status_code == 412
    assert gateway.call("DELETE", path, headers={"If-Match": published.headers["ETag"]}).status_code == 204
    assert gateway.call("GET", path).status_code == 404


def test_what_others_see_lacks_storage_location_and_roles(gateway: Gateway) -> None:
    publish(gateway, "cohort")
    register_version(gateway, "cohort", "age", "pid")
    permit(gateway, "cohort", obligations={"columns": ["age"]})
    owner = gateway.call("GET", "/api/v1/datasets/health/cohort")
    other = gateway.call("GET", "/api/v1/datasets/health/cohort", "outsider")
    assert owner.json()["location"] == "cohort.parquet"
    assert owner.json()["version"]["row_count"] == 42
    assert "ETag" in owner.headers
    assert "ETag" not in other.headers
    assert (other.json()["storage"], other.json()["location"], other.json()["roles"]) == (None, None, None)
    assert other.json()["actions"] == ["discover", "aggregate", "query"]
    assert (other.json()["version"]["row_count"], other.json()["version"]["size_bytes"]) == (None, None)
    assert "cohort.parquet" not in other.text
    (listed,) = gateway.call("GET", "/api/v1/datasets", "outsider").json()["items"]
    assert (listed["name"], listed["storage"], listed["location"]) == ("cohort", None, None)


def test_counts_are_for_callers_without_restrictions(gateway: Gateway) -> None:
    publish(gateway, "cohort")
    register_version(gateway, "cohort", "age")
    permit(gateway, "cohort")
    shown = gateway.call("GET", "/api/v1/datasets/health/cohort", "outsider").json()
    assert (shown["version"]["row_count"], shown["version"]["size_bytes"]) == (42, 999)


def test_the_schema_is_the_callers(gateway: Gateway) -> None:
    publish(gateway, "cohort")
    register_version(gateway, "cohort", "age", "pid")
    permit(
        gateway,
        "cohort",
        obligations={"columns": ["age", "pid"], "masks": [{"column": "pid", "with": "hash"}]},
        when='principal.country == "NL"',
    )
    gateway.world.policies.create(
        MACHINE,
        {
            **PERMIT,
            "id": "french",
            "when": 'principal.country == "FR"',
            "obligations": {"columns": ["age"]},
        },
    )

    def columns(who: str) -> list[tuple[str, str]]:
        answer = gateway.call("GET", "/api/v1/datasets/health/cohort/schema", who).json()
        return [(column["name"], column["type"]) for column in answer["columns"]]

    assert columns("alpha") == [("age", "INTEGER"), ("pid", "INTEGER")]
    assert columns("outsider") == [("age", "INTEGER"), ("pid", "VARCHAR")]
    assert columns("beta") == [("age", "INTEGER")]
    assert gateway.call("GET", "/api/v1/datasets/health/cohort/schema", "ops").status_code == 404


HIDDEN_PATHS = ["", "/schema", "/schema?version=1"]


@pytest.mark.parametrize("suffix", HIDDEN_PATHS)
@pytest.mark.parametrize("state", ["draft", "published", "forbidden", "withdrawn"])
def test_a_hidden_dataset_is_not_told_apart_from_an_absent_one(gateway: Gateway, state: str, suffix: str) -> None:
    gateway.world.datasets.create(MACHINE, dataset("hidden"))
    register_version(gateway, "hidden", "age")
    if state != "draft":
        gateway.world.datasets.publish(MACHINE, "health", "hidden")
    if state in {"forbidden", "withdrawn"}:
        permit(gateway, "hidden")
    if state == "forbidden":
        document = {**PERMIT, "id": "no", "scope": "space:health", "effect": "forbid", "actions": ["discover"]}
        gateway.world.policies.create(MACHINE, document)
    if state == "withdrawn":
        gateway.world.datasets.withdraw(MACHINE, "health", "hidden")

    def look(name: str) -> tuple[int, dict[str, Any], set[str], int]:
        """By a process that has just started: nothing is remembered."""
        fresh(gateway)
        with gateway.world.statements() as statements:
            answer = gateway.call("GET", f"/api/v1/datasets/health/{name}{suffix}", "outsider")
        document = without_id(answer)
        return answer.status_code, _renamed(document, name), set(answer.headers), len(statements)

    hidden, absent = look("hidden"), look("absent")
    assert hidden == absent
    assert hidden[0] == 404


def test_warm_memories_do_not_tell_them_apart_either(gateway: Gateway) -> None:
    publish(gateway, "open")
    permit(gateway, "open")
    gateway.world.datasets.create(MACHINE, dataset("hidden"))
    register_version(gateway, "hidden", "age")
    for name in ("open", "warming"):
        gateway.call("GET", f"/api/v1/datasets/health/{name}", "outsider")
    counts = []
    for name in ("hidden", "absent", "hidden", "absent"):
        with gateway.world.statements() as statements:
            assert gateway.call("GET", f"/api/v1/datasets/health/{name}", "outsider").status_code == 404
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert counts[2] == counts[3]


@pytest.mark.parametrize(("method", "rest"), [("PATCH", {"json": {"status": "published"}}), ("DELETE", {})])
def test_a_change_does_not_tell_a_hidden_dataset_either(gateway: Gateway, method: str, rest: dict[str, Any]) -> None:
    gateway.world.datasets.create(MACHINE, dataset("hidden"))
    answers = [
        gateway.call(
            method, f"/api/v1/datasets/health/{name}", "beta", Role.PARTICIPANT_ADMIN, headers={"If-Match": "*"}, **rest
        )
        for name in ("hidden", "absent")
    ]
    hidden, absent = (
        _renamed(without_id(answer), name) for answer, name in zip(answers, ("hidden", "absent"), strict=True)
    )
    assert hidden == absent
    assert answers[0].status_code == answers[1].status_code == 404


def test_whoever_may_discover_but_not_change_is_forbidden(gateway: Gateway) -> None:
    publish(gateway, "cohort")
    permit(gateway, "cohort")
    for who in ("beta", "outsider"):
        for method, sent in (("PATCH", {"title": {"en": "Mine"}}), ("DELETE", None)):
            answer = gateway.call(
                method,
                "/api/v1/datasets/health/cohort",
                who,
                Role.PARTICIPANT_ADMIN,
                headers={"If-Match": "*"},
                json=sent,
            )
            assert (answer.status_code, answer.json()["code"]) == (403, "registry.forbidden")


def test_lists_and_cursors_know_nothing_of_what_is_hidden(gateway: Gateway) -> None:
    names = [f"set_{number:02}" for number in range(12)]
    for name in names:
        publish(gateway, name)
        if int(name[-2:]) % 3 == 0:
            permit(gateway, name)
    visible = names[::3]

    def pages(who: str, limit: int) -> list[list[str]]:
        found, cursor = [], None
        while True:
            query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
            page = gateway.call("GET", "/api/v1/datasets", who, params=query).json()
            assert set(page) == {"items", "next_cursor"}
            found.append([one["name"] for one in page["items"]])
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    assert pages("outsider", 2) == [visible[:2], visible[2:]]
    assert pages("outsider", 4) == [visible]
    assert pages("outsider", 3) == [visible[:3], visible[3:]]
    assert [name for page in pages("alpha", 5) for name in page] == names
    assert pages("ops", 5) == [visible]


def test_a_page_costs_no_statement_per_dataset(gateway: Gateway) -> None:
    for number in range(30):
        publish(gateway, f"set_{number}")
        permit(gateway, f"set_{number}")
    fresh(gateway)
    with gateway.world.statements() as few:
        assert len(gateway.call("GET", "/api/v1/datasets", "outsider", params={"q": "set_1"}).json()["items"]) == 11
    fresh(gateway)
    with gateway.world.statements() as many:
        assert len(gateway.call("GET", "/api/v1/datasets", "outsider").json()["items"]) == 30
    assert len(many) == len(few) < 30


def test_the_provider_sees_before_publishing_who_would_see_what(gateway: Gateway) -> None:
    gateway.world.datasets.create(MACHINE, dataset("cohort"))
    register_version(gateway, "cohort", "age", "pid")
    permit(
        gateway,
        "cohort",
        when='principal.country == "NL"',
        obligations={"columns": ["age"], "rows": {"all": [{"column": "age", "op": "ge", "value": 18}]}},
    )
    report = {one["participant"]: one for one in gateway.call("GET", "/api/v1/datasets/health/cohort/audience").json()}
    assert report["outsider"]["actions"] == ["discover", "aggregate", "query"]
    assert report["outsider"]["columns"] == [["age", "INTEGER"]]
    assert report["outsider"]["filters"] is True
    assert report["beta"]["actions"] == []
    assert gateway.call("GET", "/api/v1/datasets/health/cohort/audience", "outsider").status_code == 404
    gateway.world.datasets.publish(MACHINE, "health", "cohort")
    assert gateway.call("GET", "/api/v1/datasets/health/cohort/audience", "outsider").status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"location": "../../etc/passwd"},
        {"location": "x?s3_endpoint=evil.example"},
        {"name": "order"},
        {"name": "Robert'); DROP TABLE"},
        {"title": {}},
        {"title": "text"},
        {"provider": 7},
        {"unknown": True},
        {"keywords": "one"},
        {"personal_data": "secret"},
        {"roles": {"entity": {"deep": 1}}},
        {"created_at": "2020-01-01T00:00:00Z"},
        {"uid": "0" * 32},
    ],
)
def test_a_bad_document_is_refused_with_the_field(gateway: Gateway, change: dict[str, Any]) -> None:
    answer = gateway.call("POST", "/api/v1/datasets", json={**body("cohort"), **change})
    assert answer.status_code == 422, answer.text
    assert answer.json()["problems"][0]["field"].startswith(next(iter(change)))


def fresh(gateway: Gateway) -> None:
    """As after a restart: nothing that was read is remembered, but for who calls."""
    gateway.call("GET", "/api/v1/ai-factories", "outsider")
    world = gateway.world
    reader = Reader(world.database)
    discovery = Discovery(world.store, reader, Decider(reader, clock=world.clock))
    state = gateway.api.state
    state.services = type(state.services)(
        **{
            name: {"catalogue": reader, "discovery": discovery}.get(name, getattr(state.services, name))
            for name in state.services.__slots__
        }
    )


def _renamed(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value.replace(name, "NAME") if isinstance(value, str) else value for key, value in document.items()}
