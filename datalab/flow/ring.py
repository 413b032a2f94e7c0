"""Shared memory between one worker and the gateway: the worker fills slots, the gateway sends them and hands them back.

Result bytes cross the process boundary here and only here, so that neither a pipe nor Python objects copy them. Frames
on the control socket say which slot holds how many bytes; a slot is written again only after it came back, which is the
back-pressure from the client to the engine.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, Protocol

SLOT_BYTES: Final = 1 << 20
SLOTS: Final = 6
RING_BYTES: Final = SLOT_BYTES * SLOTS

HEADER: Final = struct.Struct("!cI")
"""Frame header: kind, payload length in bytes."""
CHUNK: Final = struct.Struct("!BI")
"""Payload of a chunk frame: slot, bytes used."""

MAX_FRAME_BYTES: Final = 64 << 20

# Frame kinds. To the worker: prepare, run, slot handed back, cancel. From it: ready, chunk, and the two ends.
PREPARE: Final = b"P"
RUN: Final = b"R"
FREE: Final = b"F"
CANCEL: Final = b"X"
READY: Final = b"r"
BOUND: Final = b"b"
CHUNK_SENT: Final = b"c"
DONE: Final = b"d"
ERROR: Final = b"e"


def create() -> int:
    """A descriptor of new anonymous shared memory of `RING_BYTES`, inheritable by no one unless passed on."""
    fd = os.memfd_create("datalab-ring", os.MFD_CLOEXEC)
    os.ftruncate(fd, RING_BYTES)
    return fd


def view(fd: int) -> memoryview:
    """The ring as one writable view; the mapping lives as long as the view."""
    return memoryview(mmap.mmap(fd, RING_BYTES))


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


def read_frames(control: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Frames from a blocking socket, until the other side is gone."""
    while header := _read_exactly(control, HEADER.size):
        kind, length = HEADER.unpack(header)
        payload = _read_exactly(control, length) if length else b""
        if payload is None:
            return
        yield kind, payload


def _read_exactly(control: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        piece = control.recv(size - len(parts))
        if not piece:
            return None
        parts += piece
    return bytes(parts)


class Slots(Protocol):
    """Where a writer gets the next free slot from; blocks until one came back, raises when the query was cancelled."""

    def take(self) -> int: ...


class RingSink:
    """A file-like sink for encoders: bytes go into the current slot, full slots go to the gateway.

    `close` is a no-op, since encoders close what they wrote to; `finish` sends what is left.
    """

    def __init__(self, ring: memoryview, control: socket.socket, slots: Slots) -> None:
        self._ring = ring
        self._control = control
        self._slots = slots
        self._slot: int | None = None
        self._used = 0
        self.bytes_written = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        source = memoryview(data).cast("B")
        size = len(source)
        offset = 0
        while offset < size:
            if self._slot is None:
                self._slot = self._slots.take()
                self._used = 0
            start = self._slot * SLOT_BYTES + self._used
            count = min(size - offset, SLOT_BYTES - self._used)
            self._ring[start : start + count] = source[offset : offset + count]
            self._used += count
            offset += count
            if self._used == SLOT_BYTES:
                self.flush()
        self.bytes_written += size
        return size

    def flush(self) -> None:
        """Hand the current slot to the gateway, if it holds anything."""
        if self._slot is None or self._used == 0:
            return
        slot, self._slot = self._slot, None
        self._control.sendall(frame(CHUNK_SENT, CHUNK.pack(slot, self._used)))
        self.sent(slot, self._used)

    def sent(self, slot: int, used: int) -> None:
        """Called for each slot that went to the gateway."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self.bytes_written

    def close(self) -> None:
        """Encoders close their sink; the ring stays open for the next plan."""
