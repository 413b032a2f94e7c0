"""Real files of all kinds through a real inspector process."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datalab.publish.errors import FilesRefused, InspectionFailed
from datalab.publish.inspection import Inspected

Inspect = Callable[..., Inspected]


def write(path: Path, table: pa.Table | dict[str, list[Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, **options)
    return path


def refused(inspect: Inspect, *arguments: Any) -> FilesRefused:
    with pytest.raises(FilesRefused) as caught:
        inspect(*arguments)
    return caught.value


def test_one_file_yields_its_rows_size_identity_and_columns(lake: Path, inspect_lake: Inspect) -> None:
    file = write(lake / "a.parquet", {"id": [1, 2, 3], "name": ["x", None, "z"]})
    found = inspect_lake()
    status = file.stat()
    assert [(one.path, one.rows, one.size_bytes, one.inode, one.mtime_ns) for one in found.files] == [
        ("a.parquet", 3, status.st_size, status.st_ino, status.st_mtime_ns)
    ]
    assert [(column.name, column.type, column.nullable, column.partition) for column in found.columns] == [
        ("id", "BIGINT", True, False),
        ("name", "VARCHAR", True, False),
    ]
    assert pa.ipc.read_schema(pa.py_buffer(found.arrow_schema)) == pa.schema({"id": pa.int64(), "name": pa.string()})
    assert (found.row_count, found.size_bytes, found.hive_partitioning) == (3, status.st_size, False)


def test_real_column_names_are_kept(lake: Path, inspect_lake: Inspect) -> None:
    names = [
        "Blood pressure [mmHg]",
        'quoted "name"',
        "größe",
        "SELECT",
        "100 %",
        "a.b",
        "emoji 🩺",
        "it's",
        " padded ",
    ]
    write(lake / "a.parquet", {name: [1] for name in names})
    assert [column.name for column in inspect_lake().columns] == names


ALL_TYPES = pa.table({
    "b": pa.array([True]), "i8": pa.array([1], pa.int8()), "i16": pa.array([1], pa.int16()),
    "i32": pa.array([1], pa.int32()), "i64": pa.array([1], pa.int64()), "u8": pa.array([1], pa.uint8()),
    "u16": pa.array([1], pa.uint16()), "u32": pa.array([1], pa.uint32()), "u64": pa.array([1], pa.uint64()),
    "f32": pa.array([1], pa.float32()), "f64": pa.array([1.0]), "dec": pa.array([decimal.Decimal("1.50")]),
    "s": pa.array(["x"]), "ls": pa.array(["x"], pa.large_string()), "bin": pa.array([b"x"]),
    "date": pa.array([dt.date(2020, 1, 1)]), "time": pa.array([dt.time(1)]),
    "ts": pa.array([dt.datetime(2020, 1, 1)]), "ts_ns": pa.array([1], pa.timestamp("ns")),
    "tz": pa.array([1], pa.timestamp("us", tz="Europe/Berlin")), "uuid": pa.array([b"0" * 16], pa.uuid()),
    "json": pa.array(["{}"], pa.json_()), "list": pa.array([[1]]), "struct": pa.array([{"a": 1, "b": "x"}]),
    "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "dict": pa.array(["x"]).dictionary_encode(),
    "null": pa.nulls(1), "fixed_list": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
})  # fmt: skip


def test_types_are_those_that_duckdb_sees(lake: Path, inspect_lake: Inspect) -> None:
    file = write(lake / "a.parquet", ALL_TYPES)
    with duckdb.connect() as connection:
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{file}')").fetchall()
        arrow = connection.execute(f"SELECT * FROM read_parquet('{file}')").to_arrow_table().schema
    found = inspect_lake()
    assert [(column.name, column.type) for column in found.columns] == [(name, type_) for name, type_, *_ in described]
    assert pa.ipc.read_schema(pa.py_buffer(found.arrow_schema)) == arrow


def test_files_of_duckdb_are_read(lake: Path, inspect_lake: Inspect) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT range AS id, INTERVAL 1 DAY AS span FROM range(5)) TO '{lake}/a.parquet'")
    found = inspect_lake()
    assert [(column.name, column.type) for column in found.columns] == [("id", "BIGINT"), ("span", "INTERVAL")]
    assert found.row_count == 5


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_every_codec_that_duckdb_reads_is_accepted(codec: str, lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", {"id": [1]}, compression=codec)
    assert inspect_lake().row_count == 1


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (pa.array([decimal.Decimal(1)], pa.decimal256(50, 2)), "decimal of 50 digits"),
    ],
)
def test_a_type_that_duckdb_would_only_approximate_is_refused(
    column: pa.Array, problem: str, lake: Path, inspect_lake: Inspect
) -> None:
    write(lake / "a.parquet", pa.table({"x": column}))
    refusal = refused(inspect_lake)
    assert refusal.code == "publish.type"
    assert problem in refusal.sentence


@pytest.mark.parametrize("expression", ["'POINT(1 2)'::GEOMETRY", "1::VARIANT"])
def test_a_type_that_no_exit_can_encode_is_refused(expression: str, lake: Path, inspect_lake: Inspect) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {expression} AS x) TO '{lake}/a.parquet'")
    refusal = refused(inspect_lake)
    assert refusal.code == "publish.type"
    assert "x" in refusal.sentence


def test_files_without_rows_are_fine(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", pa.table({"id": pa.array([], pa.int64())}))
    write(lake / "b.parquet", {"id": [1]})
    assert [file.rows for file in inspect_lake().files] == [0, 1]


def test_many_row_groups_are_counted(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", {"id": list(range(1000)), "l": [[1, 2]] * 1000}, row_group_size=10)
    assert inspect_lake().row_count == 1000


def test_a_footer_longer_than_the_first_read_is_read(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", {f"column {number}": [number] for number in range(1500)})
    assert len(inspect_lake().columns) == 1500


def test_a_file_of_another_type_is_named_with_both_types(lake: Path, inspect_lake: Inspect) -> None:
    for number in range(9):
        write(lake / f"part-{number}.parquet", pa.table({"age": pa.array([1], pa.int32())}))
    write(lake / "part-7.parquet", {"age": ["old"]})
    refusal = refused(inspect_lake)
    assert refusal.code == "publish.schema_differs"
    assert refusal.sentence == "part-7.parquet: column age is VARCHAR, elsewhere INTEGER."


def test_the_rule_is_what_most_files_have_even_when_the_first_differs(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", {"age": ["old"]})
    write(lake / "b.parquet", {"age": [1]})
    write(lake / "c.parquet", {"age": [1]})
    assert refused(inspect_lake).sentence == "a.parquet: column age is VARCHAR, elsewhere BIGINT."


@pytest.mark.parametrize(
    ("columns", "how"),
    [
        ({"id": [1]}, "column name is missing, elsewhere it is VARCHAR"),
        ({"id": [1], "name": ["x"], "more": [1]}, "column more is not in the other files"),
        ({"name": ["x"], "id": [1]}, "column 1 is name, elsewhere id: the order of columns must be the same"),
        ({"id": [1], "Name": ["x"]}, "column Name is written name elsewhere"),
    ],
)
def test_every_way_to_differ_is_said(
    columns: dict[str, list[Any]], how: str, lake: Path, inspect_lake: Inspect
) -> None:
    for name in "ab":
        write(lake / f"{name}.parquet", {"id": [1], "name": ["x"]})
    write(lake / "c.parquet", columns)
    assert refused(inspect_lake).sentence == f"c.parquet: {how}."


def test_files_may_differ_in_what_may_be_null(lake: Path, inspect_lake: Inspect) -> None:
    strict = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("x", pa.int64(), nullable=False)])
    loose = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("x", pa.int64())])
    write(lake / "a.parquet", pa.table({"id": [1], "x": [1]}, schema=strict))
    write(lake / "b.parquet", pa.table({"id": [1], "x": [None]}, schema=loose))
    assert [(column.name, column.nullable) for column in inspect_lake().columns] == [("id", False), ("x", True)]


def test_names_equal_up_to_capitals_are_refused(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", {"Age": [1], "age": [1]})
    refusal = refused(inspect_lake)
    assert refusal.code == "publish.column_twice"
    assert refusal.sentence == ("a.parquet has column age twice: names must differ by more than capitals.")


def test_the_same_name_twice_is_refused(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]))
    assert refused(inspect_lake).code == "publish.column_twice"


def test_a_column_without_a_name_is_refused(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", {"": [1]})
    assert refused(inspect_lake).code == "publish.column_name"


def test_many_files_report_progress_and_share_processes(lake: Path, inspect_lake: Inspect) -> None:
    first = write(lake / "000.parquet", {"id": [1]})
    for number in range(1, 300):
        (lake / f"{number:03}.parquet").write_bytes(first.read_bytes())
    found = inspect_lake(processes=3, files_per_process=50)
    assert [file.path for file in found.files] == [f"{number:03}.parquet" for number in range(300)]
    assert found.row_count == 300


def test_an_inspection_that_takes_too_long_is_ended(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "a.parquet", {"id": [1]})
    with pytest.raises(InspectionFailed) as caught:
        inspect_lake(timeout_s=0.01)
    assert caught.value.code == "publish.time"


def test_a_process_without_memory_fails_without_blaming_a_file_of_its_own_accord(
    lake: Path, inspect_lake: Inspect
) -> None:
    write(lake / "a.parquet", {"id": [1]})
    with pytest.raises((InspectionFailed, FilesRefused)):
        inspect_lake(memory_bytes=1 << 20)
