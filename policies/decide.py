"""The decision: four levels of policies, a caller, a dataset and a moment become a ruling.

Owns the composition of policies: default deny, forbids win, levels intersect, permits within a level are alternatives, the
provider must itself permit. Must never look at rows, and must never grant what an error left open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from policies.bind import Frame, bind
from policies.cedar import Question, Slice
from policies.inputs import ContextInput, DatasetInput, PrincipalInput
from policies.model import ACTIONS, DATA_ACTIONS, Action, Level, Policy
from policies.reasons import Reason, Slug
from policies.ruling import Grant, LevelRuling, Ruling
from policies.shape import Alternative, LevelShape, Shape, ShapeColumn, visible_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The policies in force that concern one dataset, by level."""

    federation: Slice
    space: Slice
    lab: Slice
    dataset: Slice

    def items(self) -> tuple[tuple[Level, Slice], ...]:
        return (
            (Level.FEDERATION, self.federation),
            (Level.SPACE, self.space),
            (Level.LAB, self.lab),
            (Level.DATASET, self.dataset),
        )


def decide(
    levels: Levels,
    principal: PrincipalInput,
    dataset: DatasetInput,
    context: ContextInput,
    asked: Collection[Action] = ACTIONS,
) -> Ruling:
    """The ruling on this dataset for the actions asked; discover is always decided.

    Nothing is granted for an action that was not asked. Any error of the policy engine, at any level, denies everything
    and sets `alarm`.
    """
    question, frame = Question(principal, dataset, context), Frame(dataset, principal)
    views = {
        action: tuple(_view(level, slice_, action, question, frame) for level, slice_ in levels.items())
        for action in ACTIONS
        if action in asked or action is Action.DISCOVER
    }
    ruled = {action: tuple(view.ruling for view in seen) for action, seen in views.items()}
    if any(view.ruling.error for seen in views.values() for view in seen):
        reason = Reason(Slug.POLICY_ERROR, "a policy that concerns this dataset cannot be evaluated")
        return Ruling(discover=False, levels=ruled, refusals=dict.fromkeys(ruled, (reason,)), alarm=True)
    refusals = {action: _refusals(action, seen, dataset) for action, seen in views.items()}
    grants: dict[Action, Grant] = {}
    for action, seen in views.items():
        refusals[action] = refusals[action] or refusals[Action.DISCOVER]
        if action in DATA_ACTIONS and not refusals[action]:
            grant = _grant(action, seen, frame, context)
            if grant.shape is not None and not grant.shape.columns:
                refusals[action] = (Reason(Slug.NO_COLUMNS, "the policies leave no column to see"),)
            else:
                grants[action] = grant
    return Ruling(
        discover=not refusals[Action.DISCOVER],
        levels=ruled,
        grants=grants,
        refusals={action: reasons for action, reasons in refusals.items() if reasons},
        columns=_schema(grants, views[Action.DISCOVER], frame, dataset),
    )


@dataclass(frozen=True, slots=True)
class _View:
    """A level as one action sees it: its ruling, and its live permits with the alternatives they make."""

    ruling: LevelRuling
    live: tuple[tuple[Policy, Alternative], ...]


def _view(level: Level, slice_: Slice, action: Action, question: Question, frame: Frame) -> _View:
    answer = slice_.ask(action, question)
    live: list[tuple[Policy, Alternative]] = []
    void: list[Reason] = []
    for policy in answer.permits:
        bound = bind(policy, frame)
        if isinstance(bound, Reason):
            void.append(bound)
        else:
            live.append((policy, bound))
    ruling = LevelRuling(
        level=level,
        closed=slice_.closed,
        permits=tuple(policy for policy, _ in live),
        forbids=answer.forbids,
        void=tuple(void),
        error=answer.error,
    )
    return _View(ruling, tuple(live))


def _refusals(action: Action, views: tuple[_View, ...], dataset: DatasetInput) -> tuple[Reason, ...]:
    """Why `action` is not granted; empty if it is."""
    reasons = [
        Reason(Slug.FORBIDDEN, f"forbidden at {view.ruling.level} level", policy.id)
        for view in views
        for policy in view.ruling.forbids
    ]
    if action is Action.DISCOVER:
        if not reasons and not any(view.live for view in views):
            reasons.append(Reason(Slug.NO_PERMIT, "no policy permits the caller to know of this dataset"))
            reasons += [reason for view in views for reason in view.ruling.void]
        return tuple(reasons)
    for view in views:
        if view.live or view.ruling.forbids:
            continue  # a forbid hides from us which permits match
        if view.ruling.level is Level.DATASET:
            reasons.append(Reason(Slug.PROVIDER_PERMITS_NOTHING, f"no policy of the provider permits {action}"))
            reasons += view.ruling.void
        elif view.ruling.closed:
            text = f"the policies at {view.ruling.level} level do not permit {action}"
            reasons += [Reason(Slug.LEVEL_CLOSED, text), *view.ruling.void]
    if not reasons and dataset.personal_data != "none" and not any(_lists_columns(view) for view in views):
        text = "the dataset holds personal data and no level lists, in all its permits, which columns may be seen"
        reasons.append(Reason(Slug.COLUMNS_NOT_LISTED, text))
    return tuple(reasons)


def _lists_columns(view: _View) -> bool:
    return bool(view.live) and all(policy.obligations.columns is not None for policy, _ in view.live)


def _grant(action: Action, views: tuple[_View, ...], frame: Frame, context: ContextInput) -> Grant:
    """The effective obligations. Only called where every closed level has a live permit."""
    effective = [
        (view.ruling.level, _smallest_group(view.live) if action is Action.AGGREGATE else view.live)
        for view in views
        if view.live
    ]
    shapes = tuple(
        LevelShape(level=level, alternatives=_simplified(tuple(alternative for _, alternative in live)))
        for level, live in effective
    )
    policies = [[policy for policy, _ in live] for _, live in effective]
    agreement = context.agreement if context.agreement and context.agreement.covers(action) else None
    return Grant(
        action=action,
        shape=Shape(levels=shapes, columns=visible_columns(shapes, frame.types)) if frame.known else None,
        policies=tuple(policy for level in policies for policy in level),
        max_rows=_limit([[policy.obligations.limits.max_rows for policy in level] for level in policies]),
        queries_per_day=_limit([[policy.obligations.limits.queries_per_day for policy in level] for level in policies]),
        min_group_size=max(min(_group_size(policy) for policy in level) for level in policies)
        if action is Action.AGGREGATE
        else None,
        aggregates_only=any(not _grants_rows(policy) for level in policies for policy in level),
        whole=all(any(_shows_all(policy) for policy in level) for level in policies),
        agreement=agreement.id if agreement else None,
    )


def _simplified(alternatives: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
    """An alternative that restricts nothing covers every row in the clear: the others of its level add nothing."""
    return next(((a,) for a in alternatives if a.restricts_nothing), alternatives)


def _grants_rows(policy: Policy) -> bool:
    return Action.QUERY in policy.concerns


def _shows_all(policy: Policy) -> bool:
    obligations = policy.obligations
    return _grants_rows(policy) and obligations.columns is None and obligations.rows is None and not obligations.masks


def _group_size(policy: Policy) -> int:
    """A permit of query or export counts with a minimum group of 1."""
    return 1 if _grants_rows(policy) else policy.obligations.min_group_size or 1


def _smallest_group(live: tuple[tuple[Policy, Alternative], ...]) -> tuple[tuple[Policy, Alternative], ...]:
    """Permits of a level do not union under aggregate: the smallest minimum group applies, of equal ones the first by id."""
    return (min(live, key=lambda pair: (_group_size(pair[0]), not _grants_rows(pair[0]), pair[0].id)),)


def _limit(levels: list[list[int | None]]) -> int | None:
    """The largest of each level, of those the smallest; None is no limit."""
    largest = [max(limit for limit in level if limit is not None) for level in levels if None not in level]
    return min(largest, default=None)


def _schema(
    grants: Mapping[Action, Grant], discover: tuple[_View, ...], frame: Frame, dataset: DatasetInput
) -> tuple[ShapeColumn, ...]:
    """The columns as this caller sees them: those of the highest data action granted, else what discover alone shows."""
    for action in reversed(DATA_ACTIONS):
        if action in grants:
            shape = grants[action].shape
            return shape.columns if shape else ()
    everything = tuple(ShapeColumn(name, type_, type_) for name, type_ in frame.types.items())
    if dataset.personal_data == "none":
        return everything
    listed = [columns for view in discover if (columns := _listed(view, frame)) is not None]
    return tuple(column for column in everything if listed and all(column.name in columns for columns in listed))


def _listed(view: _View, frame: Frame) -> set[str | None] | None:
    """The columns that the live permits of a level list, None if none of them lists any."""
    lists = [policy.obligations.columns for policy, _ in view.live if policy.obligations.columns is not None]
    return {frame.column(ref) for refs in lists for ref in refs} if lists else None
