"""The principal stage: Claims -> Principal. Who calls, for which verified participant, in which roles.

Owns the one value that the rest of the journey trusts for identity. Must never admit a caller whose participant is
unknown or unverified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from catalog.entities import Participant


class Role(StrEnum):
    """What a principal may administer; no role gives access to data."""

    MEMBER = "member"
    PARTICIPANT_ADMIN = "participant_admin"
    AUDITOR = "auditor"
    GATEWAY_OPERATOR = "gateway_operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """issuer, subject: identity (never the subject alone). spaces: data spaces its participant is admitted to.

    claims: the further token claims that policies may use, scalars and lists of scalars only.
    """

    issuer: str
    subject: str
    client_id: str | None
    participant: Participant
    roles: frozenset[Role]
    scopes: frozenset[str]
    spaces: frozenset[str]
    token_id: str
    agreements: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict)
