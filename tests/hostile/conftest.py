"""A real engine as the worker locks it: views over Parquet, no way out, and nothing else in its catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import duckdb_extension_tpch
import pytest

from datalab.flow.parse import SERIALIZE
from tests.hostile.corpus import DATASETS

TPCH = str(next(Path(duckdb_extension_tpch.__path__[0]).rglob("tpch.duckdb_extension")))
LOCK = (
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
    "SET python_enable_replacements=false",
    "SET threads=2",
    "SET enable_external_access=false",
    "SET lock_configuration=true",
)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Parquet file per dataset, `space.name.parquet`, TPC-H at scale 0.01 among them."""
    directory = tmp_path_factory.mktemp("hostile")
    with duckdb.connect() as connection:
        for name, select in DATASETS.items():
            connection.execute(f"COPY ({select}) TO '{directory}/{name}.parquet' (FORMAT parquet)")
        connection.execute(f"LOAD '{TPCH}'; CALL dbgen(sf=0.01)")
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            connection.execute(f"COPY {table} TO '{directory}/tpch.{table}.parquet' (FORMAT parquet)")
    return directory


@pytest.fixture(scope="session")
def engine(files: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked instance with a view for each dataset except `demo.secret`."""
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS datalab_local; USE datalab_local")
        for file in sorted(files.glob("*.parquet")):
            space, name = file.stem.split(".")
            if name != "secret":
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {space}")
                connection.execute(f"CREATE VIEW {space}.{name} AS SELECT * FROM read_parquet('{file}')")
        connection.execute(f"SET allowed_directories=['{files}/']")
        for statement in LOCK:
            connection.execute(statement)
        yield connection


@pytest.fixture(scope="session")
def serialize(engine: duckdb.DuckDBPyConnection) -> Callable[[str], str]:
    """The engine's own parse of a statement, as JSON text."""

    def ask(sql: str) -> str:
        row = engine.execute(SERIALIZE, [sql]).fetchone()
        assert row is not None
        return str(row[0])

    return ask
