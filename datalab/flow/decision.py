"""The decision stage: Principal + datasets -> Decision each. What the policies in force let this caller do, now.

Owns the one way from a principal to data: only this module makes a `Decision`, and every exit asks here. A dataset that the
caller may not discover must never be told apart from one that does not exist, neither by the answer nor by what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from catalog.entities import Dataset, DatasetStatus, Version, VersionStatus
from datalab.flow.errors import DatasetUnknown, DecisionConflict, DecisionRefused
from datalab.flow.ports import Catalogue, ConsistentCatalogue
from datalab.flow.principal import Principal
from datalab.flow.request import Mode, Query
from datalab.flow.rulings import Case, Clock, Reach, Rulings
from datalab.flow.sql.names import DatasetName
from datalab.flow.trail import PolicyRef, Touched
from policies.columntypes import column_type
from policies.model import Action, Policy
from policies.ruling import Grant, Ruling
from policies.shape import Shape, ShapeColumn


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
        self._rulings = Rulings(clock)

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
                catalogue, self._sight(catalogue, principal, space, name, version), action, version
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
                    return tuple(_decision(catalogue, sight, action, number) for sight, number in sights)
            # Never one dataset by one action and another by the other.
            raise _refused(next(sight for sight, _ in sights if wanted[0] not in sight.ruling.grants), wanted[0])

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
                (dataset, self._rulings.case(catalogue, principal, dataset.space, dataset.name, None, asked=()))
                for dataset in datasets
            )
            return tuple(dataset for dataset, case in cases if _visible(case, principal))

        return self._catalogue.consistently(work)

    def reach(self, principal: Principal) -> Reach:
        """Below which scopes above datasets this caller can discover anything: a search need not look elsewhere.

        `discoverable` has the last word.
        """
        return self._catalogue.consistently(lambda catalogue: self._rulings.reach(catalogue, principal))

    def ruling(
        self, principal: Principal, space: str, name: str, *, version: int | None = None, drafts: Sequence[Policy] = ()
    ) -> Ruling:
        """What the policies say to this principal about a dataset, whatever its status: for its owner's eyes only.

        drafts: policies that are not stored, or that stand for the stored ones of their ids. The principal may be one that
        nobody is, to ask what somebody would see.
        """

        def work(catalogue: Catalogue) -> Ruling:
            if not drafts:
                return self._rulings.case(catalogue, principal, space, name, version).ruling
            return self._rulings.with_drafts(catalogue, principal, space, name, version, drafts)

        return self._catalogue.consistently(work)

    def _sight(self, catalogue: Catalogue, principal: Principal, space: str, name: str, number: int | None) -> Sight:
        case = self._rulings.case(catalogue, principal, space, name, number)
        if case.dataset is None or not _visible(case, principal):
            raise _unknown(f"{space}.{name}")
        return Sight(
            dataset=case.dataset, version=case.version, ruling=case.ruling, owner=_owns(case.dataset, principal)
        )


_WANTED = {
    None: (Action.QUERY, Action.AGGREGATE),
    Mode.QUERY: (Action.QUERY,),
    Mode.AGGREGATE: (Action.AGGREGATE,),
}


def _decision(catalogue: Catalogue, sight: Sight, action: Action, number: int | None) -> Decision:
    dataset, ruling = sight.dataset, sight.ruling
    if action not in ruling.grants:
        raise _refused(sight, action)
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


def _refused(sight: Sight, action: Action) -> DecisionRefused:
    name = sight.dataset.sql_name
    reasons = [reason.as_json() for reason in sight.ruling.refusals.get(action, ())]
    sentence = f"No policy lets you {action} {name}."
    return DecisionRefused("decision.refused", sentence, dataset=name, action=action.value, reasons=reasons)


def _usable(dataset: Dataset, version: Version | None, number: int | None) -> Version:
    name = dataset.sql_name
    if version is None and number is None:
        raise DecisionConflict("decision.no_version", f"{name} has no published version at present.", dataset=name)
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


def _visible(case: Case, principal: Principal) -> bool:
    """Owners see their own records; others what is published and what policies let them discover."""
    dataset = case.dataset
    if dataset is None:
        return False
    return _owns(dataset, principal) or (dataset.status is DatasetStatus.PUBLISHED and case.ruling.discover)
