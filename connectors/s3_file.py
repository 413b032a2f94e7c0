"""One object, read at random by ranged requests, each of which demands the content that was opened.

Owns reads. Must never return a byte of another content: each request carries `If-Match`, each answer is checked.
"""

from __future__ import annotations

import io
import threading
from typing import Final

from minio import Minio

from connectors.contract import FileIdentity
from connectors.errors import FileChanged, Malformed, Unreachable
from connectors.paths import shown
from connectors.s3_answers import in_our_words
from connectors.transport import bounded

_AROUND_BYTES: Final = 64_000  # headers, and an error's text
_LEAST_BYTES_PER_S: Final = 1_000_000
_PATIENCE_S: Final = 30.0
_ATTEMPTS: Final = 2  # a connection that breaks in the middle of an answer is tried once more


class S3File(io.RawIOBase):
    """An open object. `identity` holds for every byte that was read."""

    def __init__(self, client: Minio, bucket: str, key: str, identity: FileIdentity) -> None:
        super().__init__()
        self._client = client
        self._bucket = bucket
        self._key = key
        self._position = 0
        self._lock = threading.Lock()
        self.identity = identity

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.identity.size_bytes}[whence]
        if start + offset < 0:
            raise ValueError("a position before the file's start")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes by one request; fewer only at the end of the file.

        Raises:
            FileChanged, NotFound, AccessDenied, Unreachable, Malformed.
        """
        with self._lock:
            left = max(self.identity.size_bytes - self._position, 0)
            wanted = left if size is None or size < 0 else min(size, left)
            data = self._fetch(self._position, wanted) if wanted else b""
            self._position += len(data)
            return data

    def readall(self) -> bytes:
        return self.read(-1)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # any writable buffer
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _fetch(self, offset: int, length: int) -> bytes:
        for attempt in range(_ATTEMPTS):
            try:
                return self._fetch_once(offset, length)
            except Unreachable:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _fetch_once(self, offset: int, length: int) -> bytes:
        with in_our_words(), bounded(_PATIENCE_S + length / _LEAST_BYTES_PER_S, length + _AROUND_BYTES):
            response = self._client.get_object(
                self._bucket,
                self._key,
                offset=offset,
                length=length,
                request_headers={"If-Match": f'"{self.identity.etag}"'},
            )
            try:
                stamp = response.headers.get("etag", "").strip('"')
                if stamp and stamp != self.identity.etag:  # a server that ignores If-Match
                    raise FileChanged(
                        "The file is no longer the one that was recorded.", path=shown(self.identity.path)
                    )
                last = offset + length - 1
                expected = f"bytes {offset}-{last}/{self.identity.size_bytes}"
                whole = response.status == 200 and length == self.identity.size_bytes
                if not whole and (response.status, response.headers.get("content-range")) != (206, expected):
                    raise Malformed("The endpoint does not answer the range that was asked for.")
                data: bytes = response.read(length, decode_content=False)
            finally:
                response.close()
                response.release_conn()
        if len(data) != length:
            raise Unreachable("The storage breaks off its answers.")
        return data
