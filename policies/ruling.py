"""The ruling: what a decision yields, complete enough to run, explain and audit it.

Owns the values only; `decide` is the one place that makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.model import Action, Level, Policy
from policies.reasons import Reason
from policies.shape import Shape, ShapeColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRuling:
    """One level for one action. closed: only a live permit here lets a data action through.

    permits: live ones. forbids: matching ones; where there are any, Cedar does not tell the permits. void: permits that
    match but do not count, and why. error: the policy engine failed here.
    """

    level: Level
    closed: bool
    permits: tuple[Policy, ...] = ()
    forbids: tuple[Policy, ...] = ()
    void: tuple[Reason, ...] = ()
    error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A data action that is granted, with what it obliges to.

    shape: None if the dataset has no version. policies: those whose obligations apply. max_rows, queries_per_day: None is
    no limit. min_group_size: for aggregate, at least 1. aggregates_only: some level grants no rows, so the statement must
    aggregate whatever the group size. whole: no rows, masks, columns or aggregate obligation, so that counts and statistics
    of the version are the caller's to know. agreement: id of the one in the context, if any.
    """

    action: Action
    shape: Shape | None
    policies: tuple[Policy, ...]
    max_rows: int | None = None
    queries_per_day: int | None = None
    min_group_size: int | None = None
    aggregates_only: bool = False
    whole: bool = False
    agreement: str | None = None

    @property
    def unrestricted(self) -> bool:
        """No rows, masks, columns, aggregate, limits or agreement: what is shown is the stored version itself."""
        return self.whole and self.max_rows is None and self.queries_per_day is None and self.agreement is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one caller may do with one dataset.

    levels: for each action decided, the four levels, widest first. grants: the data actions granted. refusals: why the
    others are not. columns: the schema as this caller sees it. alarm: the policy engine failed; tell an operator.
    """

    discover: bool
    levels: Mapping[Action, tuple[LevelRuling, ...]] = field(default_factory=dict)
    grants: Mapping[Action, Grant] = field(default_factory=dict)
    refusals: Mapping[Action, tuple[Reason, ...]] = field(default_factory=dict)
    columns: tuple[ShapeColumn, ...] = ()
    alarm: bool = False
