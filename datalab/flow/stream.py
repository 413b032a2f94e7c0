"""The stream stage: encoded bytes -> the body of an answer, with back-pressure, watched until its end.

Owns what may end a stream early: a client that stopped reading, permissions that were withdrawn, an engine that broke
off. Whatever ends it early ends it without the mark of completeness. Must never buffer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from datalab.flow.engine import Run
from datalab.flow.errors import DecisionRefused, TimedOut

WATCH_INTERVAL_S: Final = 1.0
"""How long a running stream may go on after what it rests on was withdrawn."""

Send = Callable[[memoryview], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """still_allowed: whether what the stream rests on stands; blocking, asked at most once per interval."""

    still_allowed: Callable[[], bool]
    idle_timeout_s: float


async def relay(run: Run, send: Send, watch: Watch) -> int:
    """Send a run's bytes to the client. Returns how many were sent.

    Raises:
        TimedOut: the client took nothing for too long.
        DecisionRefused: what the stream rests on was withdrawn.
        FlowError: the engine broke off.
    """
    loop = asyncio.get_running_loop()
    asked = loop.time()
    sent = 0
    async for chunk in run.chunks():
        if loop.time() - asked > WATCH_INTERVAL_S:
            asked = loop.time()
            if not await asyncio.to_thread(watch.still_allowed):
                raise DecisionRefused("stream.withdrawn", "The permission for this answer was withdrawn.")
        try:
            async with asyncio.timeout(watch.idle_timeout_s):
                await send(chunk)
        except TimeoutError as error:
            raise TimedOut("stream.idle", "The client did not read the answer in time.") from error
        sent += len(chunk)
    return sent
