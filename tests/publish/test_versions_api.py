"""Versions and jobs over HTTP, with signed tokens, real files and real inspectors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datalab.api import versions as endpoints
from datalab.db.database import open_engine
from datalab.publish.jobs import Jobs
from tests.api.gateway import Gateway
from tests.publish.lake import Lake, lake
from tests.registry.world import MACHINE, World

PATH = "/api/v1/datasets/health/cohort/versions"


class Port(Gateway):
    """The gateway of a lake."""

    def __init__(self, shore: Lake, jobs: Jobs) -> None:
        super().__init__(shore.world)
        self.shore = shore
        self.api.state.services = replace(self.api.state.services, versions=shore.versions, jobs=jobs)

    def permit(self, **more: Any) -> None:
        document = {
            "id": "open", "title": "Open", "scope": "dataset:health/cohort", "effect": "permit", "actions": ["query"],
        }  # fmt: skip
        self.world.policies.create(MACHINE, {**document, **more}, reason="test")

    def publish_dataset(self) -> None:
        self.world.datasets.publish(MACHINE, "health", "cohort")


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Port]:
    monkeypatch.setattr(endpoints, "QUICK_S", 60.0)  # a busy machine is slow; the tests of jobs set their own
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    with lake(World(engine).furnish(), tmp_path) as shore:
        jobs = Jobs(shore.jobs_store, clock=shore.world.clock)
        jobs.open()
        yield Port(shore, jobs)
        jobs.close()
    engine.dispose()


def test_a_provider_publishes_reads_and_withdraws(port: Port) -> None:
    port.shore.file("cohort/a.parquet")
    made = port.call("POST", PATH)
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == f"{PATH}/1"
    assert made.json() == {
        "number": 1, "status": "published", "created_at": "2026-11-01T12:00:00Z", "row_count": 2,
        "size_bytes": (port.shore.place / "cohort/a.parquet").stat().st_size, "file_count": 1, "hive_partitioning": False,
        "columns": [
            {"name": "id", "type": "BIGINT", "nullable": True, "partition": False},
            {"name": "age", "type": "BIGINT", "nullable": True, "partition": False},
        ],
        "reason": None, "created": True, "notes": [],
    }  # fmt: skip
    again = port.call("POST", PATH)
    assert (again.status_code, again.json()["created"], again.json()["number"]) == (200, False, 1)
    shown = port.call("GET", f"{PATH}/1").json()
    assert shown == {key: made.json()[key] for key in made.json() if key not in {"reason", "created", "notes"}}
    gone = port.call("DELETE", f"{PATH}/1", params={"reason": "wrong year"})
    assert (gone.status_code, gone.json()["status"], gone.json()["reason"]) == (200, "withdrawn", "wrong year")
    (listed,) = port.call("GET", PATH).json()["items"]
    assert (listed["number"], listed["status"], listed["reason"]) == (1, "withdrawn", "wrong year")


def test_the_files_are_the_providers_and_paged(port: Port) -> None:
    for number in range(3):
        port.shore.file(f"cohort/{number}.parquet")
    port.call("POST", PATH)
    port.permit()
    port.publish_dataset()
    first = port.call("GET", f"{PATH}/1/files", params={"limit": 2}).json()
    assert [file["path"] for file in first["items"]] == ["cohort/0.parquet", "cohort/1.parquet"]
    second = port.call("GET", f"{PATH}/1/files", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [file["path"] for file in second["items"]] == ["cohort/2.parquet"]
    assert second["next_cursor"] is None
    other = port.call("GET", f"{PATH}/1/files", "outsider")
    assert (other.status_code, other.json()["code"]) == (403, "publish.forbidden")


@pytest.mark.parametrize(
    ("obligations", "counts"),
    [
        ({}, True),
        ({"columns": ["age"]}, False),
        ({"rows": {"column": "age", "op": "ge", "value": 18}}, False),
        ({"masks": [{"column": "age", "with": "null"}]}, False),
    ],
)
def test_counts_are_for_callers_without_restrictions_and_paths_for_none(
    obligations: dict[str, Any], counts: bool, port: Port
) -> None:
    port.shore.file("cohort/a.parquet")
    port.call("POST", PATH)
    port.permit(obligations=obligations)
    port.publish_dataset()
    expected = {"number", "status", "created_at"} | ({"row_count", "size_bytes", "file_count"} if counts else set())
    for answer in (port.call("GET", PATH, "outsider"), port.call("GET", f"{PATH}/1", "outsider")):
        shown = answer.json()["items"][0] if "items" in answer.json() else answer.json()
        assert set(shown) == expected
        assert "parquet" not in answer.text


def test_others_see_published_versions_only(port: Port) -> None:
    port.permit()
    port.publish_dataset()
    for number in range(3):
        port.shore.file(f"cohort/{number}.parquet")
        assert port.call("POST", PATH).status_code == 201
    port.call("DELETE", f"{PATH}/2")
    port.shore.versions.mark_broken("health", "cohort", 1, ["x"])
    assert [one["number"] for one in port.call("GET", PATH, "outsider").json()["items"]] == [3]
    assert [one["status"] for one in port.call("GET", PATH).json()["items"]] == ["published", "withdrawn", "broken"]
    for number in (1, 2, 4):
        assert port.call("GET", f"{PATH}/{number}", "outsider").status_code == 404
    first = port.call("GET", PATH, params={"limit": 2}).json()
    second = port.call("GET", PATH, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [one["number"] for one in first["items"] + second["items"]] == [3, 2, 1]


def test_a_hidden_dataset_is_as_absent_as_none(port: Port) -> None:
    port.shore.file("cohort/a.parquet")
    port.call("POST", PATH)
    for method, rest in (("POST", ""), ("GET", ""), ("GET", "/1"), ("GET", "/1/files"), ("DELETE", "/1")):
        answers = [
            port.call(method, f"/api/v1/datasets/health/{name}/versions{rest}", "beta")
            for name in ("cohort", "nothing")
        ]
        documents = [
            answer.text.replace("nothing", "cohort").replace(answer.json()["request_id"], "") for answer in answers
        ]
        assert documents[0] == documents[1]
        assert answers[0].status_code == answers[1].status_code == 404


def test_who_sees_it_but_does_not_own_it_is_forbidden_to_write(port: Port) -> None:
    port.shore.file("cohort/a.parquet")
    port.call("POST", PATH)
    port.permit()
    port.publish_dataset()
    for method, rest in (("POST", ""), ("DELETE", "/1")):
        answer = port.call(method, PATH + rest, "beta")
        assert (answer.status_code, answer.json()["code"]) == (403, "publish.forbidden")


@pytest.mark.parametrize(
    ("method", "rest", "scope"),
    [("POST", "", "catalog:read"), ("DELETE", "/1", "catalog:read"), ("GET", "", "datasets:write")],
)
def test_each_call_needs_its_scope(method: str, rest: str, scope: str, port: Port) -> None:
    answer = port.call(method, PATH + rest, scope=scope)
    assert (answer.status_code, answer.json()["code"]) == (403, "token.scope")


def test_a_refusal_names_the_file_and_how_it_differs(port: Port) -> None:
    port.shore.file("cohort/a.parquet")
    port.shore.file("cohort/b.parquet")
    port.shore.file("cohort/part-7.parquet", {"id": [1], "age": ["old"]})
    answer = port.call("POST", PATH)
    assert (answer.status_code, answer.json()["code"]) == (422, "publish.schema_differs")
    assert answer.json()["detail"] == "cohort/part-7.parquet: column age is VARCHAR, elsewhere BIGINT."
    assert answer.json()["problems"][0]["path"] == "cohort/part-7.parquet"
    assert port.call("GET", PATH).json()["items"] == []


def test_nothing_at_the_location_is_a_refusal(port: Port) -> None:
    (port.shore.place / "cohort").mkdir()
    answer = port.call("POST", PATH)
    assert (answer.status_code, answer.json()["code"]) == (422, "storage.empty")


def test_what_takes_longer_is_a_job_with_progress(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "QUICK_S", 0.0)
    port.shore.file("cohort/a.parquet")
    accepted = port.call("POST", PATH)
    assert accepted.status_code == 202
    assert accepted.json()["state"] in {"queued", "running"}
    assert accepted.headers["Retry-After"] == "1"
    where = accepted.headers["Location"]
    job = _finished(port, where)
    assert (job["state"], job["done"], job["total"]) == ("done", 1, 1)
    assert (job["version"]["number"], job["version"]["created"]) == (1, True)
    assert port.call("GET", where, "beta").status_code == 404


def test_a_job_that_fails_says_why(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "QUICK_S", 0.0)
    port.shore.file("cohort/a.parquet").write_bytes(b"PAR1 this was never a file PAR1")
    job = _finished(port, port.call("POST", PATH).headers["Location"])
    assert (job["state"], job["problem"]["code"]) == ("failed", "publish.corrupt")
    assert job["problem"]["detail"]["problems"][0]["path"] == "cohort/a.parquet"


@pytest.mark.parametrize("rest", ["/0", "/-1", "/99999999999", "/x", "?cursor=QUFB", "/1/files?cursor=YQ"])
def test_hostile_numbers_and_cursors_are_refused(rest: str, port: Port) -> None:
    port.shore.file("cohort/a.parquet")
    port.call("POST", PATH)
    assert 400 <= port.call("GET", PATH + rest).status_code < 500


def _finished(port: Port, where: str) -> dict[str, Any]:
    for _ in range(200):
        job: dict[str, Any] = port.call("GET", where).json()
        if job["state"] not in {"queued", "running"}:
            return job
        time.sleep(0.05)
    raise AssertionError("the job does not end")
