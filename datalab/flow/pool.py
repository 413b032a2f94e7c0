"""The worker processes: started ahead, prepared for one key, kept warm, ended on the slightest doubt.

A key is a participant and the storages of its query; a worker prepared for one key never serves another. Admission is
bounded here: so many plans at once, so many waiting, everyone else is told to come back. Must never see rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from datalab.flow import ring
from datalab.flow.errors import Busy, EngineFailed

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0
CANCEL_GRACE_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How many workers, and what each may use.

    active: plans that run at once. queued: plans that wait for one of those places; one more is refused. warm: prepared
    workers kept idle. spares: unprepared workers kept ready. memory_bytes: address space of a worker beyond its own code;
    duckdb_memory_bytes: DuckDB's memory_limit inside it; spill_bytes: its temporary files. timeout_s: wall clock of a
    plan until its first byte and between bytes of the engine; idle_stream_timeout_s: how long a client may not read.
    """

    httpfs: str
    temp_root: str
    active: int = 8
    queued: int = 64
    warm: int = 4
    spares: int = 1
    threads: int = 2
    memory_bytes: int = 4 << 30
    duckdb_memory_bytes: int = 1 << 30
    spill_bytes: int = 8 << 30
    timeout_s: float = 60.0
    idle_stream_timeout_s: float = 60.0
    require_landlock: bool = False


@dataclass(slots=True)
class Worker:
    """The gateway's end of one worker process."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    memory: memoryview
    directory: str
    key: str | None = None
    dead: bool = field(default=False)
    _header: tuple[bytes, int] | None = field(
        default=None
    )  # read, its payload not yet: receive may be cancelled between

    async def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Write a frame.

        Raises:
            WorkerDied: the process is gone.
        """
        self.writer.write(ring.frame(kind, payload))
        try:
            await self.writer.drain()
        except ConnectionError as error:
            self.dead = True
            raise WorkerDied from error

    async def receive(self) -> tuple[bytes, bytes]:
        """The next frame.

        Raises:
            WorkerDied: the process is gone.
        """
        try:
            if self._header is None:
                self._header = ring.HEADER.unpack(await self.reader.readexactly(ring.HEADER.size))
            kind, length = self._header
            payload = await self.reader.readexactly(length) if length else b""
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.dead = True
            raise WorkerDied from error
        self._header = None
        return kind, payload

    def kill(self) -> None:
        self.dead = True
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)


class WorkerDied(Exception):
    """The process ended by itself: out of memory, a crash, or someone's kill."""


class Pool:
    """All workers of this gateway process. Belongs to one event loop."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        Path(options.temp_root).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._places = asyncio.Semaphore(options.active)
        self._waiting = 0
        self._running = 0
        self._warm: OrderedDict[int, Worker] = OrderedDict()  # by id, least recently used first
        self._spares: asyncio.Queue[Worker] = asyncio.Queue()
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return self._waiting

    async def open(self) -> None:
        """Start the spares, and fail now if a worker cannot start at all."""
        self._spares.put_nowait(await self._start())
        self._refill()

    async def close(self) -> None:
        """End every worker; those that are just starting or dying are waited for."""
        self._closed = True
        while self._tasks:
            await asyncio.gather(*self._tasks)
        idle = [self._spares.get_nowait() for _ in range(self._spares.qsize())] + list(self._warm.values())
        self._warm.clear()
        for worker in idle:
            await self._bury(worker)

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the bounded places to run a plan in.

        Raises:
            Busy: as many as may are waiting already.
        """
        if self._waiting >= self.options.queued:
            raise Busy(
                "engine.busy", "The gateway has as many queries as it can take; try again soon.", retry_after_s=2
            )
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._places.release()

    @contextlib.asynccontextmanager
    async def worker(self, key: str, access: list[Mapping[str, Any]]) -> AsyncIterator[Worker]:
        """A worker prepared for this key, alone for the caller's use.

        Whatever leaves the block by an exception leaves a worker in an unknown state: it is ended. After a clean exit
        it stays warm for its key.
        """
        worker = self._take_warm(key) or await self._prepare(key, access)
        try:
            yield worker
        except BaseException:
            self._discard(worker)
            raise
        self._give_back(worker)

    def _take_warm(self, key: str) -> Worker | None:
        for identity, worker in reversed(self._warm.items()):
            if worker.key == key:
                del self._warm[identity]
                if worker.dead or worker.process.returncode is not None:
                    self._discard(worker)
                    return self._take_warm(key)
                return worker
        return None

    async def _prepare(self, key: str, access: list[Mapping[str, Any]]) -> Worker:
        worker = await self._spare()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await worker.send(ring.PREPARE, orjson.dumps({"storages": access}))
                kind, _ = await worker.receive()
        except (WorkerDied, TimeoutError) as error:
            self._discard(worker)
            log.error("engine.failed: a worker could not be prepared")  # noqa: TRY400  engine text stays in the worker
            raise EngineFailed("engine.failed", "The engine could not be prepared; the operator was told.") from error
        except BaseException:
            self._discard(worker)
            raise
        assert kind == ring.READY
        worker.key = key
        return worker

    async def _spare(self) -> Worker:
        while not self._spares.empty():
            worker = self._spares.get_nowait()
            self._refill()
            if worker.process.returncode is None:
                return worker
            self._discard(worker)
        try:
            return await self._start()
        except (OSError, WorkerDied, TimeoutError) as error:
            raise EngineFailed("engine.failed", "The engine could not be started; the operator was told.") from error

    def _refill(self) -> None:
        missing = self.options.spares - self._spares.qsize() - self._starting
        for _ in range(0 if self._closed else max(missing, 0)):
            self._starting += 1
            self._background(self._start_spare())

    async def _start_spare(self) -> None:
        try:
            worker = await self._start()
        except (OSError, WorkerDied, TimeoutError):
            log.exception("engine.failed: a worker did not start")
            await asyncio.sleep(1)
            self._starting -= 1
            self._refill()
            return
        self._starting -= 1
        self._spares.put_nowait(worker)

    async def _start(self) -> Worker:
        ours, theirs = socket.socketpair()
        memory_fd = ring.create()
        directory = tempfile.mkdtemp(dir=self.options.temp_root, prefix="worker-")
        try:
            # -P and -s: nothing from the working directory or the user's site can stand in for our modules.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-s", "-m", "datalab.flow.start", str(theirs.fileno()), str(memory_fd),
                pass_fds=(theirs.fileno(), memory_fd), cwd=directory, env=_worker_environment(),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        finally:
            theirs.close()
            memory = ring.view(memory_fd)
            os.close(memory_fd)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        worker = Worker(process, reader, writer, memory, directory)
        options = self.options
        start = {
            "httpfs": options.httpfs,
            "temp_directory": directory,
            "threads": options.threads,
            "memory_bytes": options.memory_bytes,
            "duckdb_memory_bytes": options.duckdb_memory_bytes,
            "spill_bytes": options.spill_bytes,
            "require_landlock": options.require_landlock,
        }
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await worker.send(ring.PREPARE, orjson.dumps(start))
                await worker.receive()
        except BaseException:
            await self._bury(worker)
            raise
        return worker

    def _give_back(self, worker: Worker) -> None:
        if worker.dead or self._closed:
            self._discard(worker)
            return
        self._warm[id(worker)] = worker
        while len(self._warm) > self.options.warm:
            _, oldest = self._warm.popitem(last=False)
            self._discard(oldest)

    def _discard(self, worker: Worker) -> None:
        worker.kill()
        self._background(self._bury(worker))

    def _background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury(self, worker: Worker) -> None:
        worker.kill()
        worker.writer.close()
        with contextlib.suppress(ConnectionError):
            await worker.writer.wait_closed()
        await worker.process.wait()
        shutil.rmtree(worker.directory, ignore_errors=True)


def _worker_environment() -> dict[str, str]:
    """Nothing of the gateway's environment but what Python needs to start.

    Few malloc arenas, since RLIMIT_AS counts them, and no allocator thread, since Landlock needs a single thread.
    """
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "MALLOC_ARENA_MAX": "2",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": "UTC",
    }
