"""The decision stage: Principal + datasets -> Decision each. What the policies in force let this caller do, now.

Owns the one way from a principal to data: only this module makes a `Decision`, and every exit asks here. A dataset that the
caller may not discover must never be told apart from one that does not exist, neither by the answer nor by what is read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from threading import Lock

from catalog.entities import Dataset, DatasetStatus, PolicyRecord, Version, VersionStatus
from datalab.flow.errors import DatasetUnknown, DecisionConflict, DecisionRefused
from datalab.flow.ports import Catalogue, ConsistentCatalogue
from datalab.flow.principal import Principal
from datalab.flow.request import Mode, Query
from datalab.flow.sql.names import DatasetName
from datalab.flow.trail import PolicyRef, Touched
from policies.cedar import Slice
from policies.columntypes import column_type
from policies.decide import Levels, decide
from policies.documents import parse
from policies.errors import PolicyInvalid
from policies.inputs import ColumnInput, ContextInput, DatasetInput, PrincipalInput
from policies.model import ACTIONS, Action, Policy
from policies.ruling import Grant, Ruling
from policies.shape import Shape, ShapeColumn

Clock = Callable[[], datetime]

_log = logging.getLogger("datalab.decision")

_REMEMBERED = 20_000
"""Slices, and rulings, kept for one revision of the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A dataset that the caller may know of, as they may know it.

    owner: the caller belongs to its provider. version: the one asked for, whatever its status, without its files; None if
    there is none.
    """

    dataset: Dataset
    version: Version | None
    ruling: Ruling
    owner: bool

    @property
    def columns(self) -> tuple[ShapeColumn, ...]:
        """The schema as this caller sees it; the owner without a grant sees the stored one."""
        if self.owner and not self.ruling.grants:
            types = ((column.name, column_type(column.type)) for column in self.version.columns) if self.version else ()
            return tuple(ShapeColumn(name, type_, type_) for name, type_ in types)
        return self.ruling.columns

    @property
    def whole(self) -> bool:
        """Whether counts, sizes and statistics are this caller's to know."""
        return self.owner or any(grant.whole for grant in self.ruling.grants.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Proof that the policies let the caller do `action` with exactly this version, and what that obliges to."""

    dataset: Dataset
    version: Version
    action: Action
    ruling: Ruling
    grant: Grant

    @property
    def shape(self) -> Shape:
        assert self.grant.shape is not None
        return self.grant.shape

    @property
    def max_rows(self) -> int | None:
        return self.grant.max_rows

    @property
    def aggregates_only(self) -> bool:
        """Whether some level grants no rows: the statement must aggregate, in groups of `grant.min_group_size`."""
        return self.grant.aggregates_only

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Those whose obligations apply, with the revisions that were in force."""
        return self.grant.policies


def touched(decision: Decision) -> Touched:
    """What the audit trail says about a decision."""
    dataset = decision.dataset
    return Touched(
        uid=dataset.uid,
        space=dataset.space,
        name=dataset.name,
        provider=dataset.provider,
        version=decision.version.number,
        action=decision.action.value,
        policies=tuple(
            PolicyRef(
                id=policy.id,
                revision=policy.revision,
                uid=policy.uid,
                level=str(policy.scope),
                effect=policy.effect.value,
            )
            for policy in decision.policies
        ),
        agreement=decision.grant.agreement,
    )


class Decider:
    """Decides, on one revision of the catalogue each time; thread-safe.

    Raises of every method that takes one dataset or more: DatasetUnknown (`decision.not_found`) where one does not exist or
    may not be discovered.
    """

    def __init__(self, catalogue: ConsistentCatalogue, *, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._slices: dict[str, tuple[tuple[PolicyRecord, ...], Slice]] = {}
        self._rulings = _Memory()

    def decide(
        self, principal: Principal, space: str, name: str, *, version: int | None = None, action: Action = Action.QUERY
    ) -> Decision:
        """The decision for one action on one dataset.

        Raises:
            DecisionRefused: the action is not granted; `detail["reasons"]` say why.
            DecisionConflict: there is no usable version.
        """
        return self._catalogue.consistently(
            lambda catalogue: _decision(
                catalogue, self._sight(catalogue, principal, space, name, version), (action,), version
            )
        )

    def decide_all(self, principal: Principal, names: Sequence[DatasetName], query: Query) -> tuple[Decision, ...]:
        """The decisions for one statement, which has one action: query if granted for all its datasets, else aggregate.

        Raises: as `decide`.
        """
        wanted = _WANTED[query.mode]

        def work(catalogue: Catalogue) -> tuple[Decision, ...]:
            sights = []
            for name in names:
                if name.peer is not None:
                    raise _unknown(str(name))
                number = query.versions.get(f"{name.space}.{name.name}")
                sights.append((self._sight(catalogue, principal, name.space, name.name, number), number))
            for action in wanted:
                if all(action in sight.ruling.grants for sight, _ in sights):
                    return tuple(_decision(catalogue, sight, (action,), number) for sight, number in sights)
            return tuple(_decision(catalogue, sight, wanted, number) for sight, number in sights)

        return self._catalogue.consistently(work)

    def sight(self, principal: Principal, space: str, name: str, *, version: int | None = None) -> Sight:
        """The dataset as this caller may know it: its ruling for every action, its columns."""
        return self._catalogue.consistently(lambda catalogue: self._sight(catalogue, principal, space, name, version))

    def schema_for(
        self, principal: Principal, space: str, name: str, *, version: int | None = None
    ) -> tuple[ShapeColumn, ...]:
        """The columns as this caller would see them."""
        return self.sight(principal, space, name, version=version).columns

    def discoverable(self, principal: Principal, datasets: Iterable[Dataset]) -> tuple[Dataset, ...]:
        """Those of `datasets` (as just read from storage) that this caller may know of, in their order."""

        def work(catalogue: Catalogue) -> tuple[Dataset, ...]:
            cases = (
                (dataset, self._case(catalogue, principal, dataset.space, dataset.name, None)) for dataset in datasets
            )
            return tuple(dataset for dataset, case in cases if _visible(case, principal))

        return self._catalogue.consistently(work)

    def ruling(
        self, principal: Principal, space: str, name: str, *, version: int | None = None, drafts: Sequence[Policy] = ()
    ) -> Ruling:
        """What the policies say to this principal about a dataset, whatever its status: for its owner's eyes only.

        drafts: policies that are not stored, or that stand for the stored ones of their ids. The principal may be one that
        nobody is, to ask what somebody would see.
        """

        def work(catalogue: Catalogue) -> Ruling:
            if not drafts:
                return self._case(catalogue, principal, space, name, version).ruling
            dataset = catalogue.dataset(space, name) or _absent(space, name)
            found = catalogue.version(dataset.uid, version, files=False)
            levels = _levels(_drafted(catalogue.policies(scope), scope, drafts) for scope in _scopes(dataset))
            facts = _looked_up(catalogue, dataset, found)
            return decide(levels, principal_input(principal), facts, ContextInput(now=self._clock()), ACTIONS)

        return self._catalogue.consistently(work)

    def _sight(self, catalogue: Catalogue, principal: Principal, space: str, name: str, number: int | None) -> Sight:
        case = self._case(catalogue, principal, space, name, number)
        if case.dataset is None or not _visible(case, principal):
            raise _unknown(f"{space}.{name}")
        return Sight(
            dataset=case.dataset, version=case.version, ruling=case.ruling, owner=_owns(case.dataset, principal)
        )

    def _case(self, catalogue: Catalogue, principal: Principal, space: str, name: str, number: int | None) -> _Case:
        """What is known and ruled, for an absent dataset too: the same reads, the same evaluation."""
        caller = principal_input(principal)
        key = (_fingerprint(caller), space, name, number)
        revision = catalogue.revision()
        known = self._rulings.get(revision, key)
        if known is not None:
            return known
        dataset = catalogue.dataset(space, name)
        subject = dataset or _absent(space, name)
        version = catalogue.version(subject.uid, number, files=False)
        facts = _looked_up(catalogue, subject, version)
        levels = _levels(self._slice(catalogue, scope) for scope in _scopes(subject))
        ruling = decide(levels, caller, facts, ContextInput(now=self._clock()), ACTIONS)
        if ruling.alarm:
            _log.error("a policy that concerns %s cannot be evaluated; everything on it is denied", facts.uid)
        case = _Case(dataset, version, ruling)
        if not any(slice_.depends_on_context for _, slice_ in levels.items()):
            self._rulings.put(revision, key, case)
        return case

    def _slice(self, catalogue: Catalogue, scope: str) -> Slice:
        """The compiled policies of a scope; always read, but compiled anew only where they have changed."""
        records = catalogue.policies(scope)
        known = self._slices.get(scope)
        if known is not None and known[0] == records:
            return known[1]
        slice_ = _compiled(records)
        if len(self._slices) >= _REMEMBERED:
            self._slices.clear()
        self._slices[scope] = (records, slice_)
        return slice_


@dataclass(frozen=True, slots=True)
class _Case:
    dataset: Dataset | None
    version: Version | None
    ruling: Ruling


class _Memory:
    """The cases of one revision, forgotten as soon as a newer one is asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._revision = -1
        self._cases: dict[object, _Case] = {}

    def get(self, revision: int, key: object) -> _Case | None:
        with self._lock:
            return self._cases.get(key) if revision == self._revision else None

    def put(self, revision: int, key: object, case: _Case) -> None:
        with self._lock:
            if revision > self._revision or len(self._cases) >= _REMEMBERED:
                self._revision, self._cases = max(revision, self._revision), {}
            if revision == self._revision:
                self._cases[key] = case


_WANTED = {
    None: (Action.QUERY, Action.AGGREGATE),
    Mode.QUERY: (Action.QUERY,),
    Mode.AGGREGATE: (Action.AGGREGATE,),
}


def _decision(catalogue: Catalogue, sight: Sight, wanted: Sequence[Action], number: int | None) -> Decision:
    """The decision for the first of the wanted actions that is granted."""
    dataset, ruling = sight.dataset, sight.ruling
    action = next((action for action in wanted if action in ruling.grants), None)
    if action is None:
        raise DecisionRefused(
            "decision.refused",
            f"No policy lets you {wanted[0]} {dataset.sql_name}.",
            dataset=dataset.sql_name,
            action=wanted[0].value,
            reasons=[reason.as_json() for reason in ruling.refusals.get(wanted[0], ())],
        )
    if dataset.status is not DatasetStatus.PUBLISHED:
        raise DecisionConflict(
            "decision.not_published", f"{dataset.sql_name} is not published.", dataset=dataset.sql_name
        )
    return Decision(
        dataset=dataset,
        version=_with_files(catalogue, _usable(dataset, sight.version, number)),
        action=action,
        ruling=ruling,
        grant=ruling.grants[action],
    )


def _usable(dataset: Dataset, version: Version | None, number: int | None) -> Version:
    name = dataset.sql_name
    if version is None and number is None:
        raise DecisionConflict("decision.no_version", f"{name} has no published version yet.", dataset=name)
    if version is None:
        raise DecisionConflict(
            "decision.version_unknown", f"{name} has no version {number}.", dataset=name, version=number
        )
    if version.status is VersionStatus.WITHDRAWN:
        raise DecisionConflict(
            "decision.version_withdrawn",
            f"Version {version.number} of {name} was withdrawn by its provider.",
            dataset=name,
            version=version.number,
        )
    if version.status is VersionStatus.BROKEN:
        raise DecisionConflict(
            "decision.version_broken",
            f"The files of version {version.number} of {name} have changed since it was published.",
            dataset=name,
            version=version.number,
        )
    return version


def _with_files(catalogue: Catalogue, version: Version) -> Version:
    """Read only now that the caller is known to be let at them."""
    found = catalogue.version(version.dataset_uid, version.number)
    assert found is not None, "one revision of the catalogue does not lose a version"
    return found


def _unknown(name: str) -> DatasetUnknown:
    return DatasetUnknown("decision.not_found", f"There is no dataset {name} that you may know of.", dataset=name)


def _owns(dataset: Dataset, principal: Principal) -> bool:
    return dataset.provider == principal.participant.id


def _visible(case: _Case, principal: Principal) -> bool:
    """Owners see their own records; others what is published and what policies let them discover."""
    dataset = case.dataset
    if dataset is None:
        return False
    return _owns(dataset, principal) or (dataset.status is DatasetStatus.PUBLISHED and case.ruling.discover)


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
