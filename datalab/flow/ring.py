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
from typing import Final

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
