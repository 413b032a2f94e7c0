"""S3-compatible buckets, read through the `minio` SDK over checked connections.

Owns requests to buckets and what identifies an object. Must never write, follow a redirect, or let a key of the bucket
become anything but a plain path.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import posixpath
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from minio import Minio
from minio.datatypes import Object

from catalog.entities import FileEntry, Storage
from connectors.addresses import AddressRules
from connectors.contract import DATA_SUFFIX, MAX_FILES, EngineAccess, FileIdentity, Opener, Rights, is_data
from connectors.credentials import Credentials
from connectors.errors import (
    AccessDenied,
    AddressRefused,
    FileChanged,
    Malformed,
    NotFound,
    NothingFound,
    PathRefused,
    StorageError,
    TooMany,
)
from connectors.paths import checked_location, checked_path, shown
from connectors.s3_answers import in_our_words
from connectors.s3_file import S3File
from connectors.transport import CheckedPools, bounded

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

PAGE: Final = 1000
_PAGE_BYTES: Final = 16_000_000  # 1000 keys of 1024 bytes, each byte escaped, with all that stands around them
_HEAD_BYTES: Final = 64_000
_HEAD_S: Final = 30.0
_LIST_S: Final = 180.0  # the pages of one listing together
_SEEN_PER_FILE: Final = 10  # keys looked at, per data file allowed
_SEEN_AT_CHECK: Final = 10_000
_PARALLEL: Final = 12
_HEADS_AT_MOST: Final = 24  # more files than this are looked for in a listing first
_PAGES_PER_PAGE: Final = 4  # pages read in that search, per page that the files themselves would fill


class S3Connector:
    """One bucket, or what lies below a prefix of it.

    storage: of kind s3. credentials: None for a public bucket. ca_directory: where authorities' certificates are written
    for the engine to read.

    Raises:
        AddressRefused, PathRefused, AuthorityRefused: the storage's record cannot be right.
    """

    def __init__(
        self, storage: Storage, credentials: Credentials | None, *, rules: AddressRules, ca_directory: Path
    ) -> None:
        self._endpoint = rules.endpoint(storage.endpoint or "")
        self._rules = rules
        self._bucket = _checked_bucket(storage.bucket or "")
        place = checked_location(storage.prefix)
        self._prefix = f"{place}/" if place else ""
        if not _REGION.fullmatch(storage.region):
            raise AddressRefused("A region is a short name of letters, digits, `-` and `_`.")
        self._storage = storage
        self._credentials = credentials
        self._ca_directory = ca_directory
        self._pools = CheckedPools(rules, storage.ca_pem, tls=self._endpoint.scheme == "https")
        self._client = self._connect()
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="s3")

    def list(self, location: str, *, suffix: str = DATA_SUFFIX, limit: int = MAX_FILES) -> Iterator[FileIdentity]:
        """See `Connector.list`."""
        place = checked_location(location)
        if place and not location.endswith("/"):
            try:
                return iter((self._head(place),))
            except (NotFound, AccessDenied):  # without the right to list, S3 says 403 for what is not there
                pass
        found: list[FileIdentity] = []
        for file in self._data_files(place, suffix, limit * _SEEN_PER_FILE):
            found.append(file)
            if len(found) > limit:
                raise TooMany(f"There are more than {limit} data files at this location.", limit=limit)
        if not found:
            raise NothingFound(f"There is no data file (*{suffix}) at this location.", location=shown(location))
        return iter(sorted(found, key=lambda file: file.path))

    def identify(self, paths: Sequence[str]) -> tuple[FileIdentity | None, ...]:
        """See `Connector.identify`. Few files: one HEAD each, at once; many: pages of their common prefix first."""
        for path in paths:
            checked_path(path)
        known = self._listed(paths) if len(paths) > _HEADS_AT_MOST else {}
        missing = [path for path in dict.fromkeys(paths) if path not in known]
        if len(missing) == 1:
            known[missing[0]] = self._head_or_none(missing[0])
        else:
            known.update(zip(missing, self._threads.map(self._head_or_none, missing), strict=True))
        return tuple(known[path] for path in paths)

    def open(self, path: str, expected: FileIdentity | FileEntry | None = None) -> S3File:
        """See `Connector.open`. With an expected identity nothing is asked before the first read."""
        if expected is None or expected.etag is None:
            identity = self._head(checked_path(path))
        else:
            identity = _identity(checked_path(path), expected.etag, expected.size_bytes, expected.version_id)
        if expected is not None and not identity.same_content(expected):
            raise FileChanged("The file is no longer the one that was recorded.", path=shown(path))
        return S3File(self._client, self._bucket, self._prefix + path, identity)

    def opening(self) -> AbstractContextManager[Opener]:
        """See `Connector.opening`: objects have nothing in common."""
        return nullcontext(self.open)

    def engine_paths(self, paths: Iterable[str]) -> tuple[str, ...]:
        """See `Connector.engine_paths`: `s3://bucket/key`."""
        return tuple(f"s3://{self._bucket}/{self._prefix}{checked_path(path)}" for path in paths)

    def engine_access(self) -> EngineAccess:
        """See `Connector.engine_access`.

        The engine resolves the endpoint's name by itself and follows redirects, so this check holds for the moment at
        which it is made. Over plain HTTP a name that the operator did not list is replaced by its checked address; over
        TLS the certificate must fit the name. What remains is closed by rules of the network: see docs/decisions/0004.
        """
        addresses = self._rules.resolve(self._endpoint.host, self._endpoint.port)
        pinned = self._endpoint.scheme == "http" and self._storage.path_style
        pinned = pinned and not self._rules.trusts(self._endpoint.host)
        credentials = self._credentials
        return EngineAccess(
            kind="s3",
            scope=f"s3://{self._bucket}/{self._prefix}",
            endpoint=self._endpoint.authority(addresses[0] if pinned else None),
            port=self._endpoint.port,
            use_ssl=self._endpoint.scheme == "https",
            path_style=self._storage.path_style,
            region=self._storage.region,
            key_id=credentials.key_id if credentials else "",
            secret=credentials.secret if credentials else "",
            session_token=credentials.session_token if credentials else None,
            ca_file=self._ca_file(),
        )

    def check(self) -> Rights:
        """See `Connector.check`. Whether the keys can write is not tried: it would mean writing."""
        least = _least_policy(self._bucket, self._prefix)
        try:
            first = next(self._data_files("", DATA_SUFFIX, _SEEN_AT_CHECK), None)
        except (TooMany, PathRefused):
            return Rights(listing=True, reading=None, least=least)
        except StorageError as error:
            return Rights(listing=False, reading=None, problems=(error.sentence,), least=least)
        if first is None:
            return Rights(listing=True, reading=None, least=least)
        try:
            self.open(first.path, first).read(4)
        except StorageError as error:
            return Rights(listing=True, reading=False, problems=(error.sentence,), least=least)
        return Rights(listing=True, reading=True, least=least)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pools.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> Minio:
        keys = self._credentials
        with in_our_words():
            client = Minio(
                self._endpoint.authority(),
                access_key=keys.key_id if keys else None,
                secret_key=keys.secret if keys else None,
                session_token=keys.session_token if keys else None,
                secure=self._endpoint.scheme == "https",
                region=self._storage.region,  # given, so that it is never asked for
                http_client=self._pools,
            )
        if self._storage.path_style:
            client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]  # minio forgot its annotation
        else:
            client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]  # likewise
        return client

    def _head(self, path: str) -> FileIdentity:
        with in_our_words(), bounded(_HEAD_S, _HEAD_BYTES):
            found = self._client.stat_object(self._bucket, self._prefix + path)
        return _identity(path, found.etag, found.size, found.version_id)

    def _head_or_none(self, path: str) -> FileIdentity | None:
        try:
            return self._head(path)
        except NotFound:
            return None

    def _data_files(self, place: str, suffix: str, seen_limit: int) -> Iterator[FileIdentity]:
        """The data files below a place, in the server's order."""
        below = f"{self._prefix}{place}/" if place else self._prefix
        for seen, entry in enumerate(self._objects(below)):
            if seen >= seen_limit:
                raise TooMany("There are too many objects at this location to look through.", limit=seen_limit)
            key = entry.object_name or ""
            if not key.startswith(below):
                raise Malformed("The endpoint lists objects that were not asked for.")
            if is_data(key.removeprefix(below), suffix):
                path = checked_path(key.removeprefix(self._prefix))
                yield _identity(path, entry.etag, entry.size, None)

    def _objects(self, prefix: str) -> Iterator[Object]:
        """All objects below a prefix, page by page; each page and the whole are bounded."""
        deadline = time.monotonic() + _LIST_S
        with in_our_words():
            source = self._client.list_objects(self._bucket, prefix, recursive=True)
        page: Sequence[Object] = ()
        while not page or len(page) == PAGE:
            with in_our_words(), bounded(deadline - time.monotonic(), _PAGE_BYTES):
                page = tuple(itertools.islice(source, PAGE))
            yield from page
            if not page:
                return

    def _listed(self, paths: Sequence[str]) -> dict[str, FileIdentity | None]:
        """What a bounded listing of the common prefix says of these paths; the others must be asked for one by one."""
        common = posixpath.commonpath([posixpath.dirname(path) for path in paths])
        wanted = set(paths)
        found: dict[str, FileIdentity | None] = {}
        most = (len(wanted) // PAGE + 1) * _PAGES_PER_PAGE * PAGE
        try:
            for entry in itertools.islice(self._objects(self._prefix + (f"{common}/" if common else "")), most):
                path = (entry.object_name or "").removeprefix(self._prefix)
                if path in wanted:
                    found[path] = _identity(path, entry.etag, entry.size, None)
                    if len(found) == len(wanted):
                        break
        except (AccessDenied, NotFound):
            return {}
        return found

    def _ca_file(self) -> str | None:
        """The storage's authorities as a file that the engine may read, written once per content."""
        pem = self._storage.ca_pem
        if pem is None:
            return None
        self._ca_directory.mkdir(parents=True, exist_ok=True)
        target = self._ca_directory / f"{hashlib.sha256(pem.encode()).hexdigest()[:32]}.pem"
        if not target.exists():
            beside = target.with_suffix(f".{os.getpid()}.{os.urandom(4).hex()}")
            beside.write_text(pem)
            beside.replace(target)
        return str(target.resolve())


def _identity(path: str, etag: str | None, size_bytes: int | None, version_id: str | None) -> FileIdentity:
    stamp = (etag or "").strip('"')
    if not stamp or size_bytes is None or size_bytes < 0:
        raise Malformed("The endpoint does not say what identifies a file: its ETag and size.", path=shown(path))
    version = version_id if version_id not in {None, "", "null"} else None
    return FileIdentity(path=path, size_bytes=size_bytes, etag=stamp, version_id=version)


def _checked_bucket(name: str) -> str:
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise PathRefused("A bucket's name has 3 to 63 lower-case letters, digits, `.` and `-`.")
    return name


def _least_policy(bucket: str, prefix: str) -> str:
    """AWS's form, which the S3-compatible servers read too: list below the prefix, read below the prefix."""
    listing: dict[str, object] = {
        "Sid": "ListDatasets",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}"],
    }
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    reading = {
        "Sid": "ReadDatasets",
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/{prefix}*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [listing, reading]}, indent=2)
