"""Encoders: Arrow record batches -> bytes of one result format, written to a sink. They run in the worker.

One class per format, each with the same three calls: construct, `write(batch)`, `close(truncated)`. Must never hold more
than one batch. Conversions that JSON forces (64-bit integers, decimals, binary, intervals) are stated in `json_value`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from datalab.flow.request import Format

SAFE_INTEGER: Final = 2**53
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  TIMESTAMP_NS has no zone
TRUNCATED: Final = b"datalab.truncated"
"""Key in Arrow's last batch and in Parquet's footer that says whether the caller's max_rows cut the result."""


class Sink(Protocol):
    """Where bytes go: a file-like object whose `close` ends nothing."""

    @property
    def closed(self) -> bool: ...

    def write(self, data: bytes | memoryview) -> int: ...


class Encoder(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...
    def close(self, *, truncated: bool, rows: int) -> None: ...


class ArrowEncoder:
    """Arrow IPC stream; ends with the end-of-stream marker, and with an empty batch that says so when truncated."""

    def __init__(self, schema: pa.Schema, types: Sequence[str], sink: Sink) -> None:
        self._schema = schema
        self._writer = pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self, *, truncated: bool, rows: int) -> None:
        if truncated:
            empty = self._schema.empty_table().to_batches() or [
                pa.RecordBatch.from_arrays([pa.array([], field.type) for field in self._schema], schema=self._schema)
            ]
            self._writer.write_batch(empty[0], custom_metadata={TRUNCATED: b"true"})
        self._writer.close()


class ParquetEncoder:
    """One Parquet file, zstd; row groups as the engine's batches come, joined to a useful size."""

    ROW_GROUP_ROWS: Final = 122_880
    ROW_GROUP_BYTES: Final = 16 << 20

    def __init__(self, schema: pa.Schema, types: Sequence[str], sink: Sink) -> None:
        self._writer = pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd")
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._held_rows = 0
        self._held_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._held_rows += batch.num_rows
        self._held_bytes += batch.nbytes
        if self._held_rows >= self.ROW_GROUP_ROWS or self._held_bytes >= self.ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self._schema))
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def close(self, *, truncated: bool, rows: int) -> None:
        self._write_group()
        self._writer.add_key_value_metadata({TRUNCATED: b"true" if truncated else b"false"})
        self._writer.close()


class CsvEncoder:
    """RFC 4180 with a header; NULL is empty and unquoted, text is quoted; nested values are JSON text."""

    def __init__(self, schema: pa.Schema, types: Sequence[str], sink: Sink) -> None:
        self._nested = [_is_textual_only(field.type) for field in schema]
        self._schema = pa.schema(
            [pa.field(f.name, pa.string() if n else f.type) for f, n in zip(schema, self._nested, strict=True)]
        )
        self._writer = pa_csv.CSVWriter(pa.PythonFile(sink, mode="w"), self._schema)

    def write(self, batch: pa.RecordBatch) -> None:
        arrays = [
            pa.array([_csv_text(value) for value in column.to_pylist()], pa.string()) if nested else column
            for column, nested in zip(batch.columns, self._nested, strict=True)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self, *, truncated: bool, rows: int) -> None:
        self._writer.close()


class NdjsonEncoder:
    """One JSON object a line, keys as the columns are called (a repeated name gets its position added)."""

    def __init__(self, schema: pa.Schema, types: Sequence[str], sink: Sink) -> None:
        self._names = _distinct(schema.names)
        self._sink = sink

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [json_column(column) for column in batch.columns]
        names = self._names
        if not columns:
            return
        self._sink.write(
            b"".join(
                orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE)
                for row in zip(*columns, strict=True)
            )
        )

    def close(self, *, truncated: bool, rows: int) -> None:
        """Lines need no end."""


class JsonEncoder:
    """`{"columns": [{"name", "type"}], "rows": [[...]], "row_count", "truncated"}`; types are DuckDB's names."""

    def __init__(self, schema: pa.Schema, types: Sequence[str], sink: Sink) -> None:
        columns = [{"name": name, "type": type_} for name, type_ in zip(schema.names, types, strict=True)]
        self._sink = sink
        self._first = True
        sink.write(b'{"columns":' + orjson.dumps(columns) + b',"rows":[')

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        rows = list(zip(*(json_column(column) for column in batch.columns), strict=True))
        text = orjson.dumps(rows)
        self._sink.write((b"" if self._first else b",") + text[1:-1])
        self._first = False

    def close(self, *, truncated: bool, rows: int) -> None:
        flag = b"true" if truncated else b"false"
        self._sink.write(b'],"row_count":%d,"truncated":%b}' % (rows, flag))


ENCODERS: Final[Mapping[Format, type[ArrowEncoder | ParquetEncoder | CsvEncoder | NdjsonEncoder | JsonEncoder]]] = {
    Format.ARROW: ArrowEncoder,
    Format.PARQUET: ParquetEncoder,
    Format.CSV: CsvEncoder,
    Format.NDJSON: NdjsonEncoder,
    Format.JSON: JsonEncoder,
}


def json_column(column: pa.Array) -> list[object]:
    """A column's values as JSON values; whole columns that need no conversion skip the walk."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return [None if value is None else _nanoseconds(value) for value in column.cast(pa.int64()).to_pylist()]
    values: list[object] = column.to_pylist()
    if _is_plain_json(column.type):
        return values
    return [json_value(value) for value in values]


def json_value(value: object) -> Any:
    """One value as JSON: integers beyond 2^53 and decimals as strings, binary as base64, NaN and infinities as text,
    dates and times as ISO 8601, intervals as ISO 8601 durations, maps as lists of key and value.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else _nonfinite(value)
        case Decimal() | UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return _duration(0, value.days, value.seconds + value.microseconds / 1e6)
        case dict():
            return {key: json_value(item) for key, item in value.items()}
        case list() | tuple():
            if isinstance(value, tuple) and hasattr(value, "months"):
                months, days, nanoseconds = value
                return _duration(months, days, nanoseconds / 1e9)
            return [json_value(item) for item in value]
        case _:
            return str(value)


def _nanoseconds(since_epoch: int) -> str:
    """ISO 8601 with all nine digits, which Python's own timestamps cannot hold. Raises OverflowError outside their years."""
    seconds, rest = divmod(since_epoch, 1_000_000_000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}.{rest:09d}"


def _nonfinite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _duration(months: int, days: int, seconds: float) -> str:
    return f"P{months}M{days}DT{seconds:g}S"


def _csv_text(value: object) -> str | None:
    if value is None:
        return None
    plain = json_value(value)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode("utf-8")


_PLAIN: Final[Sequence[Callable[[pa.DataType], bool]]] = (
    pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string, pa.types.is_int8, pa.types.is_int16,
    pa.types.is_int32, pa.types.is_uint8, pa.types.is_uint16, pa.types.is_uint32,
)  # fmt: skip


def _is_plain_json(type_: pa.DataType) -> bool:
    return any(check(type_) for check in _PLAIN)


def _is_textual_only(type_: pa.DataType) -> bool:
    """Types that Arrow's CSV writer does not know."""
    return bool(
        pa.types.is_nested(type_) or pa.types.is_binary(type_) or pa.types.is_large_binary(type_)
        or pa.types.is_fixed_size_binary(type_) or pa.types.is_interval(type_) or pa.types.is_duration(type_)
        or pa.types.is_dictionary(type_)
    )  # fmt: skip


def _distinct(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    out: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out
