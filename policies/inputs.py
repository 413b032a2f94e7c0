"""What a decision is made from: the caller, the dataset, the moment, as policies see them.

Own types, so that policies depend on nothing of the house. Must hold facts only, never a permission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from policies.model import Action, permitted_by


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalInput:
    """participant: its id. country: ISO 3166-1 alpha-2. spaces: data spaces that admitted the participant.

    claims: further token claims, scalars and lists of scalars.
    """

    issuer: str
    subject: str
    participant: str
    country: str
    kind: str
    eu_funded_project: bool = False
    client_id: str | None = None
    roles: frozenset[str] = frozenset()
    spaces: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnInput:
    """type: DuckDB's SQL type text."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """provider: participant id. ai_factory: the lab's home. columns: of the version asked for, None if there is none.

    personal_data: none, pseudonymised, personal, special. roles: column role -> column name.
    """

    uid: str
    space: str
    name: str
    lab: str
    provider: str
    ai_factory: str = ""
    sector: str = ""
    personal_data: str = "none"
    roles: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[ColumnInput, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementInput:
    """An agreement that is valid now for this participant and dataset. actions: what it was given for."""

    id: str
    purpose: str
    valid_until: datetime
    actions: frozenset[Action]

    def covers(self, action: Action) -> bool:
        return action in permitted_by(self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextInput:
    """now: aware, UTC. agreement: present to a condition only where it covers the asked action."""

    now: datetime
    agreement: AgreementInput | None = None
