"""The whole journey of a query on one screen: statement, decision, plan, engine, stream, and the audit around them.

The token and principal stages come before (`datalab/api/auth.py` calls them). Nothing of an answer leaves before its
decisions are durable in the audit trail, and whatever happens, the trail hears how it ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from datalab.flow.audit import WAIT_S, Journal, OpenQuery
from datalab.flow.decision import Decider, touched
from datalab.flow.engine import Engine, Run
from datalab.flow.errors import FlowError, Refusal
from datalab.flow.hashkeys import HashKeys
from datalab.flow.plan import FilesChanged, Plan, Source, make_plan
from datalab.flow.ports import ConsistentCatalogue, Storages
from datalab.flow.principal import Principal
from datalab.flow.request import Query
from datalab.flow.scribe import unavailable
from datalab.flow.statement import Limits, parse, require_parameters
from datalab.flow.stream import Send, Watch, relay
from datalab.flow.trail import Ending, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a query needs on its way. broken: told of each source whose files no longer are its version's."""

    catalogue: ConsistentCatalogue
    decider: Decider
    storages: Storages
    keys: HashKeys
    engine: Engine
    journal: Journal
    limits: Limits
    broken: Callable[[Source], None]

    async def answer(self, principal: Principal, query: Query) -> Answer:
        """Run a query up to its first byte.

        Raises:
            FlowError: it is refused or failed; the trail already says so.
        """
        started = time.monotonic()
        opened = self.journal.open_query(principal, query)
        run: Run | None = None
        try:
            revision = self.catalogue.revision()
            plan = await asyncio.to_thread(self.plan, principal, query)
            opened.decided([touched(decision) for decision in plan.decisions])
            run = await self.engine.start(plan)
            await durable(opened)
        except BaseException as error:
            await self.abandon(run, error)
            opened.close(ending(error, started))
            if isinstance(error, Exception):
                await durable(opened)  # a refusal leaves no sooner than its record either
            raise
        return Answer(self, opened, run, plan, revision, started)

    def plan(self, principal: Principal, query: Query) -> Plan:
        """The stages from text to plan; blocking."""
        statement = parse(query.sql, limits=self.limits)
        require_parameters(statement, query.params)
        decisions = self.decider.decide_all(principal, statement.datasets, query)
        return make_plan(
            query,
            statement,
            decisions,
            principal,
            catalogue=self.catalogue,
            storages=self.storages,
            keys=self.keys,
        )

    async def abandon(self, run: Run | None, error: BaseException) -> None:
        """Free the worker, and tell of files that changed."""
        if run is not None:
            await run.aclose()
        if isinstance(error, FilesChanged):
            for source in error.sources:
                await asyncio.to_thread(self.broken, source)


class Answer:
    """A query whose first bytes are here. Relay it, or close it."""

    def __init__(self, flow: Flow, opened: OpenQuery, run: Run, plan: Plan, revision: int, started: float) -> None:
        self._flow = flow
        self._opened = opened
        self._run = run
        self._plan = plan
        self._revision = revision
        self._started = started

    @property
    def query_id(self) -> str:
        return self._opened.ref

    @property
    def versions(self) -> Mapping[str, int]:
        """`space.name` -> version number that is read."""
        return {source.dataset: source.version.number for source in self._plan.sources}

    @property
    def size_bytes(self) -> int | None:
        """Of the whole body, when it is complete already."""
        return self._run.whole

    @property
    def truncated(self) -> bool | None:
        """Whether the caller's max_rows cut the answer; None: not known yet."""
        return self._run.summary.truncated if self._run.summary is not None else None

    async def relay(self, send: Send, still_caller: Callable[[], Principal]) -> None:
        """Send the body. still_caller: resolves the caller anew, raising where the token or client was revoked.

        Raises:
            FlowError: the body broke off; the connection must be cut.
        """
        sent = 0

        async def counted(chunk: memoryview) -> None:
            nonlocal sent
            await send(chunk)
            sent += len(chunk)

        watch = Watch(
            still_allowed=lambda: self._still_allowed(still_caller),
            idle_timeout_s=self._flow.engine.pool.options.idle_stream_timeout_s,
        )
        try:
            await relay(self._run, counted, watch)
        except BaseException as error:
            await self._flow.abandon(self._run, error)
            self._opened.close(replace(ending(error, self._started), size_bytes=sent))
            raise
        summary = self._run.summary
        assert summary is not None
        self._opened.close(
            Ending(
                outcome=Outcome.COMPLETED,
                rows=summary.rows,
                truncated=summary.truncated,
                size_bytes=summary.bytes,
                sha256=summary.sha256,
                duration_s=time.monotonic() - self._started,
            )
        )

    def _still_allowed(self, still_caller: Callable[[], Principal]) -> bool:
        """Whether the very same plan would be made now, for the versions that are being read."""
        revision = self._flow.catalogue.revision()
        if revision == self._revision:
            return True
        try:
            again = self._flow.plan(still_caller(), replace(self._plan.query, versions=dict(self.versions)))
        except FlowError:
            return False
        self._revision = revision
        return (again.views, again.policy_max_rows) == (self._plan.views, self._plan.policy_max_rows)


async def durable(opened: OpenQuery) -> None:
    """Wait until all that was said about a query is on disk.

    Raises:
        AuditUnavailable: it is not within the time.
    """
    try:
        async with asyncio.timeout(WAIT_S):
            await asyncio.wrap_future(opened.durable)
    except TimeoutError:
        raise unavailable() from None


def ending(error: BaseException, started: float) -> Ending:
    """How a query that did not complete ended."""
    if isinstance(error, Refusal):
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.FAILED if isinstance(error, Exception) else Outcome.CANCELLED
    code = error.code if isinstance(error, FlowError) else None
    return Ending(outcome=outcome, code=code, duration_s=time.monotonic() - started)
