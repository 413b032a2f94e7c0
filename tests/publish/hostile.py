"""Footers as an attacker writes them: a writer of Thrift's compact protocol that lies as it is told, and a corpus made with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12

Field = tuple[int, int, bytes]
"""(id, wire type, encoded value), in the order of ids."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(value: int) -> bytes:
    """Zigzag."""
    return varint((value << 1) ^ (value >> 63) if value < 0 else value << 1)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(len(raw)) + raw


def struct(fields: Sequence[Field]) -> bytes:
    out, last = bytearray(), 0
    for identifier, wire, value in fields:
        delta = identifier - last
        out += bytes([delta << 4 | wire]) if 0 < delta < 16 else bytes([wire]) + number(identifier)
        out += value
        last = identifier
    return bytes(out) + b"\0"


def items(wire: int, values: Sequence[bytes], size: int | None = None) -> bytes:
    """size: what the header claims, if not the truth."""
    count = len(values) if size is None else size
    header = bytes([count << 4 | wire]) if count < 15 else bytes([0xF0 | wire]) + varint(count)
    return header + b"".join(values)


def leaf(name: str | bytes = "id", repetition: int = 1, type_: int = 2) -> bytes:
    """A schema element; type 2: INT64."""
    return struct([(1, I32, number(type_)), (3, I32, number(repetition)), (4, BINARY, text(name))])


def group(name: str, children: int, repetition: int = 1) -> bytes:
    return struct([(3, I32, number(repetition)), (4, BINARY, text(name)), (5, I32, number(children))])


def root(children: int) -> bytes:
    return struct([(4, BINARY, text("schema")), (5, I32, number(children))])


def chunk(
    *,
    path: Sequence[str] = ("id",),
    values: int = 1,
    size: int = 30,
    offset: int = 4,
    codec: int = 0,
    file_path: str | None = None,
    extra: Sequence[Field] = (),
    more_metadata: Sequence[Field] = (),
) -> bytes:
    """A ColumnChunk with its metadata."""
    metadata = struct(
        [
            (1, I32, number(2)),
            (2, LIST, items(I32, [number(0)])),
            (3, LIST, items(BINARY, [text(one) for one in path])),
            (4, I32, number(codec)),
            (5, I64, number(values)),
            (6, I64, number(size)),
            (7, I64, number(size)),
            (9, I64, number(offset)),
            *more_metadata,
        ]
    )
    place = [(1, BINARY, text(file_path))] if file_path is not None else []
    return struct([*place, (2, I64, number(offset)), (3, STRUCT, metadata), *extra])


def row_group(chunks: Sequence[bytes], rows: int = 1, size: int = 30) -> bytes:
    return struct([(1, LIST, items(STRUCT, chunks)), (2, I64, number(size)), (3, I64, number(rows))])


def footer(
    elements: Sequence[bytes] = (root(1), leaf()),
    *,
    rows: int = 1,
    groups: Sequence[bytes] | None = None,
    elements_claimed: int | None = None,
    groups_claimed: int | None = None,
    extra: Sequence[Field] = (),
) -> bytes:
    made = [row_group([chunk()])] if groups is None else groups
    return struct(
        [
            (1, I32, number(1)),
            (2, LIST, items(STRUCT, elements, elements_claimed)),
            (3, I64, number(rows)),
            (4, LIST, items(STRUCT, made, groups_claimed)),
            *extra,
        ]
    )


def file(encoded: bytes, *, length: int | None = None, data: bytes = bytes(100)) -> bytes:
    """length: what the trailer claims, if not the truth."""
    claimed = len(encoded) if length is None else length
    return b"PAR1" + data + encoded + (claimed & 0xFFFFFFFF).to_bytes(4, "little") + b"PAR1"


def nested(depth: int) -> list[bytes]:
    return [root(1), *(group(f"g{level}", 1) for level in range(depth - 1)), leaf()]


def deep_struct(depth: int) -> bytes:
    """A field nobody knows whose value is struct in struct in struct."""
    return b"\x1c" * depth + b"\0" * depth + b"\0"


ENCRYPTION: Field = (8, STRUCT, struct([(1, STRUCT, struct([(2, BINARY, text(b"12345678"))]))]))
ENCRYPTED_CHUNK: tuple[Field, ...] = (
    (8, STRUCT, struct([(2, STRUCT, struct([(1, LIST, items(BINARY, [text("id")]))]))])),
    (9, BINARY, text(b"ciphertext")),
)


@dataclass(frozen=True)
class Case:
    name: str
    content: bytes
    codes: frozenset[str]


CORRUPT = "publish.corrupt"
INCONSISTENT = "publish.inconsistent"


def _cases() -> Iterator[tuple[str, bytes, str]]:
    yield "empty", b"", "publish.empty_file"
    yield "four bytes", b"PAR1", "publish.not_parquet"
    yield "text", b"id,age\n1,2\n" * 10, "publish.not_parquet"
    yield "magic alone", b"PAR1PAR1PAR1", CORRUPT
    yield "zip", b"PK\x03\x04" + bytes(100), "publish.not_parquet"
    yield "orc", b"ORC" + bytes(100) + b"ORC", "publish.not_parquet"
    yield "encrypted footer", b"PARE" + bytes(100) + b"\x20\0\0\0PARE", "publish.encrypted"
    yield "length zero", file(footer(), length=0), CORRUPT
    yield "length all ones", file(footer(), length=0xFFFFFFFF), CORRUPT
    yield "length of the whole file", file(footer(), length=len(footer()) + 108), CORRUPT
    yield "length one short", file(footer(), length=len(footer()) - 1), CORRUPT
    yield "length one long", file(footer(), length=len(footer()) + 1), CORRUPT
    yield "zeros", file(bytes(50)), CORRUPT
    yield "ones", file(b"\xff" * 50), CORRUPT
    yield "no schema", file(struct([(1, I32, number(1)), (3, I64, number(0))])), CORRUPT
    yield "schema of no elements", file(footer([])), CORRUPT
    yield "schema claims 2^31 elements", file(footer(elements_claimed=1 << 31)), CORRUPT
    yield "schema claims 5000 elements", file(footer(elements_claimed=5000)), CORRUPT
    yield "row groups claim 2^31", file(footer(groups_claimed=1 << 31)), CORRUPT
    yield "root without children", file(footer([root(0)])), "publish.no_columns"
    yield "more children than elements", file(footer([root(5), leaf()])), CORRUPT
    yield "more elements than children", file(footer([root(1), leaf("a"), leaf("b")])), CORRUPT
    yield "negative children", file(footer([root(-1), leaf()])), CORRUPT
    yield "2^31 children", file(footer([root(2**31 - 1), leaf()])), CORRUPT
    yield "17 levels", file(footer(nested(17))), "publish.too_deep"
    yield "5000 levels", file(footer(nested(5000))), "publish.too_deep"
    yield "4097 columns", file(footer([root(4097), *(leaf(f"c{n}") for n in range(4097))])), "publish.too_many_columns"
    yield (
        "100,000 columns",
        file(footer([root(100_000), *(leaf("c") for _ in range(100_000))])),
        "publish.too_many_columns",
    )
    yield "name of 10 kB", file(footer([root(1), leaf("x" * 10_000)])), "publish.column_name"
    yield "name not UTF-8", file(footer([root(1), leaf(b"\xff\xfe")])), "publish.column_name"
    yield "name with NUL", file(footer([root(1), leaf("a\0b")])), "publish.column_name"
    yield "name with newline", file(footer([root(1), leaf("a\nb")])), "publish.column_name"
    yield "no name", file(footer([root(1), leaf("")])), "publish.column_name"
    yield "names equal but for capitals", file(footer([root(2), leaf("ä"), leaf("Ä")])), "publish.column_twice"
    yield "no such repetition", file(footer([root(1), leaf(repetition=9)])), CORRUPT
    yield "negative rows", file(footer(rows=-1)), "publish.implausible"
    yield "2^62 rows", file(footer(rows=1 << 62)), "publish.implausible"
    yield "rows that the groups do not have", file(footer(rows=7)), INCONSISTENT
    yield "negative rows in a group", file(footer(groups=[row_group([chunk()], rows=-5)])), INCONSISTENT
    yield "values that are not the rows", file(footer(groups=[row_group([chunk(values=3)])])), INCONSISTENT
    yield "negative size", file(footer(groups=[row_group([chunk(size=-30)])])), INCONSISTENT
    yield "size of 2^62", file(footer(groups=[row_group([chunk(size=1 << 62)])])), CORRUPT
    yield "offset beyond the file", file(footer(groups=[row_group([chunk(offset=1 << 40)])])), CORRUPT
    yield "negative offset", file(footer(groups=[row_group([chunk(offset=-4)])])), CORRUPT
    yield "data in the footer", file(footer(groups=[row_group([chunk(offset=90)])])), CORRUPT
    yield (
        "columns in another file",
        file(footer(groups=[row_group([chunk(file_path="/etc/passwd")])])),
        "publish.external",
    )
    yield "unknown codec", file(footer(groups=[row_group([chunk(codec=77)])])), "publish.codec"
    yield "LZO", file(footer(groups=[row_group([chunk(codec=3)])])), "publish.codec"
    yield "group without columns", file(footer(groups=[row_group([])])), INCONSISTENT
    yield "group with more columns", file(footer(groups=[row_group([chunk(), chunk()])])), INCONSISTENT
    yield "struct in struct in struct", file(footer()[:-1] + deep_struct(100_000)), CORRUPT
    yield (
        "schema twice",
        file(footer()[:-1] + b"\x09\x04" + items(STRUCT, [root(2), leaf("a"), leaf("A")]) + b"\0"),
        CORRUPT,
    )
    yield "signed and encrypted", file(footer(extra=[ENCRYPTION]) + bytes(28)), "publish.encrypted"
    encrypted = footer(groups=[row_group([chunk(extra=ENCRYPTED_CHUNK)])], extra=[ENCRYPTION])
    yield "encrypted chunk, signed", file(encrypted + bytes(28)), "publish.encrypted"


CASES: Mapping[str, tuple[bytes, str]] = {name: (content, code) for name, content, code in _cases()}

HISTOGRAM: Field = (16, STRUCT, struct([(3, LIST, items(I64, [number(1)] * 5))]))
CRASHER = file(footer(groups=[row_group([chunk(more_metadata=[HISTOGRAM])])]))
"""Size statistics that do not fit the column: pyarrow 26 ends the process that looks at them."""

UNSIGNED = file(footer(groups=[row_group([chunk(extra=ENCRYPTED_CHUNK)])], extra=[ENCRYPTION]))
"""An encrypted chunk behind a plaintext footer without its signature: so does this."""
