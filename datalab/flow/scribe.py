"""The one thread of a process that writes its chain: gathers what waits, writes it as one transaction, wakes the waiting.

Owns the chain's head, the lease, and what happens when the store fails or another process declared this one lost. Must
never resolve a future before its record is durable, and never forget the closing record of an operation it opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from uuid import uuid4

from datalab.flow.chain import START, Head, Literals, seal
from datalab.flow.errors import AuditUnavailable
from datalab.flow.trail import (
    CLOSES,
    GATEWAY,
    Actor,
    ChainState,
    Kind,
    Link,
    Outcome,
    Written,
    plain,
)
from datalab.flow.trail_ports import AuditStore, AuditTransaction

log = logging.getLogger(__name__)

MAX_BATCH = 1000
LINGER_S = 0.02
PATIENT = frozenset({Kind.QUERY_OPENED, Kind.QUERY_CLOSED})
"""What nobody waits for by itself: the opening is waited for with the decision that follows it. Written at once, it would
keep the disk busy just when the decision comes."""

CLOSING = frozenset(CLOSES.values())
EMPTY_HEAD = Head(0, START)


def unavailable() -> AuditUnavailable:
    return AuditUnavailable(
        "audit.unavailable", "The audit trail cannot be written at the moment, so nothing is answered. Try again later."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record on its way to the chain. done: resolves once it is durable; kind None: nothing to write, only to wait for."""

    kind: Kind | None
    ref: str
    at_us: int
    actor: Actor = GATEWAY
    content: Mapping[str, object] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    literals: Literals | None = None
    erases: str | None = None
    done: Future[None] = field(default_factory=Future)


@dataclass(slots=True)
class _Draft:
    """What a transaction would change, taken over only once it is durable."""

    chain: str
    before: Head
    head: Head
    open: dict[str, Kind]
    lost: set[str]
    records: list[Written] = field(default_factory=list)
    opened: list[tuple[str, str, Kind]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def flush(self, transaction: AuditTransaction) -> None:
        """Writes what was sealed so far."""
        if self.records:
            transaction.append(self.records)
        if self.opened:
            transaction.mark_open(self.opened)
        if self.closed:
            transaction.mark_closed(self.closed)
        self.records, self.opened, self.closed = [], [], []


class _Ended(Exception):
    """The chain was ended by another process."""


class Scribe:
    def __init__(
        self, store: AuditStore, key: bytes, *, process: str, now_us: Callable[[], int], lease_s: float, tick_s: float
    ) -> None:
        """key: the audit key. process: who this is, for a reader. tick_s: how long it sleeps at most when idle."""
        self._store = store
        self._key = key
        self._process = process
        self._now_us = now_us
        self._lease_us = round(lease_s * 1_000_000)
        self._renew_s = lease_s / 3
        self._tick_s = tick_s
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="audit-scribe", daemon=True)
        self._chain: str | None = None
        self._head = EMPTY_HEAD
        self._open: dict[str, Kind] = {}
        self._lost: set[str] = set()
        self._doubtful: set[str] = set()
        self._uncertain = False
        self._retry: list[Entry] = []
        self._chores_due = 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Writes what waits, closes what is open as lost, ends the chain."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def put(self, entry: Entry) -> Future[None]:
        entry.done.set_running_or_notify_cancel()  # nobody can cancel it, so resolving it cannot fail
        self._queue.put(entry)
        return entry.done

    def _run(self) -> None:
        stopping = False
        while not stopping:
            entries, stopping = self._gather()
            chores = monotonic() >= self._chores_due
            if entries or self._retry or chores or stopping:
                self._write(entries, chores=chores, ending=stopping)
        while True:  # whoever came too late
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return
            if entry is not None:
                entry.done.set_exception(unavailable())

    def _gather(self) -> tuple[list[Entry], bool]:
        """Waits for something to write and takes all that is there; what is patient waits a little for company."""
        entries: list[Entry] = []
        timeout_s, until, urgent = self._tick_s, 0.0, False
        try:
            while len(entries) < MAX_BATCH:
                entry = self._queue.get(timeout=timeout_s)
                if entry is None:
                    return entries, True
                if not entries:
                    until = monotonic() + LINGER_S
                entries.append(entry)
                urgent = urgent or entry.kind not in PATIENT
                timeout_s = 0.0 if urgent else max(0.0, until - monotonic())
        except Empty:
            pass
        return entries, False

    def _write(self, entries: list[Entry], *, chores: bool, ending: bool) -> None:
        batch = [*self._retry, *entries]
        try:
            draft = self._transact(batch, chores=chores, ending=ending)
        except Exception:
            if not self._uncertain:
                log.exception("The audit trail cannot be written; until it can, what needs it is refused")
            self._fail(batch)
            return
        self._chores_due = monotonic() + self._renew_s if chores else self._chores_due
        self._retry = []
        if self._uncertain and draft is not None:
            log.warning("The audit trail can be written again")
        if draft is not None:
            self._chain = None if ending else draft.chain
            self._head, self._open, self._lost = draft.head, draft.open, draft.lost
            self._doubtful, self._uncertain = set(), False
        for entry in batch:
            entry.done.set_result(None)

    def _fail(self, batch: list[Entry]) -> None:
        """Refuses those that wait, keeps the closing records: their operations did happen."""
        self._uncertain = True
        self._retry = [entry for entry in batch if entry.kind in CLOSING]
        for entry in batch:
            if entry.kind in CLOSING:
                continue
            if entry.kind in CLOSES:
                self._doubtful.add(entry.ref)
            entry.done.set_exception(unavailable())

    def _transact(self, batch: list[Entry], *, chores: bool, ending: bool) -> _Draft | None:
        """Writes the batch; None: there was nothing to write."""
        try:
            return self._attempt(batch, chores=chores, ending=ending)
        except _Ended:
            log.warning("Another process declared this process's audit chain lost; a new one begins")
            self._lost |= set(self._open)
            self._chain, self._open = None, {}
            return self._attempt(batch, chores=chores, ending=ending)

    def _attempt(self, batch: list[Entry], *, chores: bool, ending: bool) -> _Draft | None:
        now = self._now_us()
        scrub = False
        with self._store.transaction() as transaction:
            expired = [one for one in transaction.expired(now) if one.chain != self._chain] if chores else []
            wanted = any(entry.kind is not None for entry in batch)
            if self._chain is None and not (wanted or expired):
                return None
            draft = self._begin(transaction, now)
            for entry in batch:
                self._add(draft, entry)
                if entry.erases is not None:
                    draft.flush(transaction)  # what is erased may be in this very batch
                    scrub |= transaction.erase_literals(entry.erases)
            draft.flush(transaction)
            for state in expired:
                self._bury(transaction, draft, state, now)
            if ending:
                self._end(transaction, draft, now)
            draft.flush(transaction)
            if not transaction.extend(draft.chain, draft.before, draft.head, now + self._lease_us):
                raise _Ended
            if ending:
                transaction.end(draft.chain)
        if scrub:
            self._store.scrub()
        return draft

    def _begin(self, transaction: AuditTransaction, now: int) -> _Draft:
        """The state to continue from: the one remembered, the store's after a failure, a new chain's if there is none."""
        if self._chain is not None:
            if not self._uncertain:
                return _Draft(self._chain, self._head, self._head, dict(self._open), set(self._lost))
            state = transaction.state(self._chain)
            if state is None or state.ended:
                raise _Ended
            draft = _Draft(
                state.chain, state.head, state.head, dict(transaction.still_open(state.chain)), set(self._lost)
            )
            for ref in self._doubtful & set(draft.open):  # refused to the caller, yet it was written
                ending = {"outcome": Outcome.REFUSED, "code": "audit.unavailable"}
                self._add(draft, Entry(kind=CLOSES[draft.open[ref]], ref=ref, at_us=now, content=ending))
            return draft
        chain = uuid4().hex
        lease = now + self._lease_us
        transaction.open_chain(
            ChainState(chain=chain, process=self._process, head=EMPTY_HEAD, lease_until_us=lease, ended=False)
        )
        draft = _Draft(chain, EMPTY_HEAD, EMPTY_HEAD, {}, set(self._lost))
        self._add(draft, Entry(kind=Kind.CHAIN_OPENED, ref=chain, at_us=now, content={"process": self._process}))
        return draft

    def _add(self, draft: _Draft, entry: Entry) -> None:
        """Seals the entry; a closing record only if its operation is open, or as late if another process closed it."""
        kind = entry.kind
        if kind is None:
            return
        if kind in CLOSES:
            draft.open[entry.ref] = kind
            draft.opened.append((entry.ref, draft.chain, kind))
        elif kind in CLOSING:
            if draft.open.pop(entry.ref, None) is not None:
                draft.closed.append(entry.ref)
            elif entry.ref in draft.lost:
                draft.lost.discard(entry.ref)
                kind = Kind.CLOSED_LATE
            else:
                return
        content: dict[str, object] = {
            **entry.content,
            "kind": kind,
            "ref": entry.ref,
            "at_us": entry.at_us,
            "actor": plain(entry.actor),
        }
        if entry.links and not entry.content.get("datasets"):
            content["links"] = [[link.space, link.name, link.uid, link.provider] for link in entry.links]
        if entry.literals is not None:
            content["literals"] = entry.literals.commitment()
        sealed, draft.head = seal(self._key, draft.chain, draft.head, content)
        draft.records.append(
            Written(
                sealed=sealed,
                at_us=entry.at_us,
                kind=kind,
                ref=entry.ref,
                participant=entry.actor.participant,
                links=entry.links,
                literals=entry.literals,
            )
        )

    def _bury(self, transaction: AuditTransaction, draft: _Draft, state: ChainState, now: int) -> None:
        """Closes what a dead process left open, as lost, and ends its chain; the record pins where it ended."""
        for ref, kind in transaction.still_open(state.chain).items():
            self._close_lost(transaction, draft, ref, kind, now)
        content = {
            "process": state.process,
            "lost": {"chain": state.chain, "seq": state.head.seq, "hash": state.head.hash},
        }
        self._add(draft, Entry(kind=Kind.CHAIN_LOST, ref=state.chain, at_us=now, content=content))
        transaction.end(state.chain)

    def _end(self, transaction: AuditTransaction, draft: _Draft, now: int) -> None:
        for ref, kind in tuple(draft.open.items()):
            self._close_lost(transaction, draft, ref, kind, now)
        self._add(draft, Entry(kind=Kind.CHAIN_CLOSED, ref=draft.chain, at_us=now))

    def _close_lost(self, transaction: AuditTransaction, draft: _Draft, ref: str, kind: Kind, now: int) -> None:
        """Names the same actor and datasets as the operation's own records, so that their owners find this one too."""
        known = transaction.operation(ref)
        datasets = next((one.datasets for one in reversed(known) if one.datasets), ())
        links = tuple(dict.fromkeys(link for one in known for link in one.links))
        draft.open[ref] = kind
        entry = Entry(
            kind=CLOSES[kind],
            ref=ref,
            at_us=now,
            actor=known[0].actor if known else GATEWAY,
            content={"outcome": Outcome.LOST, "datasets": [plain(one) for one in datasets]},
            links=links,
        )
        self._add(draft, entry)
