"""A reader of Thrift's compact protocol that trusts nothing: every length is checked against the bytes that are there.

Owns the walk over encoded structs, without building values it was not asked for. Must never allocate by what the input
claims. Source: the Thrift compact protocol specification (thrift-compact-protocol.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

STOP: Final = 0
TRUE: Final = 1
FALSE: Final = 2
BYTE: Final = 3
I32: Final = 5
DOUBLE: Final = 7
BINARY: Final = 8
LIST: Final = 9
SET: Final = 10
MAP: Final = 11
STRUCT: Final = 12
_VARINTS: Final = (4, I32, 6)  # I16, I32, I64

MAX_NESTING: Final = 32
_MAX_VARINT_BYTES: Final = 10


class Malformed(Exception):
    """The bytes are not what the protocol allows, or nest deeper than any honest writer nests."""


class CompactReader:
    """A cursor over one encoded message."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self._end = len(data)
        self.position = position

    def fields(self) -> Iterator[tuple[int, int]]:
        """(field id, wire type) of each field of the struct at the cursor; the caller consumes the value before the next.

        A boolean's value is its wire type: nothing remains to be consumed.
        """
        identifier = 0
        while True:
            header = self._byte()
            wire = header & 0x0F
            if wire == STOP:
                return
            delta = header >> 4
            identifier = identifier + delta if delta else self.integer()
            if not 0 < identifier <= 0x7FFF:
                raise Malformed("a field id is out of range")
            yield identifier, wire

    def integer(self) -> int:
        """A zigzag varint of at most 64 bits."""
        raw = self._varint()
        return (raw >> 1) ^ -(raw & 1)

    def binary(self) -> bytes:
        length = self._varint()
        start, stop = self.position, self.position + length
        if stop > self._end:
            raise Malformed("a text is longer than the message")
        self.position = stop
        return self._data[start:stop]

    def list_header(self) -> tuple[int, int]:
        """(wire type of the elements, their number); each element takes at least one byte, which bounds the number."""
        header = self._byte()
        size = header >> 4
        if size == 0x0F:
            size = self._varint()
        if size > self._end - self.position:
            raise Malformed("a list has more elements than the message has bytes")
        return header & 0x0F, size

    def skip(self, wire: int, depth: int = 0) -> None:
        """Moves past a value of this wire type."""
        if depth > MAX_NESTING:
            raise Malformed("structs nest too deeply")
        if wire in (TRUE, FALSE):
            return
        if wire in _VARINTS:
            self._varint()
        elif wire == BYTE:
            self._byte()
        elif wire == DOUBLE:
            self._advance(8)
        elif wire == BINARY:
            self._advance(self._varint())
        elif wire in (LIST, SET):
            element, size = self.list_header()
            for _ in range(size):
                self._skip_element(element, depth)
        elif wire == MAP:
            self._skip_map(depth)
        elif wire == STRUCT:
            for _identifier, inner in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise Malformed("an unknown wire type")

    def _skip_element(self, wire: int, depth: int) -> None:
        if wire in (TRUE, FALSE):  # inside a collection a boolean takes a byte
            self._byte()
        else:
            self.skip(wire, depth + 1)

    def _skip_map(self, depth: int) -> None:
        size = self._varint()
        if size > self._end - self.position:
            raise Malformed("a map has more entries than the message has bytes")
        if size == 0:
            return
        types = self._byte()
        for _ in range(size):
            self._skip_element(types >> 4, depth)
            self._skip_element(types & 0x0F, depth)

    def _advance(self, count: int) -> None:
        if self.position + count > self._end:
            raise Malformed("the message ends too early")
        self.position += count

    def _byte(self) -> int:
        if self.position >= self._end:
            raise Malformed("the message ends too early")
        value = self._data[self.position]
        self.position += 1
        return value

    def _varint(self) -> int:
        result = 0
        for index in range(_MAX_VARINT_BYTES):
            byte = self._byte()
            result |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if result >= 1 << 64:
                    break
                return result
        raise Malformed("a number has more than 64 bits")
