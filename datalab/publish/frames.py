"""Messages between the gateway and an inspector: JSON with its length before it, so that no content can be a delimiter.

Owns the framing and its bound. Must never read more than the bound, whatever the other side announces.
"""

from __future__ import annotations

import struct
from typing import IO, Final

import orjson

_LENGTH: Final = struct.Struct(">I")
MAX_FRAME_BYTES: Final = 256 << 20


class BrokenFrame(Exception):
    """The other side is gone, or does not speak this protocol."""


def write_frame(stream: IO[bytes], message: object) -> None:
    payload = orjson.dumps(message)
    stream.write(_LENGTH.pack(len(payload)))
    stream.write(payload)
    stream.flush()


def read_frame(stream: IO[bytes], limit: int = MAX_FRAME_BYTES) -> object:
    """The next message.

    Raises:
        BrokenFrame: the stream ended, or the message is longer than `limit` bytes or no JSON.
    """
    length = int.from_bytes(_exactly(stream, _LENGTH.size), "big")
    if length > limit:
        raise BrokenFrame
    try:
        return orjson.loads(_exactly(stream, length))
    except orjson.JSONDecodeError as error:
        raise BrokenFrame from error


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise BrokenFrame
    return data
