"""Hive partitions: what we say of them is what DuckDB makes of the same paths with the same options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datalab.publish.errors import FilesRefused
from datalab.publish.inspection import Inspected
from datalab.publish.partitions import PartitionsRefused, detect, segments, type_of

Inspect = Callable[..., Inspected]


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"v": [1]}), path)
    return path


VALUES = [
    ["1"], ["1", "22"], ["0"], ["-5"], ["01"], ["01", "02"], ["9999999999999999999"], ["1.5"], ["1e3"], ["true"], ["x", "1"],
    ["2020-01-01"], ["2020-01-01", "2020-12-31"], ["2020-13-01"], ["2020-01-01 10:00:00"], ["12:00"],
    ["__HIVE_DEFAULT_PARTITION__", "1"], ["__HIVE_DEFAULT_PARTITION__", "x"], ["NULL", "7"], ["", "1"], ["2020-1-1"],
    ["2020-01-01%2010%3A00%3A00"], ["%31"], ["S%C3%A3o"], ["100%"],
]  # fmt: skip


@pytest.mark.parametrize("values", VALUES, ids=repr)
def test_types_are_those_that_duckdb_detects(values: list[str], lake: Path, inspect_lake: Inspect) -> None:
    files = [str(write(lake / f"k={value}" / "p.parquet")) for value in values]
    with duckdb.connect() as connection:
        theirs = connection.execute("SELECT * FROM read_parquet($1, hive_partitioning=true)", [sorted(files)])
        expected = [(name, str(type_)) for name, type_, *_ in theirs.description]
    found = inspect_lake()
    if values != ["2020-1-1"]:  # DuckDB also takes dates without zeros; we keep to the usual form
        assert [(column.name, column.type) for column in found.columns] == expected
    assert [column.partition for column in found.columns] == [False, True]


def test_values_read_with_our_types_are_those_of_the_paths(lake: Path, inspect_lake: Inspect) -> None:
    for place in ("year=2020/country=DE", "year=2021/country=FR", "year=__HIVE_DEFAULT_PARTITION__/country=IT"):
        write(lake / place / "p.parquet")
    found = inspect_lake()
    assert [(column.name, column.type) for column in found.columns] == [
        ("v", "BIGINT"), ("country", "VARCHAR"), ("year", "BIGINT"),
    ]  # fmt: skip
    types = "{'year': BIGINT, 'country': VARCHAR}"
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT year, country FROM read_parquet($1, hive_partitioning=true, hive_types={types}) ORDER BY 2",
            [[str(lake / file.path) for file in found.files]],
        ).fetchall()
    assert rows == [(2020, "DE"), (2021, "FR"), (None, "IT")]


def test_partitions_come_last_and_sorted_as_duckdb_has_them(lake: Path, inspect_lake: Inspect) -> None:
    file = write(lake / "z=1" / "ä=5" / "a=2" / "M=3" / "p.parquet")
    with duckdb.connect() as connection:
        theirs = connection.execute("SELECT * FROM read_parquet($1, hive_partitioning=true)", [str(file)])
        expected = [name for name, *_ in theirs.description]
    assert [column.name for column in inspect_lake().columns] == expected == ["v", "M", "a", "z", "ä"]


def test_a_key_with_quotes_or_spaces_is_a_column_like_others(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "the year's=2020" / "p.parquet")
    assert [(column.name, column.type) for column in inspect_lake().columns] == [
        ("v", "BIGINT"), ("the year's", "BIGINT"),
    ]  # fmt: skip


def test_a_key_with_a_percent_escape_is_the_name_as_it_stands(lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "k%20x=1" / "p.parquet")
    assert [column.name for column in inspect_lake().columns] == ["v", "k%20x"]


@pytest.mark.parametrize("key", ["v", "V"])
def test_a_key_that_is_a_column_is_refused(key: str, lake: Path, inspect_lake: Inspect) -> None:
    write(lake / f"{key}=1" / "p.parquet")
    with pytest.raises(FilesRefused) as caught:
        inspect_lake()
    assert caught.value.code == "publish.partition_column"


@pytest.mark.parametrize(
    ("other", "how"),
    [
        ("p.parquet", "p.parquet lies in no partition, elsewhere files lie in partitions of k."),
        ("k=1/l=2/p.parquet", "k=1/l=2/p.parquet lies in partitions of k, l, elsewhere files lie in partitions of k."),
        ("l=1/p.parquet", "l=1/p.parquet lies in partitions of l, elsewhere files lie in partitions of k."),
    ],
)
def test_files_in_other_partitions_are_named(other: str, how: str, lake: Path, inspect_lake: Inspect) -> None:
    write(lake / "k=1" / "a.parquet")
    write(lake / other)
    with pytest.raises(FilesRefused) as caught:
        inspect_lake()
    assert caught.value.code == "publish.partitions"
    assert caught.value.sentence == how


def test_a_key_twice_in_one_path_is_refused() -> None:
    with pytest.raises(PartitionsRefused):
        detect(["k=1/K=2/p.parquet"])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a/b.parquet", ()), ("k=1/b.parquet", (("k", "1"),)), ("k=1=2/b.parquet", ()), ("=1/b.parquet", ()),
        ("k=/b.parquet", (("k", ""),)), ("x/k=1/y/l=2/b.parquet", (("k", "1"), ("l", "2"))), ("k=1.parquet", ()),
    ],
)  # fmt: skip
def test_only_directories_with_one_equals_sign_count(path: str, found: tuple[tuple[str, str], ...]) -> None:
    assert segments(path) == found


def test_null_alone_has_no_other_type_than_text() -> None:
    assert type_of(["__HIVE_DEFAULT_PARTITION__"]) == "VARCHAR"
