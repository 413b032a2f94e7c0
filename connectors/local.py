"""Directories of this machine, below the roots that the operator opened.

Owns where a local storage may lie and what is a data file in it. Must never return an absolute path in an error, nor
reach the gateway's own home.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from catalog.entities import FileEntry
from connectors.beneath import Beneath
from connectors.contract import DATA_SUFFIX, MAX_FILES, EngineAccess, FileIdentity, Opener, Rights, hidden
from connectors.errors import (
    FileChanged,
    NotFound,
    NothingFound,
    PathRefused,
    RootRefused,
    StorageError,
    TooMany,
    Unreachable,
)
from connectors.paths import checked_location, checked_path, shown

_SEEN_PER_FILE: Final = 10  # entries looked at, per data file allowed: a directory of other things is bounded too

_SEEN_AT_CHECK: Final = 10_000

_LEAST: Final = (
    "The account that runs the gateway needs to read this directory: r-x on each directory, r-- on each file. It should "
    "not be able to write there; a read-only mount is best."
)


class LocalFile(io.FileIO):
    """An open local file that remembers what it was when it was opened."""

    def __init__(self, descriptor: int, identity: FileIdentity) -> None:
        super().__init__(descriptor, "rb")
        self.identity = identity


class LocalConnector:
    """One directory below one of the operator's roots.

    root: absolute path, as the storage's record names it. roots: the directories that the operator opened; they may be
    symbolic links, what lies below may not. home: the gateway's own home, which no root may be, hold or lie in.

    Raises:
        RootRefused: the directory is not below a root, or touches the home.
    """

    def __init__(self, root: str, *, roots: Sequence[Path], home: Path) -> None:
        self._base, self._below = _placed(root, roots)
        self._real = str(Path(self._base.resolve(), *self._below))
        with self._beneath():
            _refuse_home(self._real, home)

    def list(self, location: str, *, suffix: str = DATA_SUFFIX, limit: int = MAX_FILES) -> Iterator[FileIdentity]:
        """See `Connector.list`."""
        place = checked_location(location)
        with self._beneath() as beneath:
            found = _found(beneath, place, suffix, limit)
        if not found:
            raise NothingFound(f"There is no data file (*{suffix}) at this location.", location=shown(location))
        return iter(sorted(found, key=lambda file: file.path))

    def identify(self, paths: Sequence[str]) -> tuple[FileIdentity | None, ...]:
        """See `Connector.identify`. A symbolic link, a directory or a device in the file's place: the file is gone."""
        for path in paths:
            checked_path(path)
        with self._beneath() as beneath:
            return tuple(_present(beneath, path) for path in paths)

    def open(self, path: str, expected: FileIdentity | FileEntry | None = None) -> LocalFile:
        """See `Connector.open`."""
        with self._beneath() as beneath:
            return _opened(beneath, path, expected)

    @contextmanager
    def opening(self) -> Iterator[Opener]:
        """See `Connector.opening`: the root and the directories on the way stay open meanwhile."""
        with self._beneath() as beneath:
            yield partial(_opened, beneath)

    def engine_paths(self, paths: Iterable[str]) -> tuple[str, ...]:
        """See `Connector.engine_paths`: absolute paths."""
        return tuple(f"{self._real}/{checked_path(path)}" for path in paths)

    def engine_access(self) -> EngineAccess:
        """See `Connector.engine_access`."""
        with self._beneath():
            return EngineAccess(kind="local", scope=f"{self._real}/")

    def check(self) -> Rights:
        """See `Connector.check`. Advice where the gateway could write: the engine's read list is its write list too."""
        advice: tuple[str, ...] = ()
        if os.access(self._real, os.W_OK, effective_ids=True):
            advice = ("The gateway can write in this directory. Give it read rights only.",)
        try:
            with self._beneath() as beneath:
                first = next(_walk(beneath, "", DATA_SUFFIX, _SEEN_AT_CHECK), None)
        except (TooMany, PathRefused):  # a data file has an unusable name: listing works, and says so when it is used
            return Rights(listing=True, reading=None, advice=advice, least=_LEAST)
        except StorageError as error:
            return Rights(listing=False, reading=None, problems=(error.sentence,), advice=advice, least=_LEAST)
        if first is None:
            return Rights(listing=True, reading=None, advice=advice, least=_LEAST)
        try:
            self.open(first.path).close()
        except StorageError as error:
            return Rights(listing=True, reading=False, problems=(error.sentence,), advice=advice, least=_LEAST)
        return Rights(listing=True, reading=True, advice=advice, least=_LEAST)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _beneath(self) -> Iterator[Beneath]:
        """The storage's directory, opened anew, so that what replaced it since meets the same checks."""
        try:
            base = os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Unreachable("The operator's root directory cannot be opened.") from error
        with Beneath(base) as roots:
            try:
                root = os.dup(roots.directory(self._below))
            except (NotFound, PathRefused):
                raise RootRefused("The storage's directory does not exist, or is a symbolic link.") from None
        with Beneath(root) as beneath:
            yield beneath


def _opened(beneath: Beneath, path: str, expected: FileIdentity | FileEntry | None = None) -> LocalFile:
    descriptor, status = beneath.open_file(checked_path(path))
    identity = _identity(path, status)
    if expected is not None and not identity.same_content(expected):
        os.close(descriptor)
        raise FileChanged("The file is no longer the one that was recorded.", path=shown(path))
    return LocalFile(descriptor, identity)


def _placed(root: str, roots: Sequence[Path]) -> tuple[Path, tuple[str, ...]]:
    """The operator's root that holds the directory, and the way down from it; the deepest root if several do."""
    path = PurePosixPath(root)
    if not path.is_absolute() or str(path) != root.rstrip("/") or any(part in {".", ".."} for part in path.parts):
        raise RootRefused("A local storage is named by an absolute path without `.`, `..` or doubled slashes.")
    for base in sorted(roots, key=lambda candidate: len(candidate.parts), reverse=True):
        if path.is_relative_to(base):
            below = path.relative_to(base).parts
            for text in (str(base.resolve()).lstrip("/"), *below):
                checked_path(text)
            return base, below
    raise RootRefused("This directory is not below any directory that the operator opened for local storages.")


def _refuse_home(root: str, home: Path) -> None:
    """Compares directories by device and inode, so that no spelling, link or bind mount hides one."""
    of_root, of_home = _lineage(root), _lineage(str(home))
    if home.exists() and of_home[0] in of_root:
        raise RootRefused("A storage cannot lie inside the gateway's home, or be it.")
    if of_root[0] in of_home:
        raise RootRefused("A storage cannot hold the gateway's home.")


def _lineage(path: str) -> list[tuple[int, int]]:
    """Device and inode of the path and of each directory above it, nearest first; what does not exist is left out."""
    found = []
    place = os.path.realpath(path)
    while True:
        with suppress(FileNotFoundError):
            state = os.stat(place)  # noqa: PTH116  a Path for each step costs more than the call
            found.append((state.st_dev, state.st_ino))
        above = posixpath.dirname(place)
        if above == place:
            return found
        place = above


def _found(beneath: Beneath, place: str, suffix: str, limit: int) -> list[FileIdentity]:
    if place:
        status = beneath.stat(place)
        if stat.S_ISLNK(status.st_mode):
            raise PathRefused("Symbolic links are not followed; name the file itself.", path=shown(place))
        if not stat.S_ISDIR(status.st_mode):
            if not stat.S_ISREG(status.st_mode):
                raise PathRefused("This is not a plain file.", path=shown(place))
            return [_identity(place, status)]
    found: list[FileIdentity] = []
    for file in _walk(beneath, place, suffix, limit * _SEEN_PER_FILE):
        found.append(file)
        if len(found) > limit:
            raise TooMany(f"There are more than {limit} data files at this location.", limit=limit)
    return found


def _walk(beneath: Beneath, place: str, suffix: str, seen_limit: int) -> Iterator[FileIdentity]:
    """The data files below a directory, in no order."""
    waiting = [place]
    seen = 0
    while waiting:
        directory = waiting.pop()
        with os.scandir(beneath.directory(directory.split("/") if directory else ())) as entries:
            for entry in entries:
                seen += 1
                if seen > seen_limit:
                    raise TooMany("There are too many entries at this location to look through.", limit=seen_limit)
                if hidden(entry.name):
                    continue
                path = f"{directory}/{entry.name}" if directory else entry.name
                if entry.is_symlink():
                    raise PathRefused("Symbolic links are not followed; name the file itself.", path=shown(path))
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(checked_path(path))
                elif entry.name.lower().endswith(suffix.lower()):
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISREG(status.st_mode):
                        raise PathRefused("This is not a plain file.", path=shown(path))
                    yield _identity(checked_path(path), status)


def _present(beneath: Beneath, path: str) -> FileIdentity | None:
    try:
        status = beneath.stat(path)
    except (NotFound, PathRefused):
        return None
    return _identity(path, status) if stat.S_ISREG(status.st_mode) else None


def _identity(path: str, status: os.stat_result) -> FileIdentity:
    return FileIdentity(
        path=path,
        size_bytes=status.st_size,
        device=status.st_dev,
        inode=status.st_ino,
        mtime_ns=status.st_mtime_ns,
    )
