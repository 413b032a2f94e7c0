"""One Parquet file's footer: fetched from the file's end, checked, and reduced to its rows and its schema.

Owns what a footer must satisfy before its file may be part of a version. Runs only inside the inspector process, because
pyarrow and DuckDB may crash on what they are shown here. Must never read a data page.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pyarrow as pa

# `pq.ParquetFile` also builds Python lists for every column, half of the time that a footer takes.
from pyarrow._parquet import ParquetReader

from datalab.publish.agreement import TableSchema
from datalab.publish.footer import (
    SIGNATURE_BYTES,
    TRAILER_BYTES,
    FooterRefused,
    FooterSchema,
    check_chunks,
    encrypted,
    footer_length,
    read_schema,
)

TAIL_BYTES: Final = 64 << 10  # one request to S3 reads nearly every footer
LARGE_FOOTER_BYTES: Final = 1 << 20  # such footers are examined one at a time: their decoded form is many times larger
MAX_ROWS: Final = 10**12
MAX_ROW_GROUPS: Final = 100_000
MAX_SCHEMAS: Final = 1000
THRIFT_STRING_BYTES: Final = 16 << 20
THRIFT_CONTAINER_ITEMS: Final = 1_000_000
CODECS: Final = frozenset({"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4"})


class OpenFile(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(frozen=True, slots=True)
class FileFacts:
    """rows: as the footer says and its row groups confirm; schema: index into `Examiner.schemas`."""

    rows: int
    schema: int


@dataclass(slots=True)
class _Known:
    schema: FooterSchema
    index: int
    parquet: Any  # pyarrow's ParquetSchema of the first file that had it
    flat: tuple[bool, ...]  # for each leaf, whether every row has exactly one value


class Examiner:
    """Examines files from several threads; remembers each schema it met, so that files alike cost little.

    describe: DuckDB's view of a footer's schema; called under a lock, once per distinct schema. careful: each footer is
    walked by our own means first, for what ends the process.
    """

    def __init__(self, describe: Callable[[bytes, FooterSchema], TableSchema], *, careful: bool = False) -> None:
        self._describe = describe
        self._careful = careful
        self._known: list[_Known] = []
        self._learning = threading.Lock()
        self._large = threading.Lock()
        self.schemas: list[TableSchema] = []

    def examine(self, file: OpenFile, size_bytes: int) -> FileFacts:
        """Raises FooterRefused, or what `file` raises."""
        footer = fetch_footer(file, size_bytes)
        if len(footer) < LARGE_FOOTER_BYTES:
            return self._facts(footer, size_bytes)
        with self._large:
            return self._facts(footer, size_bytes)

    def _facts(self, footer: bytes, size_bytes: int) -> FileFacts:
        known = self._recognise(footer)
        schema = read_schema(footer) if known is None else known.schema
        if self._careful:
            check_chunks(footer)
        metadata = decode(footer)
        if metadata.num_columns != schema.leaves:
            raise _two_schemas()
        flat = _flat(metadata) if known is None else known.flat
        check_row_groups(metadata, flat, size_bytes - TRAILER_BYTES - len(footer))
        if known is None:
            known = self._learn(footer, schema, metadata)
        if not metadata.schema.equals(known.parquet):
            raise _two_schemas()
        return FileFacts(metadata.num_rows, known.index)

    def _recognise(self, footer: bytes) -> _Known | None:
        return next((known for known in self._known if footer.startswith(known.schema.prefix)), None)

    def _learn(self, footer: bytes, schema: FooterSchema, metadata: Any) -> _Known:
        with self._learning:
            known = self._recognise(footer)
            if known is not None:
                return known
            if len(self._known) >= MAX_SCHEMAS:
                raise FooterRefused("publish.schema_differs", f"has one more schema than {MAX_SCHEMAS} others")
            described = self._describe(footer, schema)
            known = _Known(schema, len(self.schemas), metadata.schema, _flat(metadata))
            self.schemas.append(described)
            self._known.append(known)
            return known


def fetch_footer(file: OpenFile, size_bytes: int) -> bytes:
    """The encoded FileMetaData at a file's end: one read, or two where it is longer than `TAIL_BYTES`."""
    tail_bytes = min(size_bytes, TAIL_BYTES)
    tail = _read(file, size_bytes - tail_bytes, tail_bytes)
    length = footer_length(tail, size_bytes)
    if length + TRAILER_BYTES <= tail_bytes:
        return tail[-TRAILER_BYTES - length : -TRAILER_BYTES]
    return _read(file, size_bytes - TRAILER_BYTES - length, length)


def decode(footer: bytes) -> Any:
    """The FileMetaData by pyarrow, of a footer that `read_schema` let through.

    Raises:
        FooterRefused: it cannot be decoded, or says that columns are encrypted.
    """
    reader = ParquetReader()
    trailer = len(footer).to_bytes(4, "little") + b"PAR1"
    try:
        reader.open(
            pa.BufferReader(footer + trailer),
            use_memory_map=False,
            thrift_string_size_limit=THRIFT_STRING_BYTES,
            thrift_container_size_limit=THRIFT_CONTAINER_ITEMS,
        )
        metadata = reader.metadata
        consumed = metadata.serialized_size
    except (pa.ArrowException, OSError, ValueError, TypeError, UnicodeDecodeError):
        raise FooterRefused("publish.corrupt", "is corrupt: its footer cannot be read") from None
    if consumed == len(footer) - SIGNATURE_BYTES:
        raise encrypted()
    if consumed != len(footer):
        check_chunks(footer)
    return metadata


def check_row_groups(metadata: Any, flat: tuple[bool, ...], data_end: int) -> None:
    """What the footer says about rows and chunks must be possible within the file, and consistent.

    flat: for each leaf column, whether it has one value per row. data_end: where the footer begins, in bytes.

    Raises:
        FooterRefused: it is not.
    """
    groups, rows = metadata.num_row_groups, metadata.num_rows
    if not 0 <= rows <= MAX_ROWS or not 0 <= groups <= MAX_ROW_GROUPS:
        raise FooterRefused("publish.implausible", "states an impossible number of rows or row groups")
    counted = 0
    for number in range(groups):
        group = metadata.row_group(number)
        count = group.num_rows
        if count < 0 or group.num_columns != len(flat):
            raise _inconsistent()
        counted += count
        column = group.column
        for leaf, one_each in enumerate(flat):
            chunk = column(leaf)
            values, size = chunk.num_values, chunk.total_compressed_size
            if (values != count and (one_each or values < count)) or size < 0:
                raise _inconsistent()
            if count:
                _check_place(chunk, size, data_end)
    if counted != rows:
        raise _inconsistent()


def _check_place(chunk: Any, size: int, data_end: int) -> None:
    """A chunk with rows lies within the file, in a codec that can be read."""
    if chunk.file_path:
        raise FooterRefused("publish.external", "refers to columns in other files")
    start, dictionary = chunk.data_page_offset, chunk.dictionary_page_offset
    if dictionary is not None and 0 < dictionary < start:
        start = dictionary
    if start < 4 or size == 0 or start + size > data_end:
        raise FooterRefused("publish.corrupt", "is corrupt or truncated: its footer points outside of the file")
    if chunk.compression not in CODECS:
        raise FooterRefused("publish.codec", "is compressed in a way that is not supported")


def _flat(metadata: Any) -> tuple[bool, ...]:
    """For each leaf, whether it has one value per row."""
    parquet = metadata.schema
    return tuple(parquet.column(leaf).max_repetition_level == 0 for leaf in range(metadata.num_columns))


def _two_schemas() -> FooterRefused:
    return FooterRefused("publish.corrupt", "is corrupt: its footer holds two schemas")


def _inconsistent() -> FooterRefused:
    return FooterRefused("publish.inconsistent", "is corrupt: the numbers of rows in its footer contradict each other")


def _read(file: OpenFile, offset: int, length: int) -> bytes:
    file.seek(offset)
    parts = []
    while length > 0:
        part = file.read(length)
        if not part:
            raise FooterRefused("publish.truncated", "ends before the size that was listed")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
