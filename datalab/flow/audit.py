"""The audit stage: every query, administrative write and issued token or secret leaves durable, chained records.

Owns the `Journal`, which all parts write through. An operation is opened durably before its first byte leaves or its write
commits, and closed with its outcome; if the trail cannot be written, the operation is refused. Must never put SQL text,
parameters or the detail of a write into the chain itself: they can be erased later.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from types import TracebackType
from typing import Self

from datalab.flow.chain import KEY_BYTES, Literals, new_ref, storable
from datalab.flow.errors import AuditUnavailable, Failure
from datalab.flow.principal import Principal
from datalab.flow.request import Query
from datalab.flow.scribe import Entry, Scribe, unavailable
from datalab.flow.trail import CLOSES, Actor, Ending, Kind, Link, Outcome, Touched, links_of, plain
from datalab.flow.trail_ports import AuditStore

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
ProviderOf = Callable[[str, str], str | None]
"""(space, name) of a dataset -> its provider's participant id, None if there is no such dataset."""

WAIT_S = 15.0
NAME_LENGTH = 63


class Operation:
    """Something opened that must be closed. `durable` resolves once all that was said about it so far is on disk."""

    def __init__(
        self, journal: Journal, kind: Kind, ref: str, actor: Actor, links: tuple[Link, ...], durable: Future[None]
    ) -> None:
        self.ref = ref
        self.durable = durable
        self._journal = journal
        self._kind = kind
        self._actor = actor
        self._links = links
        self._closed = False
        self._lock = Lock()

    def wait(self, timeout_s: float = WAIT_S) -> None:
        """Blocks until durable. Raises AuditUnavailable."""
        await_durable(self.durable, timeout_s)

    def _end(self, content: Mapping[str, object]) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self._journal.put(CLOSES[self._kind], self.ref, self._actor, content, links=self._links)
        except AuditUnavailable:  # the journal ended and closed it as lost; raising would hide how the operation ended
            log.error("Operation %s ended after its journal", self.ref)  # noqa: TRY400 (the traceback would say no more)


class OpenQuery(Operation):
    """A query under way. Await it with `await asyncio.wrap_future(handle.durable)` before the first byte."""

    _datasets: tuple[Touched, ...] = ()

    def decided(self, datasets: Sequence[Touched]) -> None:
        """Records which datasets in which versions under which policies, before data flows; `durable` then waits for this."""
        self._datasets = tuple(datasets)
        self._links = links_of(datasets)
        content = {"datasets": [plain(one) for one in datasets]}
        self.durable = self._journal.put(Kind.QUERY_DECIDED, self.ref, self._actor, content, links=self._links)

    def close(self, ending: Ending) -> None:
        """Says how it ended; returns at once. Calls after the first are ignored, so that a `finally` may close again."""
        self._end({**plain(ending), "datasets": [plain(one) for one in self._datasets]})


class OpenWrite(Operation):
    def close(self, outcome: Outcome, code: str | None = None) -> None:
        self._end({"outcome": outcome, "code": code})


class Journal:
    """What a process writes its records with; thread-safe. Start it before use, stop it at the end (or use `with`)."""

    def __init__(
        self,
        store: AuditStore,
        key: bytes,
        *,
        clock: Clock,
        lease_s: float = 30.0,
        process: str | None = None,
        provider_of: ProviderOf | None = None,
    ) -> None:
        """key: the audit key, 32 bytes. lease_s: how long a silent process counts as alive. process: shown to readers."""
        if len(key) < KEY_BYTES:
            raise ValueError(f"the audit key has at least {KEY_BYTES} bytes")
        self._clock = clock
        self._provider_of = provider_of
        self._stopped = False
        self._at_end: list[Callable[[], object]] = []
        self._scribe = Scribe(
            store,
            key,
            process=process or f"{socket.gethostname()}:{os.getpid()}",
            now_us=self._now_us,
            lease_s=lease_s,
            tick_s=min(1.0, lease_s / 4),
        )

    def start(self) -> None:
        """Starts writing; what dead processes left open is closed as lost as soon as their lease has run out."""
        self._scribe.start()

    def stop(self, timeout_s: float = WAIT_S) -> None:
        """Writes what waits and ends the chain; what is still open is closed as lost."""
        self._stopped = True
        self._scribe.stop(timeout_s)
        for last in self._at_end:
            try:
                last()
            except Exception:
                log.exception("What should follow the end of the audit chain failed")
        self._at_end.clear()

    def at_end(self, last: Callable[[], object]) -> None:
        """Runs `last` once the chain has ended."""
        self._at_end.append(last)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def open_query(self, principal: Principal, query: Query, *, query_id: str | None = None) -> OpenQuery:
        """Enqueues the opening record and returns at once; nothing of the answer may leave before `durable` is done.

        It is written with the decision that follows (see `decided`), or after a few milliseconds without one.
        """
        ref, actor = query_id or new_ref(), Actor.of(principal)
        content = {
            "format": query.format,
            "mode": query.mode,
            "max_rows": query.max_rows,
            "versions": storable(query.versions),
            "agreements": storable(query.agreements),
        }
        literals = Literals.of({"sql": query.sql, "params": query.params})
        durable = self.put(Kind.QUERY_OPENED, ref, actor, content, literals=literals)
        return OpenQuery(self, Kind.QUERY_OPENED, ref, actor, (), durable)

    @contextmanager
    def administrative(
        self, principal: Principal, *, verb: str, resource: str, detail: Mapping[str, object]
    ) -> Iterator[OpenWrite]:
        """Around a write: its record is durable before the block runs and closed with the block's outcome.

        resource: `kind:id`. detail: what is written, never a secret; kept as literals, erasable. Raises AuditUnavailable
        before the block if the record cannot be written.
        """
        links = self._links_of_resource(resource, detail)
        ref, actor = new_ref(), Actor.of(principal)
        content = {"verb": verb, "resource": resource}
        literals = Literals.of({"detail": detail})
        durable = self.put(Kind.ADMIN_OPENED, ref, actor, content, links=links, literals=literals)
        handle = OpenWrite(self, Kind.ADMIN_OPENED, ref, actor, links, durable)
        try:
            handle.wait()
            yield handle
        except BaseException as error:
            code = getattr(error, "code", None)
            refused = isinstance(code, str) and not isinstance(error, Failure)
            handle.close(Outcome.REFUSED if refused else Outcome.FAILED, code if isinstance(code, str) else None)
            raise
        handle.close(Outcome.COMPLETED)

    def record(self, kind: Kind, actor: Actor, detail: Mapping[str, object]) -> str:
        """One record that stands alone (a token or secret issued or revoked ...), durable when this returns its ref.

        detail: goes into the chain and cannot be erased: identifiers only. Raises AuditUnavailable.
        """
        ref = new_ref()
        await_durable(self.put(kind, ref, actor, {"detail": storable(detail)}), WAIT_S)
        return ref

    def erase(self, ref: str, actor: Actor, *, reason: str) -> None:
        """Erases the literals of an operation for good and records that it was done, in one transaction."""
        self._require_running()
        content = {"detail": {"erased": ref, "reason": storable(reason)}}
        entry = Entry(
            kind=Kind.LITERALS_ERASED, ref=ref, at_us=self._now_us(), actor=actor, content=content, erases=ref
        )
        await_durable(self._scribe.put(entry), WAIT_S)

    def flush(self, timeout_s: float = WAIT_S) -> None:
        """Waits until everything said so far is durable. Raises AuditUnavailable."""
        self._require_running()
        await_durable(self._scribe.put(Entry(kind=None, ref="", at_us=0)), timeout_s)

    def put(
        self,
        kind: Kind,
        ref: str,
        actor: Actor,
        content: Mapping[str, object],
        *,
        links: tuple[Link, ...] = (),
        literals: Literals | None = None,
    ) -> Future[None]:
        """Enqueues a record. Raises AuditUnavailable when the journal is not running."""
        self._require_running()
        now = self._now_us()
        return self._scribe.put(
            Entry(kind=kind, ref=ref, at_us=now, actor=actor, content=content, links=links, literals=literals)
        )

    def _require_running(self) -> None:
        if self._stopped or not self._scribe.alive:
            raise unavailable()

    def _now_us(self) -> int:
        return round(self._clock().timestamp() * 1_000_000)

    def _links_of_resource(self, resource: str, detail: Mapping[str, object]) -> tuple[Link, ...]:
        """The space or dataset that a resource is or lies in: `dataset:S/N`, `data_space:S`, a policy's scope ..."""
        kind, _, path = resource.partition(":")
        if kind == "policy":
            kind, _, path = str(detail.get("scope", "")).partition(":")
        parts = path.split("/")
        if any(len(part) > NAME_LENGTH for part in parts):
            return ()  # no such thing can exist
        if kind in {"data_space", "space", "admission"}:
            return (Link(parts[0], ""),)
        if kind not in {"dataset", "version", "versions"} or len(parts) < 2:
            return ()
        provider = detail.get("provider") if kind == "dataset" else None
        if not isinstance(provider, str):
            provider = self._provider_of(parts[0], parts[1]) if self._provider_of else None
        return (Link(parts[0], parts[1], provider=provider or ""),)


def await_durable(future: Future[None], timeout_s: float) -> None:
    """Blocks until the record is durable. Raises AuditUnavailable if it is not within the time."""
    try:
        future.result(timeout_s)
    except TimeoutError:
        raise unavailable() from None
