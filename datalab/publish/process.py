"""One inspector process from start to end: started, fed, listened to, and ended with the call.

Owns the bounds on its time and on what it may send. Must never pass a secret in an argument or in the environment.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from connectors.contract import FileIdentity
from datalab.publish.errors import InspectionFailed
from datalab.publish.frames import BrokenFrame, read_frame, write_frame
from datalab.publish.partitions import PartitionKey
from datalab.publish.source import Source, file_message

MAX_ANSWER_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one inspection may use.

    processes: at most so many at once; each has its own bounds. files_per_process: fewer files do not start a further one.
    threads: in each process; remote_threads: where reads mostly wait for a network. memory_bytes: address space of a process
    beyond the program itself. cpu_s: processor seconds of a process. timeout_s: wall clock of the whole. temp_root: where
    processes get their directories; None: the system's.
    """

    processes: int = max(1, min(4, os.cpu_count() or 1))
    files_per_process: int = 1000
    threads: int = 2
    remote_threads: int = 16
    memory_bytes: int = 2 << 30
    cpu_s: int = 600
    timeout_s: float = 900.0
    require_landlock: bool = False
    temp_root: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one process is to do. deadline: of time.monotonic(). careful: one file after the other, saying which."""

    source: Source
    files: Sequence[FileIdentity]
    keys: Sequence[PartitionKey]
    limits: Limits
    deadline: float
    careful: bool = False

    def message(self, directory: str) -> dict[str, object]:
        limits = self.limits
        return {
            "source": self.source.message(),
            "files": [file_message(file) for file in self.files],
            "partitions": [[key.name, key.type] for key in self.keys],
            "directory": directory,
            "threads": limits.remote_threads if self.source.remote else limits.threads,
            "memory_bytes": limits.memory_bytes,
            "cpu_s": limits.cpu_s,
            "require_landlock": limits.require_landlock,
            "careful": self.careful,
        }


class Died(Exception):
    """The process ended without an answer. at: the index of the file it was at, if it said so; problems: found until then."""

    def __init__(self, at: int | None = None, problems: Sequence[object] = ()) -> None:
        super().__init__()
        self.at = at
        self.problems = problems


class Inspector:
    """Runs one task. `cancel` may be called from another thread, before or while it runs: the process is killed."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                self._process.kill()

    def run(self, report: Callable[[int], None]) -> Mapping[str, Any]:
        """The process's answer, as yet unjudged. report: how many of its files are done.

        Raises:
            Died: it ended without an answer, or was cancelled.
            InspectionFailed: the deadline passed, or it does not speak the protocol.
        """
        task = self._task
        with (
            tempfile.TemporaryDirectory(
                prefix="inspector-", dir=task.limits.temp_root, ignore_cleanup_errors=True
            ) as directory,
            self._started(directory) as process,
            _killed_at(task.deadline, process) as timed_out,
        ):
            try:
                return _converse(process, task.message(directory), report, len(task.files))
            except Died:
                if timed_out.is_set():
                    raise InspectionFailed(
                        "publish.time", f"The inspection took longer than {task.limits.timeout_s:.0f} s."
                    ) from None
                raise

    @contextmanager
    def _started(self, directory: str) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._cancelled:
                raise Died
            process = self._process = _start(directory)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


@contextmanager
def _killed_at(deadline: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    timed_out = threading.Event()

    def give_up() -> None:
        timed_out.set()
        process.kill()

    watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield timed_out
    finally:
        watchdog.cancel()
        watchdog.join()  # so that it never kills a process that took over the number


def _start(directory: str) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.defpath,
        "HOME": directory,
        "TMPDIR": directory,
        "LANG": "C.UTF-8",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve address space, which is bounded
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
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


def _converse(
    process: subprocess.Popen[bytes], request: Mapping[str, object], report: Callable[[int], None], total: int
) -> Mapping[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    at: int | None = None
    problems: list[object] = []
    try:
        write_frame(process.stdin, request)
        for _ in range(4 * total + 16):
            frame = read_frame(process.stdout, MAX_ANSWER_BYTES)
            message: Mapping[str, Any] = frame if isinstance(frame, dict) else {}
            if isinstance(message.get("result"), dict):
                return message["result"]  # type: ignore[no-any-return]  # a dict, as checked in the line before
            if isinstance(message.get("at"), int):
                at = message["at"]
            elif isinstance(message.get("done"), int):
                report(min(message["done"], total))
            elif "problem" in message:
                problems.append(message["problem"])
    except (BrokenFrame, OSError):
        raise Died(at, problems) from None
    raise InspectionFailed("publish.inspector", "The inspection failed; try again later.")
