"""The values a policy is made of: scope, effect, actions, condition, obligations.

Owns the order of actions and the strictness of masks. Knows neither Cedar nor SQL, and must never be built from unchecked
input: `documents.parse` does that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """In order: a permit of one permits the lower ones, a forbid of one forbids the higher ones."""

    DISCOVER = "discover"
    AGGREGATE = "aggregate"
    QUERY = "query"
    EXPORT = "export"


ACTIONS = tuple(Action)
DATA_ACTIONS = ACTIONS[1:]


def permitted_by(actions: Iterable[Action]) -> frozenset[Action]:
    """The actions that a permit of `actions` grants: those and all lower ones."""
    return frozenset(ACTIONS[: max(ACTIONS.index(action) for action in actions) + 1])


def forbidden_by(actions: Iterable[Action]) -> frozenset[Action]:
    """The actions that a forbid of `actions` refuses: those and all higher ones."""
    return frozenset(ACTIONS[min(ACTIONS.index(action) for action in actions) :])


class Effect(StrEnum):
    PERMIT = "permit"
    FORBID = "forbid"


class Level(StrEnum):
    """From the widest to the narrowest."""

    FEDERATION = "federation"
    SPACE = "space"
    LAB = "lab"
    DATASET = "dataset"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a policy binds. id: empty for the federation, `space/name` for a dataset."""

    level: Level
    id: str = ""

    def __str__(self) -> str:
        return f"{self.level}:{self.id}" if self.id else self.level.value


class MaskKind(StrEnum):
    """Strictest first."""

    DROP = "drop"
    NULL = "null"
    FIXED = "fixed"
    HASH = "hash"
    BUCKET = "bucket"
    ROUND = "round"
    YEAR = "year"
    MONTH = "month"
    LAST4 = "last4"
    CLEAR = "clear"

    @property
    def leniency(self) -> int:
        """0 is the strictest."""
        return _LENIENCY[self]


_LENIENCY = {kind: rank for rank, kind in enumerate(MaskKind)}

SUPPORTED_MASKS = (MaskKind.DROP, MaskKind.NULL, MaskKind.FIXED, MaskKind.HASH, MaskKind.YEAR)
"""What a document may ask for; the absence of a mask is `clear`."""


class Op(StrEnum):
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    NOT_IN = "not_in"
    IS_NULL = "is_null"
    NOT_NULL = "not_null"

    @property
    def takes_list(self) -> bool:
        return self in {Op.IN, Op.NOT_IN}

    @property
    def takes_nothing(self) -> bool:
        return self in {Op.IS_NULL, Op.NOT_NULL}

    @property
    def orders(self) -> bool:
        return self in {Op.LT, Op.LE, Op.GT, Op.GE}


Scalar = str | int | float | bool
"""A literal as a document or a claim carries it."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A column by its name (any case), or by a role that the dataset gives to one of its columns."""

    name: str
    is_role: bool = False

    def __str__(self) -> str:
        return f"role {self.name}" if self.is_role else f"column {self.name}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A fact about the caller, e.g. `principal.country`, `principal.claims.department`."""

    path: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison. operand: a scalar, a tuple of scalars (in, not_in), a claim, or None (is_null, not_null)."""

    ref: Ref
    op: Op
    operand: Scalar | tuple[Scalar, ...] | Claim | None = None


@dataclass(frozen=True, slots=True)
class AllOf:
    items: tuple[Rows, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    items: tuple[Rows, ...]


@dataclass(frozen=True, slots=True)
class Not:
    item: Rows


Rows = Leaf | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """value: what `fixed` shows instead. if_present: a version without the column does not make the permit void."""

    ref: Ref
    kind: MaskKind
    value: Scalar | None = None
    if_present: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None: no limit. max_rows: rows of one result."""

    max_rows: int | None = None
    queries_per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligations:
    """columns: allow-list, None restricts nothing. min_group_size: only in permits that grant no more than aggregate."""

    columns: tuple[Ref, ...] | None = None
    rows: Rows | None = None
    masks: tuple[Mask, ...] = ()
    min_group_size: int | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One permit or forbid. when: Cedar condition, None holds always. uid, revision: of the stored record, if stored."""

    id: str
    title: str
    scope: Scope
    effect: Effect
    actions: frozenset[Action]
    when: str | None = None
    obligations: Obligations = Obligations()
    uid: str = ""
    revision: int = 0

    @property
    def concerns(self) -> frozenset[Action]:
        """The actions for which this policy has a say, the order of actions applied."""
        return permitted_by(self.actions) if self.effect is Effect.PERMIT else forbidden_by(self.actions)

    @property
    def closes(self) -> bool:
        """Whether its being in force closes its level: a permit of aggregate, query or export."""
        return self.effect is Effect.PERMIT and any(action in DATA_ACTIONS for action in self.actions)
