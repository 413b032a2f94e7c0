"""The same gateway on PostgreSQL: init, apply, publish, query, a withdrawn policy and the audit trail, as its users meet them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.conftest import opened
from tests.running import run
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.slow


def test_a_gateway_on_postgresql_serves_governs_and_audits(postgres_server: Postgres, tmp_path: Path) -> None:
    url = postgres_server.create_database("gateway_smoke")
    with opened(tmp_path, DATALAB_DATABASE_URL=url) as gateway:
        assert gateway.rows("maker", "SELECT count(*) FROM demo.people") == [[2000]]
        again = gateway.call("POST", "/api/v1/datasets/demo/people/versions", "clinic", json={})
        assert again.status_code == 200, again.text  # exactly what is published already
        policy = {
            "id": "people_forbidden",
            "title": "Not any more",
            "scope": "dataset:demo/people",
            "effect": "forbid",
            "actions": ["aggregate"],
            "when": "true",
        }
        made = gateway.call("POST", "/api/v1/policies", "clinic", json=policy)
        assert made.status_code == 201, made.text
        assert gateway.query("maker", "SELECT count(*) FROM demo.people").status_code == 403
        trail = gateway.call("GET", "/api/v1/audit?dataset=demo.people&kind=query.closed", "clinic").json()["items"]
        assert [one["details"]["outcome"] for one in trail][-1:] == ["completed"]
    verified = run("audit", "verify", "--home", str(tmp_path / "home"), DATALAB_DATABASE_URL=url)
    assert verified.returncode == 0, verified.stdout + verified.stderr
