"""TPC-H as Parquet, made once by tpchgen-cli, and its 22 queries over two-part names.

Owns `benchmarks/data`. The queries come from DuckDB's tpch extension; only their table names are changed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import duckdb_extension_tpch
import sqlglot
from sqlglot import exp

HERE = Path(__file__).parent
DATA = HERE / "data"
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")


def tpch(scale: float = 1) -> Path:
    """The directory with a directory of Parquet files for each table."""
    directory = DATA / f"sf{scale:g}"
    if not (directory / "done").exists():
        made = directory / "made"
        made.mkdir(parents=True, exist_ok=True)
        tool = Path(sys.executable).with_name("tpchgen-cli")
        subprocess.run([tool, "parquet", "-s", f"{scale:g}", "--output-dir", made], check=True, capture_output=True)
        for table in TABLES:
            (directory / table).mkdir(exist_ok=True)
            (made / f"{table}.parquet").rename(directory / table / f"{table}.parquet")
        (directory / "done").touch()
    return directory


def queries() -> list[str]:
    """The 22, with `tpch.` before each table's name."""
    extension = next(Path(duckdb_extension_tpch.__path__[0]).rglob("tpch.duckdb_extension"))
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        texts = [row[0] for row in connection.execute("SELECT query FROM tpch_queries() ORDER BY query_nr").fetchall()]
    return [_qualified(text) for text in texts]


def _qualified(text: str) -> str:
    tree = sqlglot.parse_one(text.rstrip().rstrip(";"), dialect="duckdb")
    for table in tree.find_all(exp.Table):
        if table.name.lower() in TABLES:
            table.set("db", exp.to_identifier("tpch"))
    return tree.sql(dialect="duckdb")


def in_process(directory: Path, threads: int = 2) -> duckdb.DuckDBPyConnection:
    """Raw DuckDB over the same files, under the same names."""
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("CREATE SCHEMA tpch")
    for table in TABLES:
        connection.execute(
            f"CREATE VIEW tpch.{table} AS SELECT * FROM read_parquet('{directory}/{table}/{table}.parquet')"
        )
    return connection
