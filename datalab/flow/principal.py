"""The principal stage: Claims -> Principal. Who calls, for which verified participant, in which roles.

Owns the one value that the rest of the journey trusts for identity. Must never admit a caller whose participant is
unknown or unverified, and never takes a role of this gateway from a token that its issuer's rule does not map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from catalog.entities import Participant, ParticipantStatus
from datalab.flow.errors import PrincipalRefused, ScopeRefused, TokenRefused
from datalab.flow.ports import Catalogue, Identities
from datalab.flow.token import Claims, Scope

MAX_CLAIM_ITEMS = 100


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdentity:
    """A client of this gateway's own authorization server, as far as the journey needs it.

    participant_uid: the very participant it was made for. revoked: for good. revoked_grants: ids of secrets whose tokens are refused.
    """

    client_id: str
    participant: str
    participant_uid: str
    roles: frozenset[Role]
    revoked: bool = False
    revoked_grants: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRule:
    """How an external issuer's claims name one of our participants and roles.

    participant: the same for every token, or else participant_claim names the claim (its full name, or dots that descend into objects) and
    participants maps its values to participant ids; a value that is not in the map is unknown. roles_claim and roles do the
    same for roles; who has none of them is a member.
    """

    participant: str | None = None
    participant_claim: str | None = None
    participants: Mapping[str, str] = field(default_factory=dict)
    roles_claim: str | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)


class Resolver:
    """Turns Claims into Principals; asks storage anew each time, so that a revocation counts at the next request."""

    def __init__(
        self, own_issuer: str, identities: Identities, catalogue: Catalogue, rules: Mapping[str, IssuerRule]
    ) -> None:
        """rules: by external issuer."""
        self._own_issuer = own_issuer
        self._identities = identities
        self._catalogue = catalogue
        self._rules = rules

    def resolve(self, claims: Claims) -> Principal:
        """Who calls. Raises TokenRefused if the token, its grant or its client was revoked, PrincipalRefused otherwise."""
        revision = self._catalogue.revision()  # the request's one look at the clock of writes; later reads rest on it
        if self._identities.is_revoked(claims.issuer, claims.token_id, revision=revision):
            raise TokenRefused("token.revoked", "The token was revoked.")
        if claims.issuer == self._own_issuer:
            participant, roles = self._own(claims, revision)
        else:
            participant, roles = self._external(claims)
        if participant.status is not ParticipantStatus.VERIFIED:
            raise PrincipalRefused(
                "principal.unverified", "Your organisation has not been verified by the operator of this gateway."
            )
        return Principal(
            issuer=claims.issuer,
            subject=claims.subject,
            client_id=claims.client_id,
            participant=participant,
            roles=roles,
            scopes=claims.scopes,
            spaces=frozenset(admission.space for admission in self._catalogue.admissions(participant.id)),
            token_id=claims.token_id,
            agreements=_agreements(claims),
            claims={name: value for name, value in claims.other.items() if _is_plain(value)},
        )

    def _own(self, claims: Claims, revision: int) -> tuple[Participant, frozenset[Role]]:
        identity = self._identities.client(claims.subject, revision=revision)
        if identity is None or identity.revoked or claims.client_id != identity.client_id:
            raise TokenRefused("token.revoked", "The token's client no longer exists.")
        if claims.grant_id in identity.revoked_grants:
            raise TokenRefused("token.revoked", "The secret that the token was fetched with was revoked.")
        participant = self._participant(identity.participant)
        if participant.uid != identity.participant_uid:
            raise _unknown()
        return participant, identity.roles

    def _external(self, claims: Claims) -> tuple[Participant, frozenset[Role]]:
        rule = self._rules.get(claims.issuer)
        if rule is None:
            raise _unknown()
        roles = frozenset(rule.roles[name] for name in _names(claims, rule.roles_claim) if name in rule.roles)
        if rule.participant is not None:
            return self._participant(rule.participant), roles or frozenset({Role.MEMBER})
        named = {
            rule.participants[name] for name in _names(claims, rule.participant_claim) if name in rule.participants
        }
        if len(named) != 1:
            raise _unknown()
        return self._participant(named.pop()), roles or frozenset({Role.MEMBER})

    def _participant(self, id_: str) -> Participant:
        participant = self._catalogue.participant(id_)
        if participant is None:
            raise _unknown()
        return participant


def require(principal: Principal, scope: Scope) -> None:
    """Raises ScopeRefused unless the token was given this scope."""
    if scope not in principal.scopes:
        raise ScopeRefused("token.scope", f"The token lacks the scope {scope.value}.", scope=scope.value)


def _unknown() -> PrincipalRefused:
    return PrincipalRefused("principal.unknown", "The token does not belong to a participant of this gateway.")


def _names(claims: Claims, path: str | None) -> frozenset[str]:
    """The texts that the claim at this path holds: one text, or a list of texts. Anything else names nobody."""
    if path is None:
        return frozenset()
    value: object = claims.other.get(path)
    if value is None:
        value = claims.other
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
    listed = value if isinstance(value, list) else [value]
    names = frozenset(one for one in listed if isinstance(one, str))
    return names if all(isinstance(one, str) for one in listed) else frozenset()


def _agreements(claims: Claims) -> tuple[str, ...]:
    listed = claims.other.get("agreements", ())
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        raise TokenRefused("token.malformed", "The token's agreements must be a list of ids.")
    return tuple(listed)


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_CLAIM_ITEMS and all(_is_scalar(one) for one in value)
    return _is_scalar(value)


def _is_scalar(value: object) -> bool:
    """Numbers, truth values, and texts without halves of characters, which no encoding could carry on."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return isinstance(value, int | float | bool)
