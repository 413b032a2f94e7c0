"""Who would see what: the effect of policies on somebody else, for the one whose dataset it is.

Owns the report that precedes a publication and the simulation of drafts. Must never be shown to anyone but the dataset's
provider: it tells what policies say about others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.entities import Dataset, Participant, ParticipantStatus
from datalab.flow.authority import Verb, may, of_dataset_policies
from datalab.flow.decision import Decider
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal, Role
from datalab.registry.errors import Conflict, NotFound
from datalab.registry.ports import Page, Store
from datalab.registry.writes import audience_of
from policies.model import DATA_ACTIONS, MaskKind, Policy
from policies.ruling import Grant, Ruling
from policies.validation import checked

MAX_PARTICIPANTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one participant's member, without further claims, would see.

    actions: granted ones. columns: (name, type as shown) of the highest. masked: columns that are shown changed. filters:
    whether rows may be hidden. policies: ids of those that apply. refusals: reasons by action.
    """

    participant: str
    discover: bool
    actions: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    filters: bool
    max_rows: int | None
    min_group_size: int | None
    policies: tuple[str, ...]
    refusals: Mapping[str, list[dict[str, str]]]


class Preview:
    def __init__(self, store: Store, catalogue: Catalogue, decider: Decider) -> None:
        self._store = store
        self._catalogue = catalogue
        self._decider = decider

    def audience(self, principal: Principal, space: str, name: str) -> tuple[Effect, ...]:
        """What each verified participant (the first 500 by id) would see if the dataset were published now.

        Raises NotFound for everyone but the provider.
        """
        self._require(principal, space, name)
        everyone = self._store.lists.participants(Page(limit=MAX_PARTICIPANTS), audience_of(principal))
        verified = (one for one in everyone if one.status is ParticipantStatus.VERIFIED)
        return tuple(self._effect(one, space, name, ()) for one in verified)

    def simulate(
        self,
        principal: Principal,
        space: str,
        name: str,
        participant: str,
        documents: Sequence[Mapping[str, Any]] = (),
    ) -> Effect:
        """What that participant would see with these drafts in force; a draft stands for the stored policy of its id.

        Raises policies.errors.PolicyInvalid, NotFound for everyone but the provider, Conflict for an unknown participant.
        """
        drafts = [checked(document) for document in documents]
        self._require(principal, space, name)
        found = self._catalogue.participant(participant)
        if found is None or found.status is not ParticipantStatus.VERIFIED:
            raise Conflict("registry.reference", "There is no such verified participant.", field="participant")
        return self._effect(found, space, name, drafts)

    def _require(self, principal: Principal, space: str, name: str) -> Dataset:
        self._catalogue.revision()
        found = self._catalogue.dataset(space, name)
        if found is None or not may(principal, Verb.READ, of_dataset_policies(found)):
            raise NotFound
        return found

    def _effect(self, participant: Participant, space: str, name: str, drafts: Sequence[Policy]) -> Effect:
        member = Principal(
            issuer="",
            subject="",
            client_id=None,
            participant=participant,
            roles=frozenset({Role.MEMBER}),
            scopes=frozenset(),
            spaces=frozenset(admission.space for admission in self._catalogue.admissions(participant.id)),
            token_id="",
        )
        return effect_of(participant.id, self._decider.ruling(member, space, name, drafts=drafts))


def effect_of(participant: str, ruling: Ruling) -> Effect:
    granted = [action for action in DATA_ACTIONS if action in ruling.grants]
    highest: Grant | None = ruling.grants[granted[-1]] if granted else None
    return Effect(
        participant=participant,
        discover=ruling.discover,
        actions=(*(["discover"] if ruling.discover else []), *(action.value for action in granted)),
        columns=tuple((column.name, column.result.sql) for column in ruling.columns),
        masked=_masked(highest),
        filters=bool(highest and highest.shape and highest.shape.filters),
        max_rows=highest.max_rows if highest else None,
        min_group_size=highest.min_group_size if highest else None,
        policies=tuple(policy.id for policy in highest.policies) if highest else (),
        refusals={action.value: [one.as_json() for one in reasons] for action, reasons in ruling.refusals.items()},
    )


def _masked(grant: Grant | None) -> tuple[str, ...]:
    """Columns that at least one row shows changed."""
    if grant is None or grant.shape is None:
        return ()
    return tuple(
        column.name
        for column in grant.shape.columns
        if any(
            choice.mask(column.name).kind is not MaskKind.CLEAR
            for level in grant.shape.levels
            for choice in level.choices(column.name)
        )
    )
