"""Opening files beneath a directory, one component at a time, following no symbolic link.

Owns the walk: a name is never given to the kernel as a whole path, so a link put in the place of a directory between a
check and the opening is refused by the opening itself. Must never accept `..`; callers check names first.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, NoReturn, Self

from connectors.errors import AccessDenied, NotFound, PathRefused, Unreachable
from connectors.paths import shown

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold us
_KEPT: Final = 256  # directories held open at once by one call


class Beneath:
    """Names beneath one open directory. Keeps the directories it walked through open until it is closed.

    root: descriptor of the directory; taken over.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: dict[tuple[str, ...], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._forget()
        os.close(self._root)

    def stat(self, path: str) -> os.stat_result:
        """The status of the name itself, never of what a link points at. Raises NotFound, PathRefused, AccessDenied."""
        *parents, name = path.split("/")
        directory = self.directory(parents)
        with _refusals(path):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def open_file(self, path: str) -> tuple[int, os.stat_result]:
        """A descriptor of a regular file and its status. Raises NotFound, PathRefused, AccessDenied."""
        *parents, name = path.split("/")
        directory = self.directory(parents)
        with _refusals(path):
            descriptor = os.open(name, _FILE, dir_fd=directory)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise PathRefused("This is not a plain file.", path=shown(path))
        os.set_blocking(descriptor, True)
        return descriptor, status

    def directory(self, parts: Sequence[str]) -> int:
        """A descriptor of the directory, owned by this object and valid until the next call of any method."""
        if not parts:
            return self._root
        key = tuple(parts)
        if key in self._open:
            return self._open[key]
        parent = self.directory(key[:-1])
        with _refusals("/".join(key)):
            try:
                descriptor = os.open(key[-1], _DIRECTORY, dir_fd=parent)
            except NotADirectoryError:
                # The kernel says the same of a file and of a link that O_NOFOLLOW met.
                if stat.S_ISLNK(os.stat(key[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                    raise OSError(errno.ELOOP, "link") from None
                raise
        if len(self._open) >= _KEPT:
            self._forget()
        self._open[key] = descriptor
        return descriptor

    def _forget(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


@contextmanager
def _refusals(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _refuse(error, path)


def _refuse(error: OSError, path: str) -> NoReturn:
    if error.errno == errno.ELOOP:
        raise PathRefused("Symbolic links are not followed; name the file itself.", path=shown(path)) from None
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
        raise NotFound("There is no such file or directory.", path=shown(path)) from None
    if error.errno in {errno.EACCES, errno.EPERM}:
        raise AccessDenied("The gateway may not read this.", path=shown(path)) from None
    if error.errno == errno.ENXIO:  # a FIFO or socket without a peer
        raise PathRefused("This is not a plain file.", path=shown(path)) from None
    raise Unreachable("The file system does not answer.", path=shown(path)) from None
