"""What every storage can do, whatever it is made of: list data files, say what identifies them, open one, and tell the
engine how to reach them.

Owns the Protocol and its values. Must never import an SDK: each implementation does so in its own module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from catalog.entities import FileEntry
from connectors.errors import AuthorityRefused

DATA_SUFFIX: Final = ".parquet"
MAX_FILES: Final = 100_000
"""The most data files one listing yields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity:
    """What identifies a file's content now. Fields as in `catalog.entities.FileEntry`, without the rows.

    S3: etag, and version_id where the bucket has versions and the answer names one (a listing never does).
    Local: device, inode, mtime_ns.
    """

    path: str
    size_bytes: int
    etag: str | None = None
    version_id: str | None = None
    device: int | None = None
    inode: int | None = None
    mtime_ns: int | None = None

    def entry(self, rows: int) -> FileEntry:
        """The file in a version's record. rows: as its footer says."""
        return FileEntry(
            path=self.path, size_bytes=self.size_bytes, rows=rows, etag=self.etag, version_id=self.version_id,
            device=self.device, inode=self.inode, mtime_ns=self.mtime_ns,
        )  # fmt: skip

    def same_content(self, other: FileIdentity | FileEntry) -> bool:
        """Whether both name the same content of the same path.

        Version ids count only where both have one: two versions with one ETag hold the same bytes.
        """
        if (self.path, self.size_bytes) != (other.path, other.size_bytes):
            return False
        if self.version_id is not None and other.version_id is not None and self.version_id != other.version_id:
            return False
        mine, theirs = _stamp(self), _stamp(other)
        return mine == theirs and any(part is not None for part in mine)


def _stamp(file: FileIdentity | FileEntry) -> tuple[str | int | None, ...]:
    return file.etag, file.device, file.inode, file.mtime_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAccess:
    """All that a worker needs to read one storage, and nothing that lets it reach further.

    scope: the directory, or `s3://bucket/prefix/`; both end in `/`, since the engine compares prefixes as text and
    `s3://bucket/a` would open `s3://bucket/ab` too. endpoint: `host:port` without scheme. ca_file: absolute path of a PEM
    file that the worker may read. key_id and secret are empty for a public bucket.
    """

    kind: Literal["local", "s3"]
    scope: str
    endpoint: str = ""
    port: int = 0
    use_ssl: bool = True
    path_style: bool = True
    region: str = ""
    key_id: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    session_token: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    def message(self) -> dict[str, str | int | bool | None]:
        """The JSON-able form that goes to a worker through its private socket. Carries the secret: never log it."""
        if self.kind == "local":
            return {"kind": "local", "directory": self.scope}
        return {
            "kind": "s3", "scope": self.scope, "endpoint": self.endpoint, "port": self.port, "use_ssl": self.use_ssl,
            "path_style": self.path_style, "region": self.region, "key_id": self.key_id, "secret": self.secret,
            "session_token": self.session_token, "ca_file": self.ca_file,
        }  # fmt: skip

    @property
    def fingerprint(self) -> str:
        """Changes with every field, the secret included, and reveals none: a part of the key of a prepared worker."""
        return hashlib.sha256(json.dumps(self.message(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What was tried on a storage and how it went.

    listing, reading: True works, False does not, None could not be tried (nothing to read). problems: what does not work,
    one sentence each; advice: what works but should not. least: the least rights that are needed, as a document the
    provider can apply (S3: a policy; local: words).
    """

    listing: bool
    reading: bool | None
    problems: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    least: str = ""

    @property
    def enough(self) -> bool:
        return self.listing and self.reading is not False


def require_one_authority(accesses: Iterable[EngineAccess]) -> None:
    """Refuses storages that one engine instance cannot read together safely.

    The engine trusts one set of certificate authorities for all that it reads: with two, one provider's private
    authority would vouch for another's endpoint.

    Raises:
        AuthorityRefused: two of them speak TLS under different authorities.
    """
    if len({access.ca_file for access in accesses if access.kind == "s3" and access.use_ssl}) > 1:
        raise AuthorityRefused(
            "These datasets lie on storages with different certificate authorities and cannot be read in one query."
        )


class RandomAccess(Protocol):
    """An open file, as pyarrow's `PythonFile` takes it.

    identity: what was opened. S3 answers each read from that content or fails; a local file can be written in place
    while it is open, so ask `Connector.identify` again after the last read.
    """

    @property
    def identity(self) -> FileIdentity: ...
    @property
    def closed(self) -> bool: ...
    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...
    def readable(self) -> bool: ...
    def seekable(self) -> bool: ...
    def writable(self) -> bool: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Opener(Protocol):
    def __call__(self, path: str, expected: FileIdentity | FileEntry | None = None) -> RandomAccess:
        """See `Connector.open`."""
        ...


class Connector(Protocol):
    """One storage. Safe to use from several threads. Every method raises `StorageError` and nothing else."""

    def list(self, location: str, *, suffix: str = DATA_SUFFIX, limit: int = MAX_FILES) -> Iterator[FileIdentity]:
        """The data files at a location, sorted by path (code points).

        location: a file, or a prefix of whole segments; "" is the whole storage. A file that the location names is
        taken as it is; below a prefix only names that end in `suffix` (any case) count, and a segment that begins with
        `.`, or with `_` but holds no `=` (a hive partition may), hides what is below it, as Hadoop and Spark do.

        Raises:
            NothingFound: no data file is there.
            PathRefused: a data file's name could mean something else to the engine, or it is not a plain file.
            TooMany: more than `limit` files.
        """
        ...

    def identify(self, paths: Sequence[str]) -> tuple[FileIdentity | None, ...]:
        """The present identity of each path, in the same order; None: the file is gone."""
        ...

    def open(self, path: str, expected: FileIdentity | FileEntry | None = None) -> RandomAccess:
        """Opens one file for reading at random.

        Raises:
            NotFound: there is no such file.
            FileChanged: it is not the expected one; S3 may notice this at a later read too.
        """
        ...

    def opening(self) -> AbstractContextManager[Opener]:
        """`open` for several files in a row, by one thread: what they have in common is looked at once."""
        ...

    def engine_paths(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The text by which the engine must read each path. Raises PathRefused."""
        ...

    def engine_access(self) -> EngineAccess:
        """What the engine needs to read this storage; addresses are checked anew at each call."""
        ...

    def check(self) -> Rights:
        """Tries the rights that are needed. A problem is part of the answer, not raised."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def changed(connector: Connector, files: Sequence[FileEntry]) -> list[str]:
    """The paths whose content is no longer the recorded one, or is gone. Empty: all are as recorded."""
    present = connector.identify([file.path for file in files])
    return [
        file.path
        for file, now in zip(files, present, strict=True)
        if now is None or not now.same_content(file)
    ]  # fmt: skip


def is_data(relative: str, suffix: str) -> bool:
    """Whether a path below a listed prefix is a data file of the field: see `Connector.list`."""
    *directories, name = relative.split("/")
    return name.lower().endswith(suffix.lower()) and not any(hidden(segment) for segment in (*directories, name))


def hidden(segment: str) -> bool:
    """Hadoop's and Spark's rule for what is not data: `.crc`, `_SUCCESS`, `_delta_log`; but `_year=2024` is a partition."""
    return segment.startswith(".") or (segment.startswith("_") and "=" not in segment)
