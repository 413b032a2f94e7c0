"""The real tables of the demo: every one is inspected, and looks as DuckDB reads it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import datalab.app.demo
from datalab.publish.inspection import inspect
from datalab.publish.process import Limits
from datalab.publish.source import connect
from tests.publish.conftest import local_source

FILES = Path(datalab.app.demo.__file__).parent / "content" / "files"
TABLES = sorted({file.parent.relative_to(FILES).as_posix() for file in FILES.rglob("*.parquet")})


def test_there_are_at_least_eight() -> None:
    assert len(TABLES) >= 8


@pytest.mark.parametrize("table", TABLES)
def test_a_demo_table_is_inspected_as_it_is_read(table: str, home: Path) -> None:
    source = local_source(FILES, home)
    with connect(source) as connector:
        files = list(connector.list(table))
    found = inspect(source, files, Limits())
    with duckdb.connect() as connection:
        scan = f"read_parquet('{FILES}/{table}/*.parquet', hive_partitioning=false)"
        described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
        counted = connection.execute(f"SELECT count(*) FROM {scan}").fetchone()
    assert [(column.name, column.type) for column in found.columns] == [(name, type_) for name, type_, *_ in described]
    assert counted == (found.row_count,)
