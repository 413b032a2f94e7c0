"""The audit trail's values: what is recorded about whom, and how an operation ends.

Owns the vocabulary and its JSON form. Must never hold SQL text, parameters or
another literal in a record itself: those are `Literals`, which can be erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from datalab.flow.chain import Head, Literals, Sealed
from datalab.flow.principal import Principal


class Kind(StrEnum):
    """What a record says. `opened` and `closed` come in pairs with one `ref`; the others stand alone.

    operation.closed_late: how an operation really ended that another process had to close as lost, because its own
    process was silent for longer than its lease.
    """

    QUERY_OPENED = "query.opened"
    QUERY_DECIDED = "query.decided"
    QUERY_CLOSED = "query.closed"
    ADMIN_OPENED = "admin.opened"
    ADMIN_CLOSED = "admin.closed"
    TOKEN_ISSUED = "token.issued"  # noqa: S105 (a word of the vocabulary, not a password)
    SECRET_ISSUED = "secret.issued"  # noqa: S105 (the same)
    CLOSED_LATE = "operation.closed_late"
    LITERALS_ERASED = "literals.erased"
    CHECKPOINT = "checkpoint"
    CHAIN_OPENED = "chain.opened"
    CHAIN_CLOSED = "chain.closed"
    CHAIN_LOST = "chain.lost"


CLOSES = {Kind.QUERY_OPENED: Kind.QUERY_CLOSED, Kind.ADMIN_OPENED: Kind.ADMIN_CLOSED}


class Outcome(StrEnum):
    """completed: as asked. refused: the caller's fault. failed: ours. cancelled: the caller went away. lost: the process
    died or fell silent, so nobody knows.
    """

    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: issuer and subject together are the identity. token_id: the access token's `jti`."""

    issuer: str
    subject: str
    client_id: str | None = None
    participant: str = ""
    participant_uid: str = ""
    token_id: str = ""

    @staticmethod
    def of(principal: Principal) -> Actor:
        return Actor(
            issuer=principal.issuer,
            subject=principal.subject,
            client_id=principal.client_id,
            participant=principal.participant.id,
            participant_uid=principal.participant.uid,
            token_id=principal.token_id,
        )


GATEWAY = Actor(issuer="local:", subject="gateway")
"""The gateway itself, for what it records on its own account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRef:
    """A policy that took part in a decision, in the revision that was in force. level: its scope."""

    id: str
    revision: int
    uid: str = ""
    level: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A dataset that an operation concerned, and what was decided about it. provider: participant id."""

    uid: str
    space: str
    name: str
    provider: str
    version: int | None = None
    action: str = ""
    allowed: bool = True
    policies: tuple[PolicyRef, ...] = ()
    agreement: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a query ended. code: the error code, if any. rows: result rows sent. size_bytes, sha256: of the body sent.

    truncated: the caller's own max_rows cut the result. duration_s: from the opening record to the last byte.
    """

    outcome: Outcome
    code: str | None = None
    rows: int | None = None
    truncated: bool = False
    size_bytes: int | None = None
    sha256: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A data space, or a dataset in it (name not empty), that a record concerns: what reports look records up by."""

    space: str
    name: str
    uid: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A record as it was written. at_us: microseconds since the epoch. details: everything else its body says."""

    chain: str
    seq: int
    at_us: int
    kind: str
    ref: str
    actor: Actor
    datasets: tuple[Touched, ...]
    details: Mapping[str, object]
    links: tuple[Link, ...] = ()
    literals: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One sealed record with what is kept beside it for looking it up."""

    sealed: Sealed
    at_us: int
    kind: Kind
    ref: str
    participant: str
    links: tuple[Link, ...] = ()
    literals: Literals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainState:
    """A chain as the store remembers it. ended: closed by its process, or declared lost by another."""

    chain: str
    process: str
    head: Head
    lease_until_us: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which records: each given one must match. since_us <= at < until_us. dataset: (space, name)."""

    dataset: tuple[str, str] | None = None
    space: str | None = None
    participant: str | None = None
    kind: str | None = None
    ref: str | None = None
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whose trail a reader may see: everything; or what touched the datasets of `provider` or lies in one of `spaces`."""

    everything: bool = False
    provider: str | None = None
    spaces: frozenset[str] = frozenset()


Place = tuple[int, str, int]
"""Where a record stands in time: (at_us, chain, seq). Pages continue after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A row as it is, for verification: what it claims beside its body must agree with the body."""

    sealed: Sealed
    at_us: int
    kind: str
    ref: str
    participant: str
    links: frozenset[Link]
    literals: Literals | None


def plain(value: Actor | Touched | Ending | PolicyRef) -> dict[str, object]:
    """As JSON holds it. By hand, because `dataclasses.asdict` copies deeply and this runs for every query."""
    return {
        name: [plain(one) for one in held] if isinstance(held := getattr(value, name), tuple) else held
        for name in value.__slots__
    }


def actor_from(value: object) -> Actor:
    return Actor(**value) if isinstance(value, dict) else GATEWAY


def touched_from(value: object) -> tuple[Touched, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(
        Touched(**{**one, "policies": tuple(PolicyRef(**ref) for ref in one.get("policies", ()))}) for one in value
    )


def links_from(body: Mapping[str, object]) -> tuple[Link, ...]:
    """The links that a record's body implies: named outright, else those of its datasets."""
    named = body.get("links")
    if isinstance(named, list):
        return tuple(Link(*one) for one in named)
    return links_of(touched_from(body.get("datasets")))


def links_of(datasets: Sequence[Touched]) -> tuple[Link, ...]:
    return tuple(dict.fromkeys(Link(one.space, one.name, one.uid, one.provider) for one in datasets))
