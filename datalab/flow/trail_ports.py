"""What the audit trail needs from storage, as Protocols; `datalab.db` implements them, `datalab.app` wires them.

A module of its own beside `ports.py`, because these speak of principals' records and `principal.py` needs those ports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from datalab.flow.chain import Head
from datalab.flow.trail import AuditRecord, ChainState, Kind, Place, Reach, Search, Stored, Written


class AuditTransaction(Protocol):
    """All or nothing, and durable once the block ends; holds the named chains against other processes meanwhile."""

    def open_chain(self, state: ChainState) -> None: ...

    def extend(self, chain: str, before: Head, head: Head, lease_until_us: int) -> bool:
        """Moves the chain's head from `before` and renews its lease; False: another process ended the chain."""
        ...

    def state(self, chain: str) -> ChainState | None: ...

    def expired(self, now_us: int) -> Sequence[ChainState]:
        """Chains that have not ended and whose lease ran out before now."""
        ...

    def end(self, chain: str) -> None: ...
    def append(self, records: Sequence[Written]) -> None: ...

    def mark_open(self, refs: Sequence[tuple[str, str, Kind]]) -> None:
        """(ref, chain, kind of the opening record): operations that must be closed."""
        ...

    def mark_closed(self, refs: Sequence[str]) -> None: ...

    def still_open(self, chain: str) -> Mapping[str, Kind]:
        """Operations that the chain opened and nobody closed: ref -> kind of the opening record."""
        ...

    def erase_literals(self, ref: str) -> bool:
        """Removes the literals of an operation for good; False: there were none."""
        ...

    def operation(self, ref: str) -> Sequence[AuditRecord]:
        """The records of one operation, oldest first."""
        ...


class AuditStore(Protocol):
    """Where the trail is written. Raises OSError or the store's own errors; the journal turns all into AuditUnavailable."""

    def transaction(self) -> AbstractContextManager[AuditTransaction]: ...

    def scrub(self) -> None:
        """Makes sure that erased literals are not left behind in free pages or logs, as far as the engine can."""
        ...


class Trail(Protocol):
    """Reads of the trail; thread-safe."""

    def operation(self, ref: str) -> tuple[AuditRecord, ...]:
        """The records of one operation, oldest first; empty: unknown."""
        ...

    def search(self, where: Search, reach: Reach, *, after: Place | None, limit: int) -> tuple[AuditRecord, ...]:
        """Newest first."""
        ...

    def heads(self) -> Sequence[ChainState]: ...

    def busy_since(self, chain: str, seq: int) -> bool:
        """Whether the chain has records after `seq` other than those of checkpoints."""
        ...


class Snapshot(Protocol):
    """The whole trail at one moment, for verification."""

    def chains(self) -> Sequence[ChainState]: ...
    def records(self, chain: str) -> Iterator[Stored]:
        """In the order of seq."""
        ...

    def stray_chains(self) -> Sequence[str]:
        """Chains that have records but that the store does not list."""
        ...
