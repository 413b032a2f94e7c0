"""What real servers need to run in tests: free loopback ports, a wait with a deadline, and a skip that says why."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

NO_SKIP = "TESTS_NO_SKIP"


class ServerMissing(Exception):
    """The server's programs are not installed here; says what to install."""


def missing(reason: ServerMissing) -> NoReturn:
    """Skip with the reason, or fail with it where no skip is allowed."""
    if os.environ.get(NO_SKIP) == "1":
        pytest.fail(f"{reason} ({NO_SKIP}=1 allows no skip)")
    pytest.skip(str(reason))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A short temporary path (Unix sockets allow 107 bytes), removed at the end."""
    usual = tempfile.gettempdir()
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=usual if len(usual) <= 40 else "/tmp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, timeout_s: float) -> None:
    """Polls until the server is ready. Raises RuntimeError with the end of its log if it ends or is too slow."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = f"ended with {process.returncode}" if process.returncode is not None else "was not ready in time"
            raise RuntimeError(f"the server {state}:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def dies_with_us(signal_: int) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends this signal when the test process goes, even by kill -9 (Linux)."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(1, signal_, 0, 0, 0)  # PR_SET_PDEATHSIG

    return ask


def stop(process: subprocess.Popen[bytes], *, timeout_s: float = 5) -> None:
    """Terminate, and kill if that takes too long."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
