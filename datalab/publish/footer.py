"""A Parquet file's tail and the schema in its footer, read without any library: what must hold before a library may see it.

Owns the limits on footers. Must never be given more than a file's last bytes, and never trusts a number it read there.
Source: parquet-format, `parquet.thrift` and `README.md` (file layout), `Encryption.md` (footer modes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from datalab.publish.thrift import BINARY, I32, LIST, STRUCT, CompactReader, Malformed

MAGIC: Final = b"PAR1"
MAGIC_ENCRYPTED: Final = b"PARE"
TRAILER_BYTES: Final = 8  # footer length (4, little endian) and magic
LEAST_FILE_BYTES: Final = 12  # magic, trailer
SIGNATURE_BYTES: Final = 28  # nonce and tag that follow the metadata of a signed plaintext footer

LAST_CODEC: Final = 7  # LZ4_RAW

MAX_FOOTER_BYTES: Final = 32 << 20
MAX_COLUMNS: Final = 4096
MAX_DEPTH: Final = 16
MAX_NAME_BYTES: Final = 255
MAX_DECIMAL_DIGITS: Final = 38  # more, and DuckDB reads a DOUBLE


class FooterRefused(Exception):
    """code: stable; sentence: without the file's name, as in `is encrypted`."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Element:
    """One node of the schema tree. repetition: 0 required, 1 optional, 2 repeated."""

    name: str
    repetition: int
    children: int
    precision: int


@dataclass(frozen=True, slots=True)
class FooterSchema:
    """names, nullable: of the top-level columns in order. prefix: the footer's bytes up to the schema's end, which another
    file with the same schema by the same writer repeats. leaves: number of leaf columns.
    """

    names: tuple[str, ...]
    nullable: tuple[bool, ...]
    prefix: bytes
    leaves: int


def footer_length(tail: bytes, size_bytes: int) -> int:
    """The footer's length in bytes by the file's last bytes (at least eight, if the file has them).

    Raises:
        FooterRefused: empty, no Parquet file, encrypted, truncated, or a length that cannot be.
    """
    if size_bytes == 0:
        raise FooterRefused("publish.empty_file", "is empty (0 bytes)")
    if size_bytes < LEAST_FILE_BYTES:
        raise FooterRefused("publish.not_parquet", "is no Parquet file: it is too short")
    magic = tail[-4:]
    if magic == MAGIC_ENCRYPTED:
        raise encrypted()
    if magic != MAGIC:
        raise FooterRefused("publish.not_parquet", "is no Parquet file, or is truncated: it does not end with PAR1")
    length = int.from_bytes(tail[-8:-4], "little")
    if length == 0 or length > size_bytes - LEAST_FILE_BYTES:
        raise FooterRefused("publish.corrupt", "is corrupt: its footer cannot have the length that it states")
    if length > MAX_FOOTER_BYTES:
        raise FooterRefused("publish.footer_too_large", f"has a footer of more than {MAX_FOOTER_BYTES >> 20} MiB")
    return length


def read_schema(footer: bytes) -> FooterSchema:
    """Walks the footer up to the end of the schema.

    footer: the encoded FileMetaData.

    Raises:
        FooterRefused: malformed, too wide, too deep, or with names that no query could write.
    """
    reader = CompactReader(footer)
    try:
        for identifier, wire in reader.fields():
            if identifier == 2 and wire == LIST:
                elements = _elements(reader)
                return _check_tree(elements, footer[: reader.position])
            reader.skip(wire)
    except Malformed:
        raise _corrupt() from None
    raise _corrupt()


def check_chunks(footer: bytes) -> None:
    """Walks the whole footer for what pyarrow 26 does not survive: encrypted column chunks and unknown codecs.

    Slow: it is for footers that are suspect already.

    Raises:
        FooterRefused: malformed, encrypted, or compressed in a way that nobody knows.
    """
    reader = CompactReader(footer)
    try:
        for identifier, wire in reader.fields():
            if identifier in {8, 9}:
                raise encrypted()
            if identifier == 4 and wire == LIST:
                for group in _structs(reader):
                    _check_group(reader, group)
            else:
                reader.skip(wire)
    except Malformed:
        raise _corrupt() from None


def _check_group(reader: CompactReader, group: Iterator[tuple[int, int]]) -> None:
    """RowGroup: field 1 is list<ColumnChunk>, whose field 3 is its metadata, 8 and 9 are for encryption."""
    for identifier, wire in group:
        if identifier != 1 or wire != LIST:
            reader.skip(wire)
            continue
        for chunk in _structs(reader):
            for field, inner in chunk:
                if field in {8, 9}:
                    raise encrypted()
                if field == 3 and inner == STRUCT:
                    _check_codec(reader)
                else:
                    reader.skip(inner)


def _check_codec(reader: CompactReader) -> None:
    """ColumnMetaData: field 4 is the codec."""
    for identifier, wire in reader.fields():
        if identifier == 4 and wire == I32:
            if not 0 <= reader.integer() <= LAST_CODEC:
                raise FooterRefused("publish.codec", "is compressed in a way that is not supported")
        else:
            reader.skip(wire)


def _structs(reader: CompactReader) -> Iterator[Iterator[tuple[int, int]]]:
    """The fields of each struct of the list at the cursor; all are to be consumed before the next."""
    wire, size = reader.list_header()
    if wire != STRUCT:
        raise Malformed("not a list of structs")
    for _ in range(size):
        yield reader.fields()


def encrypted() -> FooterRefused:
    return FooterRefused("publish.encrypted", "is encrypted; encrypted Parquet files are not supported")


def _elements(reader: CompactReader) -> list[Element]:
    wire, size = reader.list_header()
    if wire != STRUCT or size < 1:
        raise Malformed("the schema is no list of structs")
    if size > 4 * MAX_COLUMNS:
        raise FooterRefused("publish.too_many_columns", f"has more than {MAX_COLUMNS} columns")
    return [_element(reader) for _ in range(size)]


def _element(reader: CompactReader) -> Element:
    name, repetition, children, precision = b"", 0, 0, 0
    for identifier, wire in reader.fields():
        if identifier == 4 and wire == BINARY:
            name = reader.binary()
        elif identifier == 3 and wire == I32:
            repetition = reader.integer()
        elif identifier == 5 and wire == I32:
            children = reader.integer()
        elif identifier == 8 and wire == I32:
            precision = reader.integer()
        else:
            reader.skip(wire)
    return Element(_text(name), repetition, children, precision)


def _text(name: bytes) -> str:
    if len(name) > MAX_NAME_BYTES:
        raise FooterRefused("publish.column_name", f"has a column name of more than {MAX_NAME_BYTES} bytes")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise FooterRefused("publish.column_name", "has a column name that is not UTF-8") from None


def _check_tree(elements: list[Element], prefix: bytes) -> FooterSchema:
    """The flat list must be one tree, depth first, of bounded depth, whose names can be written and told apart."""
    open_: list[tuple[int, set[str]]] = [(elements[0].children, set())]  # children still to come, names seen
    names: list[str] = []
    nullable: list[bool] = []
    leaves = 0
    for element in elements[1:]:
        while open_ and open_[-1][0] == 0:
            open_.pop()
        if not open_ or element.children < 0 or element.repetition not in {0, 1, 2}:
            raise _corrupt()
        left, seen = open_[-1]
        open_[-1] = (left - 1, seen)
        _check_name(element.name, seen)
        if element.precision > MAX_DECIMAL_DIGITS:
            raise FooterRefused(
                "publish.type",
                f"has column {shown(element.name)} as a decimal of {element.precision} digits; "
                f"at most {MAX_DECIMAL_DIGITS} are supported",
            )
        if len(open_) == 1:
            names.append(element.name)
            nullable.append(element.repetition != 0)
        if element.children == 0:
            leaves += 1
        else:
            open_.append((element.children, set()))
        if len(open_) > MAX_DEPTH:
            raise FooterRefused("publish.too_deep", f"has columns nested more than {MAX_DEPTH} deep")
    if any(left for left, _seen in open_):
        raise _corrupt()
    if not names:
        raise FooterRefused("publish.no_columns", "has no columns")
    if leaves > MAX_COLUMNS:
        raise FooterRefused("publish.too_many_columns", f"has more than {MAX_COLUMNS} columns")
    return FooterSchema(tuple(names), tuple(nullable), prefix, leaves)


def _check_name(name: str, seen: set[str]) -> None:
    if not name:
        raise FooterRefused("publish.column_name", "has a column without a name")
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in name):
        raise FooterRefused("publish.column_name", "has a column name with control characters")
    folded = name.casefold()
    if folded in seen:
        raise FooterRefused(
            "publish.column_twice", f"has column {shown(name)} twice: names must differ by more than capitals"
        )
    seen.add(folded)


def shown(name: str) -> str:
    """A column name as a sentence shows it: cut, and quoted where it is no plain word."""
    cut = name if len(name) <= 80 else name[:77] + "..."
    return cut if cut.isidentifier() else '"' + cut.replace('"', '""') + '"'


def _corrupt() -> FooterRefused:
    return FooterRefused("publish.corrupt", "is corrupt: its footer cannot be read")
