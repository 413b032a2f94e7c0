"""The engine on real workers over a real S3 server: plain, under TLS with a private authority, and when a file changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.s3 import S3Connector
from datalab.flow.errors import FlowError, PlanConflict
from datalab.flow.plan import Plan, Source, View, read_parquet
from datalab.flow.pool import EngineOptions
from datalab.flow.request import Format, Query
from tests.connectors.conftest import S3Place
from tests.flow.conftest import ROWS, MakePlan
from tests.flow.test_engine import answer, ask, on_engine
from tests.servers.seaweedfs import SeaweedFS

COUNT = "SELECT count(*) AS n, max(id) AS last FROM lab.people"


@pytest.fixture
def place(s3_server: SeaweedFS, tmp_path: Path, files: Path) -> Iterator[S3Place]:
    found = S3Place(s3_server, tmp_path)
    found.put("people/part.parquet", (files / "people" / "part.parquet").read_bytes())
    yield found
    found.connector.close()


def over_s3(plan: Plan, storage: S3Connector) -> Plan:
    """The same plan with its one dataset on S3."""
    found = list(storage.list("people"))
    (source,), (view,) = plan.sources, plan.views
    version = replace(source.version, files=tuple(file.entry(ROWS) for file in found))
    relation = read_parquet(storage.engine_paths([file.path for file in found]), version)
    return replace(
        plan,
        access=(storage.engine_access(),),
        views=(View(schema=view.schema, name=view.name, select=f"SELECT * FROM {relation}"),),
        sources=(Source(dataset=source.dataset, version=version, connector=storage),),
    )


def counted(body: bytes) -> object:
    return json.loads(body)["rows"]


def test_a_query_reads_s3(place: S3Place, make_plan: MakePlan, options: EngineOptions) -> None:
    plan = over_s3(make_plan(ask(COUNT)), place.connector)
    body = on_engine(options, lambda engine: answer(engine, plan))
    assert counted(body) == [[ROWS, ROWS - 1]]


def test_a_query_reads_s3_under_tls_with_a_private_authority(
    place: S3Place, make_plan: MakePlan, options: EngineOptions
) -> None:
    record = place.storage(endpoint=place.server.tls_endpoint, ca_pem=place.server.certificates.authority)
    with place.connect(record) as storage:
        plan = over_s3(make_plan(Query(sql=COUNT, format=Format.JSON)), storage)
        body = on_engine(options, lambda engine: answer(engine, plan))
    assert counted(body) == [[ROWS, ROWS - 1]]


def test_keys_that_no_longer_work_end_the_query_without_their_text(
    place: S3Place, make_plan: MakePlan, options: EngineOptions
) -> None:
    plan = over_s3(make_plan(ask(COUNT)), place.connector)
    (access,) = plan.access
    broken = replace(plan, access=(replace(access, secret="wrong-secret"),))
    with pytest.raises(FlowError) as caught:
        on_engine(options, lambda engine: answer(engine, broken))
    assert "secret" not in f"{caught.value} {caught.value.detail}"
    assert place.bucket not in f"{caught.value} {caught.value.detail}"


def test_a_file_replaced_after_registration_is_a_conflict(
    place: S3Place, make_plan: MakePlan, options: EngineOptions, files: Path
) -> None:
    plan = over_s3(make_plan(ask(COUNT)), place.connector)
    place.put("people/part.parquet", (files / "people" / "part.parquet").read_bytes() + b"\n")
    with pytest.raises(PlanConflict):
        on_engine(options, lambda engine: answer(engine, plan))
