"""The gateway's end of an inspection: starts an inspector, feeds it, bounds its time and memory, and judges its answer.

Owns the life of the process, which always ends with the call. Must never take from the answer more than it asked for: an
inspector may have been taken over by what it read, and then speaks for the provider whose files these are.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from catalog.entities import Column, FileEntry
from connectors.contract import FileIdentity
from datalab.publish.errors import FileProblem, FilesRefused, InspectionFailed
from datalab.publish.frames import BrokenFrame, read_frame, write_frame
from datalab.publish.source import Source, file_message

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""(files done, files in all), called from the thread that inspects."""

MAX_ANSWER_BYTES: Final = 64 << 20
MAX_ROWS: Final = 10**12
MAX_COLUMNS: Final = 5000
MAX_TEXT: Final = 1000
_CODE = re.compile(r"(publish|storage)\.[a-z_]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one inspection may use.

    memory_bytes: address space beyond the program itself. cpu_s: processor seconds. timeout_s: wall clock. threads: that
    read footers at once; more for S3, where they mostly wait. temp_root: where its directory is made; None: the system's.
    """

    memory_bytes: int = 2 << 30
    cpu_s: int = 600
    timeout_s: float = 900.0
    threads: int = max(2, min(8, os.cpu_count() or 2))
    require_landlock: bool = False
    temp_root: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a location holds: the body of a version's record. files: in the order of their paths."""

    files: tuple[FileEntry, ...]
    columns: tuple[Column, ...]
    arrow_schema: bytes
    hive_partitioning: bool

    @property
    def row_count(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class _Died(Exception):
    """The process ended without an answer. at: the file it was at, if it said so."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at = at


def inspect(
    source: Source, files: Sequence[FileIdentity], limits: Limits, progress: Progress = lambda _done, _all: None
) -> Inspected:
    """Reads the footers of these files in a process of their own.

    files: at least one, sorted by path; each must still be what it says here.

    Raises:
        FilesRefused: files that cannot be served, or that do not make one table.
        InspectionFailed: it took too long, or the process failed without a file at fault.
    """
    deadline = time.monotonic() + limits.timeout_s
    try:
        result = _run(source, files, limits, deadline, progress, careful=False)
    except _Died:
        log.warning("an inspector died over %d files; looking for the one at fault", len(files))
        try:
            result = _run(source, files, limits, deadline, progress, careful=True)
        except _Died as died:
            if died.at is None or died.at >= len(files):
                raise InspectionFailed("publish.inspector", "The inspection failed; try again later.") from None
            path = files[died.at].path
            sentence = f"{path} is corrupt: reading its footer ended the process that inspected it."
            raise FilesRefused([FileProblem(path=path, code="publish.corrupt", sentence=sentence)]) from None
    return _judge(result, files)


def _run(
    source: Source,
    files: Sequence[FileIdentity],
    limits: Limits,
    deadline: float,
    progress: Progress,
    *,
    careful: bool,
) -> Mapping[str, Any]:
    """One process from start to end; returns its result, as yet unjudged."""
    with tempfile.TemporaryDirectory(
        prefix="inspector-", dir=limits.temp_root, ignore_cleanup_errors=True
    ) as directory:
        process = _start(directory)
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            process.kill()

        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            return _converse(process, _request(source, files, limits, directory, careful=careful), progress, len(files))
        except _Died:
            if timed_out.is_set():
                raise InspectionFailed(
                    "publish.time", f"The inspection took longer than {limits.timeout_s:.0f} s.", files=len(files)
                ) from None
            raise
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


def _start(directory: str) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.defpath,
        "HOME": directory,
        "TMPDIR": directory,
        "LANG": "C.UTF-8",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve address space, which is bounded
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-m", "datalab.publish.inspector"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries print paths and values there
        cwd=directory,
        env=environment,
        close_fds=True,
    )


def _request(
    source: Source, files: Sequence[FileIdentity], limits: Limits, directory: str, *, careful: bool
) -> dict[str, object]:
    return {
        "source": source.message(),
        "files": [file_message(file) for file in files],
        "directory": directory,
        "threads": limits.threads,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
        "require_landlock": limits.require_landlock,
        "careful": careful,
    }


def _converse(
    process: subprocess.Popen[bytes], request: Mapping[str, object], progress: Progress, total: int
) -> Mapping[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    at: int | None = None
    read = 0
    try:
        write_frame(process.stdin, request)
        while True:
            frame = read_frame(process.stdout, MAX_ANSWER_BYTES)
            read += 1
            if not isinstance(frame, dict) or read > 4 * total + 16:
                raise InspectionFailed("publish.inspector", "The inspection failed; try again later.")
            if isinstance(frame.get("result"), dict):
                return frame["result"]  # type: ignore[no-any-return]  # checked just above
            if isinstance(frame.get("at"), int):
                at = frame["at"]
            if isinstance(frame.get("done"), int):
                progress(min(frame["done"], total), total)
    except (BrokenFrame, OSError):
        raise _Died(at) from None


def _judge(result: Mapping[str, Any], files: Sequence[FileIdentity]) -> Inspected:
    """The answer as a value; everything in it is checked.

    Raises:
        FilesRefused: the answer says what is wrong with the files.
        InspectionFailed: the answer is not one.
    """
    try:
        if "problems" in result:
            _refuse(result, {file.path for file in files})
        columns = tuple(_column(*column) for column in result["columns"][: MAX_COLUMNS + 1])
        return Inspected(
            files=tuple(file.entry(_count(count)) for file, count in zip(files, result["rows"], strict=True)),
            columns=_bounded(columns),
            arrow_schema=base64.b64decode(result["arrow_schema"], validate=True),
            hive_partitioning=bool(result["hive_partitioning"]),
        )
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise InspectionFailed("publish.inspector", "The inspection failed; try again later.") from None


def _refuse(result: Mapping[str, Any], paths: set[str]) -> NoReturn:
    problems = []
    for one in result["problems"]:
        path, code, sentence = _text(one["path"]), _text(one["code"]), str(one["sentence"])[:MAX_TEXT]
        if path not in paths or not _CODE.fullmatch(code):
            raise ValueError("a problem that is none of ours")
        problems.append(FileProblem(path=path, code=code, sentence=sentence))
    if not problems:
        raise ValueError("a refusal without a problem")
    raise FilesRefused(problems, max(len(problems), min(_count(result["total"]), len(paths))))


def _bounded(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    if not 0 < len(columns) <= MAX_COLUMNS:
        raise ValueError("no table")
    return columns


def _column(name: object, type_: object, nullable: object, partition: object) -> Column:
    if not isinstance(nullable, bool) or not isinstance(partition, bool):
        raise TypeError("flags are booleans")
    return Column(name=_text(name), type=str(type_), nullable=nullable, partition=partition)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 4 * MAX_TEXT:
        raise TypeError("no text of the expected size")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_ROWS:
        raise ValueError("no count")
    return value
