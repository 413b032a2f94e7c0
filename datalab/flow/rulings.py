"""Rulings: what the policies in force say to one caller about one dataset, made once per revision of the catalogue.

Owns the reads that a decision is made from and what is remembered of them. An absent dataset goes the same way as a hidden
one: the same reads, the same evaluation. Must never answer from another revision than the catalogue it was given.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from threading import Lock

from catalog.entities import Dataset, PolicyRecord, Version
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from policies.cedar import Question, Slice
from policies.decide import Levels, decide
from policies.documents import parse
from policies.errors import PolicyInvalid
from policies.inputs import ColumnInput, ContextInput, DatasetInput, PrincipalInput
from policies.model import ACTIONS, Action, Policy
from policies.ruling import Ruling

Clock = Callable[[], datetime]

_log = logging.getLogger("datalab.decision")

_NO_DATASET = DatasetInput(uid="", space="", name="", lab="", provider="")
"""For conditions that do not look at the dataset. No id is empty."""

_REMEMBERED = 20_000
"""Compiled scopes, and cases, kept at most."""


@dataclass(frozen=True, slots=True)
class Case:
    """dataset: None if there is none of that name; the ruling is then on one that has no policies of its own."""

    dataset: Dataset | None
    version: Version | None
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Reach:
    """closed: scopes below which this caller discovers nothing. opened: those that may let them discover something.

    What lies below neither is discovered only by policies of its own, or of another of its levels.
    """

    closed: frozenset[str]
    opened: frozenset[str]


class Rulings:
    """Makes and remembers cases; thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slices: dict[str, tuple[tuple[PolicyRecord, ...], Slice]] = {}
        self._memory = _Memory()

    def case(
        self,
        catalogue: Catalogue,
        principal: Principal,
        space: str,
        name: str,
        number: int | None,
        *,
        asked: Collection[Action] = ACTIONS,
    ) -> Case:
        """What is known and ruled, for an absent dataset too: the same reads, the same evaluation.

        asked: of which actions beside discover the ruling tells; the fewer, the faster.
        """
        caller = principal_input(principal)
        key = (_fingerprint(caller), space, name, number, frozenset(asked))
        revision = catalogue.revision()
        known = self._memory.get(revision, key)
        if known is not None:
            return known
        dataset = catalogue.dataset(space, name)
        subject = dataset or _absent(space, name)
        version = catalogue.version(subject.uid, number, files=False)
        facts = _looked_up(catalogue, subject, version)
        levels = _levels(self._slice(catalogue, scope) for scope in _scopes(subject))
        ruling = decide(levels, caller, facts, ContextInput(now=self._clock()), asked)
        if ruling.alarm:
            _log.error("a policy that concerns %s cannot be evaluated; everything on it is denied", facts.uid)
        case = Case(dataset, version, ruling)
        if not any(slice_.depends_on_context for _, slice_ in levels.items()):
            self._memory.put(revision, key, case)
        return case

    def reach(self, catalogue: Catalogue, principal: Principal) -> Reach:
        """What can be said of the discovery of all datasets below a scope at once: a hint for a search, no decision."""
        question = Question(principal_input(principal), _NO_DATASET, ContextInput(now=self._clock()))
        closed, opened = set(), set()
        for scope in catalogue.policy_scopes():
            slice_ = self._slice(catalogue, scope)
            if slice_.depends_on_resource or slice_.depends_on_context:
                opened.add(scope)
                continue
            answer = slice_.ask(Action.DISCOVER, question)
            if answer.error or answer.forbids:
                closed.add(scope)
            elif answer.permits:
                opened.add(scope)
        return Reach(closed=frozenset(closed), opened=frozenset(opened))

    def with_drafts(
        self,
        catalogue: Catalogue,
        principal: Principal,
        space: str,
        name: str,
        number: int | None,
        drafts: Sequence[Policy],
    ) -> Ruling:
        """The ruling if these policies were in force, each standing for the stored one of its id; nothing is remembered."""
        dataset = catalogue.dataset(space, name) or _absent(space, name)
        version = catalogue.version(dataset.uid, number, files=False)
        levels = _levels(_drafted(catalogue.policies(scope), scope, drafts) for scope in _scopes(dataset))
        facts = _looked_up(catalogue, dataset, version)
        return decide(levels, principal_input(principal), facts, ContextInput(now=self._clock()), ACTIONS)

    def _slice(self, catalogue: Catalogue, scope: str) -> Slice:
        """The compiled policies of a scope; always read, but compiled anew only where they have changed."""
        records = catalogue.policies(scope)
        known = self._slices.get(scope)
        if known is not None and known[0] is records:
            return known[1]  # no look at each: there may be thousands
        if known is not None and known[0] == records:
            self._slices[scope] = (records, known[1])
            return known[1]
        slice_ = _compiled(records)
        if len(self._slices) >= _REMEMBERED:
            self._slices.clear()
        self._slices[scope] = (records, slice_)
        return slice_


class _Memory:
    """The cases of one revision, forgotten as soon as a newer one is asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._revision = -1
        self._cases: dict[object, Case] = {}

    def get(self, revision: int, key: object) -> Case | None:
        with self._lock:
            return self._cases.get(key) if revision == self._revision else None

    def put(self, revision: int, key: object, case: Case) -> None:
        with self._lock:
            if revision > self._revision or len(self._cases) >= _REMEMBERED:
                self._revision, self._cases = max(revision, self._revision), {}
            if revision == self._revision:
                self._cases[key] = case


def _absent(space: str, name: str) -> Dataset:
    """Stands for a dataset that does not exist, so that it is looked at as one that does. No id is empty.

    Its uid is its own, so that a memo knows its version no better than that of a hidden dataset.
    """
    uid = f"absent:{space}/{name}"
    return Dataset(uid=uid, space=space, name=name, provider="", lab="", title={}, storage="", location="")


def _compiled(records: tuple[PolicyRecord, ...]) -> Slice:
    """A stored document that no longer parses breaks its whole scope: it may have been a forbid."""
    try:
        return Slice(replace(parse(record.document), uid=record.uid, revision=record.revision) for record in records)
    except PolicyInvalid:
        _log.exception("a stored policy of %s cannot be read; everything in this scope is denied", records[0].scope)
        return Slice(broken=True)


def _scopes(dataset: Dataset) -> tuple[str, str, str, str]:
    """The four levels that bind a dataset, widest first."""
    return "federation", f"space:{dataset.space}", f"lab:{dataset.lab}", f"dataset:{dataset.key}"


def _levels(slices: Iterable[Slice]) -> Levels:
    federation, space, lab, dataset = slices
    return Levels(federation=federation, space=space, lab=lab, dataset=dataset)


def _drafted(records: tuple[PolicyRecord, ...], scope: str, drafts: Sequence[Policy]) -> Slice:
    """The policies of a scope as they would be with the drafts."""
    replaced = {draft.id for draft in drafts}
    kept = _compiled(tuple(record for record in records if record.id not in replaced))
    return kept if kept.broken else Slice([*kept.policies, *(one for one in drafts if str(one.scope) == scope)])


def _looked_up(catalogue: Catalogue, dataset: Dataset, version: Version | None) -> DatasetInput:
    data_space, lab = catalogue.data_space(dataset.space), catalogue.data_lab(dataset.lab)
    return _facts(dataset, version, lab.home if lab else "", data_space.sector if data_space else "")


def _facts(dataset: Dataset, version: Version | None, ai_factory: str, sector: str) -> DatasetInput:
    columns = tuple(ColumnInput(column.name, column.type) for column in version.columns) if version else None
    return DatasetInput(
        uid=dataset.uid,
        space=dataset.space,
        name=dataset.name,
        lab=dataset.lab,
        provider=dataset.provider,
        ai_factory=ai_factory,
        sector=sector,
        personal_data=dataset.personal_data.value,
        roles=dataset.roles,
        columns=columns,
    )


def principal_input(principal: Principal) -> PrincipalInput:
    """The caller as policies see it."""
    participant = principal.participant
    return PrincipalInput(
        issuer=principal.issuer,
        subject=principal.subject,
        participant=participant.id,
        country=participant.country,
        kind=participant.kind.value,
        eu_funded_project=participant.eu_funded_project,
        client_id=principal.client_id,
        roles=frozenset(role.value for role in principal.roles),
        spaces=principal.spaces,
        claims=principal.claims,
    )


_HASHABLE = tuple(field.name for field in fields(PrincipalInput) if field.name != "claims")


def _fingerprint(caller: PrincipalInput) -> object:
    claims = json.dumps(dict(caller.claims), sort_keys=True, default=repr)
    return (*(getattr(caller, field) for field in _HASHABLE), claims)
