"""Cedar: which policies of a scope match a caller, a dataset and an action.

Owns the composed policy text and every call of the engine. Cedar fails open when a forbid raises an error, so an answer
with any diagnostics error is an error here, whatever it says; callers must deny on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import cedarpy

from policies.inputs import AgreementInput, ContextInput, DatasetInput, PrincipalInput
from policies.model import ACTIONS, Action, Effect, Policy

SCHEMA_FILE = Path(__file__).with_name("schema.cedarschema")
SCHEMA_TEXT = SCHEMA_FILE.read_text(encoding="utf-8")
SCHEMA = cedarpy.Schema.from_str(SCHEMA_TEXT)


def compose(policy: Policy, annotation: str = "") -> str:
    """The Cedar text of one policy; annotation: what Cedar reports it by. The condition stands on lines of its own."""
    actions = ", ".join(f'Action::"{action}"' for action in ACTIONS if action in policy.concerns)
    condition = f" when {{\n{policy.when}\n}}" if policy.when is not None else ""
    return (
        f'@id("{annotation or policy.id}")\n{policy.effect}(principal, action in [{actions}], resource){condition};\n'
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """Which policies match. Where a forbid matches, Cedar does not say which permits do. error: deny, and tell an operator."""

    permits: tuple[Policy, ...] = ()
    forbids: tuple[Policy, ...] = ()
    error: bool = False


class Question:
    """One caller, one dataset, one moment, as Cedar takes them; built once, asked at each level."""

    def __init__(self, principal: PrincipalInput, dataset: DatasetInput, context: ContextInput) -> None:
        self._principal, self._dataset, self._context = principal, dataset, context

    @cached_property
    def entities(self) -> cedarpy.Entities:
        """ValueError if the inputs do not fit the schema."""
        entities = [_principal_entity(self._principal), _dataset_entity(self._dataset)]
        return cedarpy.Entities.from_json_str(json.dumps(entities), SCHEMA)

    @cached_property
    def _now(self) -> dict[str, object]:
        return _cedar_time(self._context.now)

    def request(self, action: Action) -> dict[str, object]:
        context: dict[str, object] = {"now": self._now}
        agreement = self._context.agreement
        if agreement is not None and agreement.covers(action):
            context["agreement"] = _cedar_agreement(agreement)
        return {
            "principal": _principal_uid(self._principal),
            "action": {"type": "Action", "id": action.value},
            "resource": _dataset_uid(self._dataset),
            "context": context,
        }


class Slice:
    """The policies in force at one scope, compiled once and kept by whoever knows when they change.

    depends_on_context: whether any condition mentions the context, so that answers change with time or agreement.
    depends_on_resource: whether any condition may look at the dataset, so that answers differ below one scope.
    """

    def __init__(self, policies: Iterable[Policy] = (), *, broken: bool = False) -> None:
        """broken: a stored policy of this scope cannot be read, so that nothing can be decided with the rest."""
        self.policies = tuple(policies)
        self.broken = broken
        self.closed = broken or any(policy.closes for policy in self.policies)
        self.depends_on_context = any("context" in (policy.when or "") for policy in self.policies)
        self.depends_on_resource = any("resource" in (policy.when or "") for policy in self.policies)
        self._concerned = {
            action: tuple(policy for policy in self.policies if action in policy.concerns) for action in ACTIONS
        }
        self._sets: dict[Action, cedarpy.PolicySet | None] = {}

    def ask(self, action: Action, question: Question) -> Answer:
        """Which of this scope's policies match; no call of the engine where none concerns the action."""
        policies = self._concerned[action]
        if self.broken:
            return Answer(error=True)
        if not policies:
            return Answer()
        policy_set = self._policy_set(action)
        if policy_set is None:
            return Answer(error=True)
        try:
            result = cedarpy.is_authorized(question.request(action), policy_set, question.entities, SCHEMA)
        except ValueError:
            return Answer(error=True)
        if result.decision is cedarpy.Decision.NoDecision or result.diagnostics.errors:
            return Answer(error=True)
        matching = _matching(policies, result.diagnostics.id_annotations_by_reason)
        return Answer(
            permits=tuple(policy for policy in matching if policy.effect is Effect.PERMIT),
            forbids=tuple(policy for policy in matching if policy.effect is Effect.FORBID),
        )

    def _policy_set(self, action: Action) -> cedarpy.PolicySet | None:
        """None: the text does not parse to exactly these policies, so nothing can be decided with it."""
        if action not in self._sets:
            policies = self._concerned[action]
            text = "".join(compose(policy, str(index)) for index, policy in enumerate(policies))
            try:
                policy_set = cedarpy.PolicySet.from_str(text)
            except ValueError:
                self._sets[action] = None
            else:
                self._sets[action] = policy_set if len(policy_set) == len(policies) else None
        return self._sets[action]


NO_POLICIES = Slice()


def _matching(policies: Sequence[Policy], annotations: Mapping[str, str]) -> list[Policy]:
    return [policies[index] for index in sorted(int(annotation) for annotation in annotations.values())]


def _principal_uid(principal: PrincipalInput) -> dict[str, str]:
    return {"type": "Principal", "id": f"{principal.issuer}|{principal.subject}"}


def _dataset_uid(dataset: DatasetInput) -> dict[str, str]:
    return {"type": "Dataset", "id": dataset.uid}


def _principal_entity(principal: PrincipalInput) -> dict[str, object]:
    attributes: dict[str, object] = {
        "issuer": principal.issuer,
        "subject": principal.subject,
        "participant": principal.participant,
        "country": principal.country,
        "kind": principal.kind,
        "eu_funded_project": principal.eu_funded_project,
        "roles": sorted(principal.roles),
        "spaces": sorted(principal.spaces),
    }
    if principal.client_id is not None:
        attributes["client_id"] = principal.client_id
    tags = {name: _claim_texts(value) for name, value in principal.claims.items()}
    return {"uid": _principal_uid(principal), "attrs": attributes, "tags": tags, "parents": []}


def _claim_texts(value: object) -> list[str]:
    """A claim as a set of texts: numbers and booleans as JSON writes them; what is neither scalar nor list is left out."""
    values = value if isinstance(value, list | tuple) else (value,)
    return [
        item if isinstance(item, str) else json.dumps(item)
        for item in values
        if isinstance(item, str | int | float | bool)
    ]


def _dataset_entity(dataset: DatasetInput) -> dict[str, object]:
    attributes: dict[str, object] = {
        "space": dataset.space,
        "name": dataset.name,
        "lab": dataset.lab,
        "provider": dataset.provider,
        "ai_factory": dataset.ai_factory,
        "sector": dataset.sector,
        "personal_data": dataset.personal_data,
        "roles": sorted(dataset.roles),
    }
    return {"uid": _dataset_uid(dataset), "attrs": attributes, "parents": []}


def _cedar_agreement(agreement: AgreementInput) -> dict[str, object]:
    return {"id": agreement.id, "purpose": agreement.purpose, "valid_until": _cedar_time(agreement.valid_until)}


def _cedar_time(moment: datetime) -> dict[str, object]:
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"__extn": {"fn": "datetime", "arg": text}}
