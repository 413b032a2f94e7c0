"""A plan by hand: real Parquet files on disk, the real connector, a decision that restricts nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import duckdb_extension_httpfs
import pyarrow.parquet as pq
import pytest

from catalog.entities import Column, Dataset, Version
from connectors.local import LocalConnector
from datalab.flow.decision import Decision
from datalab.flow.plan import Plan, Source, View, read_parquet
from datalab.flow.pool import EngineOptions
from datalab.flow.request import Query
from datalab.flow.statement import parse
from policies.columntypes import column_type
from policies.model import Action
from policies.ruling import Grant, Ruling
from policies.shape import Shape, ShapeColumn

HTTPFS = str(next(Path(duckdb_extension_httpfs.__path__[0]).rglob("httpfs.duckdb_extension")))

ROWS = 200_000
SECRET_SQL = (
    f"SELECT range AS id, CASE WHEN range % 2 = 0 THEN 'FI' ELSE 'SE' END AS country, "
    f"'secret-' || range || '-' || country AS name FROM range({ROWS})"
)

MakePlan = Callable[..., Plan]


@pytest.fixture
def options(tmp_path: Path) -> EngineOptions:
    return EngineOptions(httpfs=HTTPFS, temp_root=str(tmp_path / "workers"), timeout_s=20, spares=0)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A storage root with one data set of 200,000 rows: `people/part.parquet`."""
    root = tmp_path / "data"
    (root / "people").mkdir(parents=True)
    duckdb.connect().execute(f"COPY ({SECRET_SQL}) TO '{root}/people/part.parquet' (FORMAT parquet)")
    return root


@pytest.fixture
def make_plan(files: Path, tmp_path: Path) -> MakePlan:
    """Plans over `lab.people`; keyword `select` replaces the view's text after `SELECT`, `{relation}` its relation."""
    home = tmp_path / "home"
    home.mkdir()

    def make(
        query: Query, *, key: str = "k", select: str = "* FROM {relation}", policy_max_rows: int | None = None
    ) -> Plan:
        connector = LocalConnector(str(files), roots=[files.parent], home=home)
        found = list(connector.list("people"))
        schema = pq.read_schema(files / "people" / "part.parquet")
        version = Version(
            dataset_uid="d1",
            number=1,
            files=tuple(one.entry(ROWS) for one in found),
            columns=tuple(Column(name=name, type="VARCHAR") for name in schema.names),
            arrow_schema=schema.serialize().to_pybytes(),
            row_count=ROWS,
            size_bytes=1,
        )
        dataset = Dataset(
            uid="d1",
            space="lab",
            name="people",
            provider="p",
            lab="l",
            title={"en": "People"},
            storage="s",
            location="",
        )
        columns = tuple(ShapeColumn(c.name, column_type(c.type), column_type(c.type)) for c in version.columns)
        grant = Grant(action=Action.QUERY, shape=Shape(levels=(), columns=columns), policies=())
        relation = read_parquet(connector.engine_paths([one.path for one in found]), version)
        return Plan(
            key=key,
            access=(connector.engine_access(),),
            views=(View(schema="lab", name="people", select="SELECT " + select.format(relation=relation)),),
            sources=(Source(dataset="lab.people", version=version, connector=connector),),
            query=query,
            tables=parse(query.sql).tables,
            decisions=(
                Decision(
                    dataset=dataset, version=version, action=Action.QUERY, ruling=Ruling(discover=True), grant=grant
                ),
            ),
            policy_max_rows=policy_max_rows,
            metadata={},
        )

    return make
