"""Result encodings: what a client reads back is what the engine said, in each of the five formats."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datalab.flow.encoding import ENCODERS, TRUNCATED, json_value
from datalab.flow.request import Format


class KeptBytes(io.BytesIO):
    """Encoders close their sink; a test still wants to look."""

    def close(self) -> None:
        pass


TABLE = pa.table(
    {
        "id": pa.array([1, 2**53 + 1, None], pa.int64()),
        "Größe, cm": pa.array([1.5, float("nan"), float("inf")]),
        "text": ['plain "quoted", comma', "line\nbreak", None],
        "price": pa.array([Decimal("1.10"), None, Decimal("-2.00")], pa.decimal128(9, 2)),
        "day": [date(2024, 2, 29), None, date(1, 1, 1)],
        "at": pa.array([datetime(2024, 1, 1, 12, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "raw": [b"\x00\xff", None, b""],
        "list": [[1, None], [], None],
        "record": [{"a": 1, "b": "x"}, None, {"a": None, "b": ""}],
    }
)


def same(left: pa.Table, right: pa.Table) -> bool:
    """Equal schema and values, NaN equal to itself."""
    return bool(left.schema.equals(right.schema)) and repr(left.to_pylist()) == repr(right.to_pylist())


def encode(format_: Format, table: pa.Table = TABLE, *, truncated: bool = False, chunk: int = 2) -> bytes:
    sink = KeptBytes()
    types = [str(field.type).upper() for field in table.schema]
    encoder = ENCODERS[format_](table.schema, types, sink)
    for batch in table.to_batches(max_chunksize=chunk):
        encoder.write(batch)
    encoder.close(truncated=truncated, rows=table.num_rows)
    return sink.getvalue()


def test_arrow_reads_back_equal_and_ends_with_the_end_of_stream_marker() -> None:
    data = encode(Format.ARROW)
    assert same(pa.ipc.open_stream(data).read_all(), TABLE)
    assert data.endswith(b"\xff\xff\xff\xff\x00\x00\x00\x00")


def test_arrow_says_in_its_last_batch_that_it_was_truncated() -> None:
    reader = pa.ipc.open_stream(encode(Format.ARROW, truncated=True))
    seen: list[Mapping[bytes, bytes] | None] = []
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            break
        seen.append(metadata)
    assert batch.num_rows == 0
    assert dict(seen[-1] or {}) == {TRUNCATED: b"true"}
    assert seen[:-1] == [None, None]


@pytest.mark.parametrize("truncated", [True, False])
def test_parquet_reads_back_equal_and_its_footer_says_whether_it_was_truncated(truncated: bool) -> None:
    data = encode(Format.PARQUET, truncated=truncated)
    assert same(pq.read_table(io.BytesIO(data)), TABLE)
    assert pq.read_metadata(io.BytesIO(data)).metadata[TRUNCATED] == (b"true" if truncated else b"false")


def test_csv_has_a_header_quotes_text_and_leaves_null_empty() -> None:
    rows = list(csv.reader(io.StringIO(encode(Format.CSV).decode())))
    assert rows[0] == TABLE.schema.names
    assert rows[1][:4] == ["1", "1.5", 'plain "quoted", comma', "1.10"]
    assert rows[1][-3:] == ["AP8=", "[1,null]", '{"a":1,"b":"x"}']
    assert rows[2][2] == "line\nbreak"
    assert rows[3][0] == ""


def test_ndjson_has_one_object_a_line() -> None:
    lines = encode(Format.NDJSON).decode().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0])["record"] == {"a": 1, "b": "x"}
    assert json.loads(lines[1])["id"] == "9007199254740993"


def test_ndjson_keeps_both_values_of_a_repeated_column_name() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert json.loads(encode(Format.NDJSON, table)) == {"a": 1, "a_2": 2}


def test_json_is_one_document_with_columns_rows_count_and_truncation() -> None:
    body = json.loads(encode(Format.JSON, truncated=True))
    assert body["columns"][0] == {"name": "id", "type": "INT64"}
    assert body["row_count"] == 3
    assert body["truncated"] is True
    assert body["rows"][0] == [
        1, 1.5, 'plain "quoted", comma', "1.10", "2024-02-29", "2024-01-01T12:00:00+00:00", "AP8=", [1, None],
        {"a": 1, "b": "x"},
    ]  # fmt: skip


@pytest.mark.parametrize("format_", list(Format))
def test_an_empty_result_is_a_complete_answer(format_: Format) -> None:
    data = encode(format_, TABLE.slice(0, 0))
    match format_:
        case Format.ARROW:
            assert pa.ipc.open_stream(data).read_all().num_rows == 0
        case Format.PARQUET:
            assert pq.read_table(io.BytesIO(data)).schema.equals(TABLE.schema)
        case Format.CSV:
            assert len(list(csv.reader(io.StringIO(data.decode())))) == 1
        case Format.NDJSON:
            assert data == b""
        case Format.JSON:
            assert json.loads(data)["rows"] == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**53, 2**53),
        (-(2**53) - 1, "-9007199254740993"),
        (float("-inf"), "-Infinity"),
        (Decimal("0.10"), "0.10"),
        (time(1, 2, 3), "01:02:03"),
        (timedelta(days=1, seconds=30), "P0M1DT30S"),
        (pa.MonthDayNano([14, 3, 5_000_000_000]), "P14M3DT5S"),
        ([(1, {"k": 2**60})], [[1, {"k": str(2**60)}]]),
    ],
)
def test_json_values_lose_nothing(value: Any, expected: Any) -> None:
    assert json_value(value) == expected


def test_the_worker_says_a_time_with_zone_in_utc_without_pandas() -> None:
    """A process that has none, as workers have none."""
    program = (
        "import sys; from datalab.flow.start import Absent; sys.meta_path.insert(0, Absent())\n"
        "import pyarrow as pa; from datalab.flow.encoding import json_column\n"
        "print(json_column(pa.array([0], pa.timestamp('us', 'UTC'))), 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['1970-01-01T00:00:00+00:00'] False"


def test_json_keeps_the_nanoseconds_that_python_cannot_hold() -> None:
    table = pa.table({"at": pa.array([1_704_067_200_123_456_789, None, -1], pa.timestamp("ns"))})
    rows = json.loads(encode(Format.JSON, table))["rows"]
    assert rows == [["2024-01-01T00:00:00.123456789"], [None], ["1969-12-31T23:59:59.999999999"]]
