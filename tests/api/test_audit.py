"""Who sees what of the audit trail over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from datalab.db.audit import SqlAuditStore, open_audit_engine
from datalab.db.audit_reads import SqlTrail
from datalab.db.audit_tables import create_audit
from datalab.db.operators import OperatedSpaces
from datalab.flow.audit import Journal
from datalab.flow.inquiry import Inquiry
from datalab.flow.principal import Role
from datalab.flow.request import Query
from datalab.flow.trail import Ending, Outcome, PolicyRef, Touched
from tests.api.gateway import ISSUER, Gateway
from tests.flow.audit.audited import principal

ALPHAS = Touched(
    uid="d1", space="health", name="cohort", provider="alpha", version=3, action="query", agreement="a1",
    policies=(PolicyRef(id="open", revision=2, uid="p1", level="dataset:health/cohort", effect="permit"),),
)  # fmt: skip
BETAS = Touched(uid="d2", space="health", name="other", provider="beta", version=1, action="query")
ENERGY = Touched(uid="d3", space="energy", name="grid", provider="beta", version=1, action="query")


@dataclass
class Scene:
    """A gateway whose trail holds: labco's query over alpha's and beta's data in health, outsider's over beta's in energy
    (which is still open), and alpha's creation of its dataset.
    """

    gateway: Gateway
    journal: Journal
    both: str
    energy: str
    write: str

    def get(self, path: str, who: str, *roles: Role, **rest: Any) -> Any:
        return self.gateway.call("GET", path, who, *roles, **rest)

    def seen(self, who: str, *roles: Role, **parameters: Any) -> list[tuple[str, str]]:
        answer = self.get("/api/v1/audit", who, *roles, params=parameters)
        assert answer.status_code == 200, answer.text
        return [(item["kind"], item["operation"]) for item in answer.json()["items"]]


@pytest.fixture
def scene(gateway: Gateway, tmp_path: Path) -> Iterator[Scene]:
    engine = open_audit_engine(f"sqlite:///{tmp_path}/audit.db")
    with engine.begin() as connection:
        create_audit(connection)
    clock = gateway.world.clock
    with Journal(SqlAuditStore(engine), bytes(32), clock=clock) as journal:
        inquiry = Inquiry(SqlTrail(engine), journal, OperatedSpaces(gateway.world.database))
        gateway.api.state.services = replace(gateway.api.state.services, inquiry=inquiry)
        labco = replace(principal("labco"), issuer=ISSUER, subject="labco-user")
        both = journal.open_query(labco, Query(sql="SELECT 'a literal'"))
        both.decided([ALPHAS, BETAS])
        journal.flush()
        clock.move(seconds=1)
        both.close(Ending(outcome=Outcome.COMPLETED, rows=7, size_bytes=99, sha256="ab", duration_s=1.0))
        outsider = replace(principal("outsider"), issuer=ISSUER, subject="outsider-user")
        energy = journal.open_query(outsider, Query(sql="SELECT 1"))
        energy.decided([ENERGY])
        clock.move(seconds=1)
        alpha = principal("alpha")
        with journal.administrative(
            alpha, verb="create", resource="dataset:health/cohort", detail={"provider": "alpha"}
        ) as write:
            pass
        journal.flush()
        yield Scene(gateway, journal, both.ref, energy.ref, write.ref)
    engine.dispose()


def test_auditors_and_gateway_operators_see_everything(scene: Scene) -> None:
    for who in (("ops", Role.AUDITOR), ("ops", Role.GATEWAY_OPERATOR)):
        assert Counter(kind for kind, _ in scene.seen(*who)) == {
            "chain.opened": 1,
            "query.opened": 2,
            "query.decided": 2,
            "query.closed": 1,
            "admin.opened": 1,
            "admin.closed": 1,
        }


def test_a_provider_sees_what_touched_its_datasets(scene: Scene) -> None:
    of_both = [("query.closed", scene.both), ("query.decided", scene.both)]
    assert scene.seen("alpha", Role.MEMBER) == [("admin.closed", scene.write), ("admin.opened", scene.write), *of_both]
    assert scene.seen("beta", Role.MEMBER) == [("query.decided", scene.energy), *of_both]
    assert scene.seen("labco", Role.MEMBER) == scene.seen("outsider", Role.MEMBER) == []


def test_a_provider_sees_neither_other_datasets_nor_literals_nor_token(scene: Scene) -> None:
    answer = scene.get("/api/v1/audit", "alpha", Role.MEMBER)
    for item in answer.json()["items"]:
        assert [dataset["name"] for dataset in item["datasets"]] in (["cohort"], [])
        assert item["literals"] is None
        assert item["actor"]["token_id"] == ""
    assert "other" not in answer.text
    assert "a literal" not in answer.text


def test_the_operator_of_a_space_sees_its_space(scene: Scene) -> None:
    seen = scene.seen("steward", Role.PARTICIPANT_ADMIN)
    assert {operation for _, operation in seen} == {scene.both, scene.write}
    assert scene.seen("steward", Role.MEMBER) == []


@pytest.mark.parametrize("who", ["alpha", "labco", "ops"])
def test_reading_the_trail_takes_its_scope(scene: Scene, who: str) -> None:
    assert scene.get("/api/v1/audit", who, Role.AUDITOR, scope="catalog:read data:query").status_code == 403


@pytest.mark.parametrize(
    ("parameters", "kinds"),
    [
        ({"dataset": "health/cohort"}, {"query.decided", "query.closed", "admin.opened", "admin.closed"}),
        ({"dataset": "energy.grid"}, {"query.decided"}),
        ({"dataset": "energy/none"}, set()),
        ({"space": "energy"}, {"query.decided"}),
        ({"participant": "outsider"}, {"query.opened", "query.decided"}),
        ({"kind": "query.closed"}, {"query.closed"}),
        ({"from": "2026-11-01T12:00:02Z"}, {"admin.opened", "admin.closed"}),
        ({"to": "2026-11-01T12:00:01Z"}, {"chain.opened", "query.opened", "query.decided"}),
    ],
)
def test_filters(scene: Scene, parameters: dict[str, str], kinds: set[str]) -> None:
    assert {kind for kind, _ in scene.seen("ops", Role.AUDITOR, **parameters)} == kinds


def test_one_operation(scene: Scene) -> None:
    assert {operation for _, operation in scene.seen("ops", Role.AUDITOR, operation=scene.both)} == {scene.both}
    assert scene.seen("beta", Role.MEMBER, operation=scene.write) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"dataset": "nodot"}, {"kind": "nonsense"}, {"from": "2026-11-01T12:00:00"}, {"limit": "0"},
    ],
)  # fmt: skip
def test_malformed_filters_are_refused(scene: Scene, parameters: dict[str, str]) -> None:
    assert scene.get("/api/v1/audit", "ops", Role.AUDITOR, params=parameters).status_code == 422


@pytest.mark.parametrize("cursor", ["x", "YWJj", "MS8yLzM"])
def test_a_made_up_cursor_is_refused(scene: Scene, cursor: str) -> None:
    assert scene.get("/api/v1/audit", "ops", Role.AUDITOR, params={"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("who", [("ops", Role.AUDITOR), ("beta", Role.MEMBER), ("steward", Role.PARTICIPANT_ADMIN)])
def test_pages_join_to_the_whole_list(scene: Scene, who: tuple[str, Role]) -> None:
    whole = scene.seen(*who)
    pages: list[tuple[str, str]] = []
    cursor: str | None = None
    while True:
        parameters = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = scene.get("/api/v1/audit", *who, params=parameters).json()
        pages += [(item["kind"], item["operation"]) for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == whole
    assert len(whole) >= 3


def test_a_caller_learns_what_happened_to_its_own_query(scene: Scene) -> None:
    answer = scene.get(f"/api/v1/queries/{scene.both}", "labco", scope="data:query")
    assert answer.headers["cache-control"] == "private, no-store"
    story = answer.json()
    assert (story["state"], story["outcome"], story["rows"], story["truncated"]) == ("closed", "completed", 7, False)
    assert (story["bytes"], story["sha256"], story["agreements"]) == (99, "ab", ["a1"])
    assert [(one["name"], one["version"]) for one in story["datasets"]] == [("cohort", 3), ("other", 1)]
    assert story["datasets"][0]["policies"] == [
        {"id": "open", "revision": 2, "level": "dataset:health/cohort", "effect": "permit"}
    ]


def test_a_running_query_is_open(scene: Scene) -> None:
    story = scene.get(f"/api/v1/queries/{scene.energy}", "outsider").json()
    assert (story["state"], story["outcome"], story["closed_at"]) == ("open", None, None)


def test_somebody_elses_query_looks_like_an_unknown_one(scene: Scene) -> None:
    answers = [
        scene.get(path, who, Role.MEMBER, scope=scope)
        for path, who, scope in (
            (f"/api/v1/queries/{scene.both}", "outsider", "data:query audit:read"),
            (f"/api/v1/queries/{scene.both}", "alpha", "data:query"),
            (f"/api/v1/queries/{scene.energy}", "alpha", "data:query audit:read"),
            (f"/api/v1/queries/{scene.write}", "alpha", "data:query audit:read"),
            ("/api/v1/queries/unknown", "alpha", "data:query audit:read"),
        )
    ]
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert all(body == bodies[0] for body in bodies)


def test_whoever_may_read_the_trail_sees_the_query_as_far_as_it_concerns_them(scene: Scene) -> None:
    path = f"/api/v1/queries/{scene.both}"
    assert [one["name"] for one in scene.get(path, "alpha", Role.MEMBER).json()["datasets"]] == ["cohort"]
    assert [one["name"] for one in scene.get(path, "ops", Role.AUDITOR).json()["datasets"]] == ["cohort", "other"]
