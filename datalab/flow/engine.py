"""The engine stage: Plan -> encoded bytes. Accepts only a Plan, runs it in a worker of the plan's key, relays slots.

Owns the life of one run: a place, a worker, the identity checks of the files before and after, the time it may take, and
its end by completion, refusal, cancellation or death. Must never look into the bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import orjson

from datalab.flow import ring
from datalab.flow.errors import (
    EngineFailed,
    EngineRefused,
    FlowError,
    StatementRefused,
    StorageUnavailable,
    TimedOut,
    TooLarge,
    ValueRefused,
)
from datalab.flow.plan import Plan, require_unchanged
from datalab.flow.pool import CANCEL_GRACE_S, Pool, Worker, WorkerDied

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a finished run was: counts of the answer, SHA-256 over its bytes, columns with DuckDB's type names."""

    rows: int
    truncated: bool
    bytes: int
    sha256: str
    columns: Sequence[Mapping[str, str]]


class Engine:
    """Runs plans on a pool of workers."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def start(self, plan: Plan) -> Run:
        """Run a plan up to its first bytes, so that every early error is still a real answer.

        Raises:
            Busy, EngineRefused, ValueRefused, TooLarge, TimedOut, PlanConflict, StorageUnavailable, EngineFailed.
        """
        run = Run(plan, self.pool)
        try:
            await run.open()
        except BaseException:
            await run.aclose()
            raise
        return run


class Run:
    """One plan on one worker. Iterate `chunks()` to the end or call `aclose()`; `summary` is there at the end."""

    def __init__(self, plan: Plan, pool: Pool) -> None:
        self._plan = plan
        self._pool = pool
        self._stack = AsyncExitStack()
        self._worker: Worker | None = None
        self._ahead: list[tuple[bytes, bytes]] = []  # frames received before the first byte went out
        self._budget_s = pool.options.timeout_s
        self._clean = False  # the worker said it is done with this plan
        self.summary: Summary | None = None

    async def open(self) -> None:
        await self._stack.enter_async_context(self._pool.place())
        plan = self._plan
        worker = await self._stack.enter_async_context(
            self._pool.worker(plan.key, [reach.message() for reach in plan.access])
        )
        self._worker = worker
        unchanged = asyncio.ensure_future(self._check_files())
        try:
            await self._send(ring.RUN, plan.message())
            await self._look_ahead()
        except FlowError:
            await unchanged  # a changed file explains an engine error better than the error does
            raise
        finally:
            await asyncio.gather(unchanged, return_exceptions=True)
        await unchanged

    async def _look_ahead(self) -> None:
        """Hold the first slot until the next frame shows whether more comes: small answers are whole before any byte."""
        while True:
            kind, payload = await self._receive()
            if kind == ring.ERROR:
                raise self._refusal(payload)
            if kind == ring.DONE:
                await self._finish(payload)
                return
            self._ahead.append((kind, payload))
            if len(self._ahead) == 2:
                return

    async def chunks(self) -> AsyncIterator[memoryview]:
        """The encoded answer, slot by slot. A view is valid until the next one is asked for.

        Raises:
            FlowError: the answer broke off; what was yielded so far must not look complete.
        """
        worker = self._worker
        assert worker is not None
        while True:
            if self._ahead:
                kind, payload = self._ahead.pop(0)
            elif self.summary is not None:
                break
            else:
                kind, payload = await self._receive()
            if kind == ring.CHUNK_SENT:
                slot, used = ring.CHUNK.unpack(payload)
                start = slot * ring.SLOT_BYTES
                yield worker.memory[start : start + used]
                if not self._clean:
                    await self._send(ring.FREE, bytes([slot]))
            elif kind == ring.DONE:
                await self._finish(payload)
            else:
                raise self._refusal(payload)
        await self.aclose()

    @property
    def whole(self) -> int | None:
        """The answer's size in bytes when all of it is here before the first byte goes out, else None."""
        return self.summary.bytes if self.summary is not None else None

    async def aclose(self) -> None:
        """End the run. An unfinished plan is cancelled; a worker that does not confirm in time is ended."""
        worker, self._worker = self._worker, None
        if worker is not None and not self._clean and not worker.dead:
            await asyncio.shield(self._cancel(worker))
        await self._stack.aclose()

    async def _cancel(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(CANCEL_GRACE_S):
                await worker.send(ring.CANCEL)
                while (await worker.receive())[0] == ring.CHUNK_SENT:
                    pass
        except (TimeoutError, WorkerDied):
            worker.kill()

    async def _receive(self) -> tuple[bytes, bytes]:
        """The worker's next frame; the time spent waiting for it counts against the plan's time."""
        worker = self._worker
        assert worker is not None
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            async with asyncio.timeout(self._budget_s):
                return await worker.receive()
        except TimeoutError as error:
            limit = self._pool.options.timeout_s
            raise TimedOut("engine.timeout", f"The query took longer than {limit:g} seconds and was ended.") from error
        except WorkerDied as error:
            raise await died(worker) from error
        finally:
            self._budget_s = max(self._budget_s - (loop.time() - asked), 0.001)

    async def _send(self, kind: bytes, payload: bytes) -> None:
        worker = self._worker
        assert worker is not None
        try:
            await worker.send(kind, payload)
        except WorkerDied as error:
            raise await died(worker) from error

    async def _finish(self, payload: bytes) -> None:
        self._clean = True
        await self._check_files()
        self.summary = Summary(**orjson.loads(payload))

    async def _check_files(self) -> None:
        """Once before and once after the plan: what was read is the version, or it is not served."""
        await asyncio.to_thread(require_unchanged, self._plan.sources)

    def _refusal(self, payload: bytes) -> FlowError:
        self._clean = True
        return refusal(orjson.loads(payload), self._plan)


async def died(worker: Worker) -> TooLarge:
    """A worker that ended by itself ran into the limits of its memory, as far as anyone can tell."""
    await worker.process.wait()
    log.error("engine.memory: a worker died with %s", worker.process.returncode)
    return TooLarge("engine.memory", _SENTENCES["engine.memory"])


_SENTENCES: Final[Mapping[str, str]] = {
    "engine.syntax": "The engine could not parse the statement.",
    "engine.bind": "A name, an alias or an aggregate in the statement does not fit the rest of it.",
    "engine.unknown_name": "The statement names a function or type that does not exist.",
    "engine.type": "A function or operator does not take these argument types; cast the arguments explicitly.",
    "engine.params": "The statement has parameters that `params` does not give, or the other way round.",
    "engine.unsupported": "The statement, or a type in its result, is not supported in this format.",
    "engine.forbidden": "The statement asks for something that is not allowed here.",
    "engine.value": "A value did not fit: a cast, an overflow or a division failed. TRY_CAST gives NULL instead.",
    "engine.memory": "The query needs more memory than a query may use; select fewer columns or aggregate earlier.",
    "engine.storage": "The storage of a dataset did not answer as it should; try again later.",
    "engine.failed": "The engine failed on this statement; the operator was told.",
    "engine.cancelled": "The query was ended.",
}

_CLASSES: Final[Mapping[str, type[FlowError]]] = {
    "engine.value": ValueRefused,
    "engine.memory": TooLarge,
    "engine.storage": StorageUnavailable,
    "engine.failed": EngineFailed,
    "engine.cancelled": TimedOut,
}


def refusal(message: Mapping[str, Any], plan: Plan) -> FlowError:
    """A worker's error frame as the flow's error."""
    code = message["code"]
    if code == "engine.max_rows":
        limit = message["limit"]
        return TooLarge(code, f"A policy allows at most {limit} rows in one answer; ask for fewer.", max_rows=limit)
    if code == "engine.unknown_column":
        return EngineRefused(
            code, f"There is no column {message['column']!r} here.", column=message["column"], columns=plan.columns()
        )
    if code.startswith("statement."):
        return StatementRefused(code, message["sentence"], **message.get("detail", {}))
    sentence = _SENTENCES.get(code, _SENTENCES["engine.failed"])
    detail = {key: message[key] for key in ("function", "parameters") if key in message}
    return _CLASSES.get(code, EngineRefused)(code, sentence, **detail)
