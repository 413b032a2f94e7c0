"""A hospital's way over HTTP: a bucket, a dataset in it, a version, a policy; and what happens when its files change."""

from __future__ import annotations

import io
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.running import Running
from tests.servers.seaweedfs import READER, SeaweedFS

pytestmark = pytest.mark.xdist_group("gateway")


def put(server: SeaweedFS, key: str, table: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    body = sink.getvalue()
    server.client().put_object("hospital", key, io.BytesIO(body), len(body))


def admissions(year: int, rows: int) -> pa.Table:
    return pa.table(
        {
            "Patient ID": [f"p{year}-{number}" for number in range(rows)],
            "year": [year] * rows,
            "Größe (cm)": [150.0 + number % 40 for number in range(rows)],
        }
    )


def created(answer: Any) -> Any:
    assert answer.status_code in {200, 201}, answer.text
    return answer


def test_a_bucket_becomes_a_governed_dataset_and_a_changed_file_is_never_served(
    gateway: Running, s3_server: SeaweedFS
) -> None:
    s3_server.client().make_bucket("hospital")
    for year in (2020, 2021):
        put(s3_server, f"cohort/year={year}/part-0.parquet", admissions(year, 50).drop_columns("year"))
    storage = {
        "id": "ward",
        "participant": "clinic",
        "kind": "s3",
        "endpoint": s3_server.endpoint,
        "bucket": "hospital",
        "credentials": {"access_key": READER.key_id, "secret_key": READER.secret},
    }
    shown = created(gateway.call("POST", "/api/v1/storages", "clinic", json=storage))
    assert READER.secret not in shown.text
    dataset = {
        "space": "demo",
        "name": "cohort",
        "provider": "clinic",
        "lab": "lab",
        "title": {"en": "Cohort"},
        "licence": "CC-BY-4.0",
        "personal_data": "pseudonymised",
        "roles": {"person_id": "Patient ID"},
        "storage": "ward",
        "location": "cohort/",
    }
    created(gateway.call("POST", "/api/v1/datasets", "clinic", json=dataset))
    first = publish(gateway)
    assert first["number"] == 1
    draft = gateway.call("GET", "/api/v1/datasets/demo/cohort", "clinic")
    etag = draft.headers["etag"]
    change = {"status": "published"}
    created(gateway.call("PATCH", "/api/v1/datasets/demo/cohort", "clinic", json=change, headers={"If-Match": etag}))
    assert gateway.query("maker", "SELECT * FROM demo.cohort").status_code == 404  # no policy yet
    policy = {
        "id": "cohort_for_makers",
        "title": "Makers see pseudonyms of recent years",
        "scope": "dataset:demo/cohort",
        "effect": "permit",
        "actions": ["query"],
        "when": 'principal.kind == "startup"',
        "obligations": {
            "columns": ["Patient ID", "year", "Größe (cm)"],
            "rows": {"column": "year", "op": "ge", "value": 2021},
            "masks": [{"role": "person_id", "with": "hash"}],
        },
    }
    created(gateway.call("POST", "/api/v1/policies", "clinic", json=policy))
    sql = 'SELECT count(*), min(year), max(length("Patient ID")), max("Größe (cm)") FROM demo.cohort'
    assert gateway.rows("maker", sql) == [[50, 2021, 32, 189.0]]

    put(s3_server, "cohort/year=2021/part-0.parquet", admissions(2021, 60).drop_columns("year"))
    changed = gateway.query("maker", sql)
    assert (changed.status_code, changed.json()["code"]) == (409, "plan.changed")
    broken = gateway.query("maker", sql)
    assert broken.status_code == 409
    assert publish(gateway)["number"] == 2
    assert gateway.rows("maker", sql) == [[60, 2021, 32, 189.0]]


def publish(gateway: Running) -> Any:
    """The version that was published, by the job if it took longer."""
    answer = gateway.call("POST", "/api/v1/datasets/demo/cohort/versions", "clinic", json={})
    assert answer.status_code in {200, 201, 202}, answer.text
    while answer.status_code == 202 or answer.json().get("state") == "running":
        time.sleep(0.2)
        answer = gateway.call("GET", answer.headers.get("location") or f"/api/v1/jobs/{answer.json()['id']}", "clinic")
        assert answer.status_code == 200, answer.text
    return answer.json().get("version", answer.json()) if "number" not in answer.json() else answer.json()
