"""The clients of participants: who may create, rotate and revoke them, and what they may be given.

Owns the rule that nobody hands out more than they hold. A gateway operator makes a participant's first admin client, and may
revoke any; from then on the participant's admins are on their own, so that operating a gateway never becomes a way to
the participants' data. Must never return a secret but from `create` and `rotate`, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from catalog.entities import Participant
from datalab.flow.authority import LOCAL_ISSUER, Verb, may, of_clients, of_participant
from datalab.flow.jwks import Clock
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal, Role
from datalab.flow.token import Scope
from datalab.flow.trail import Actor, Kind
from datalab.oauth.client import Client, ClientSecret, new_client_id, new_secret, record_of
from datalab.oauth.errors import ClientConflict, ClientInvalid, ClientRefused, ClientUnknown
from datalab.oauth.ports import ClientStore, Journal

MAX_OVERLAP_S = 30 * 86_400
MAX_SECRETS = 5
NAME = re.compile(r"[^\s](?:[^\x00-\x1f\x7f]{0,98}[^\s])?")
OPERATORS_TO_GIVE = frozenset({Role.GATEWAY_OPERATOR, Role.AUDITOR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A client with the secret that was just made for it; nothing will show it again."""

    client: Client
    secret: str = field(repr=False)


class Clients:
    """The administration of clients. Every method takes the principal who asks and raises OAuthError for a no."""

    def __init__(self, store: ClientStore, catalogue: Catalogue, journal: Journal, clock: Clock) -> None:
        self._store = store
        self._catalogue = catalogue
        self._journal = journal
        self._clock = clock

    def create(
        self, principal: Principal, participant: str, *, name: str, roles: Iterable[str], scopes: Iterable[str]
    ) -> Issued:
        """A new client with its first secret. roles and scopes: at most what the caller may give."""
        owner = self._participant(principal, participant)
        if not may(principal, Verb.WRITE, of_clients(owner.id)) and not self._may_begin(principal, owner):
            raise ClientRefused("A participant's clients are made by its own admins, the first one by an operator.")
        client = Client(
            client_id=new_client_id(owner.id),
            participant=owner.id,
            participant_uid=owner.uid,
            name=name,
            roles=_roles(roles),
            scopes=_scopes(scopes),
            created_at=self._clock(),
        )
        _check(client)
        _check_gift(principal, client)
        secret = new_secret()
        client = replace(client, secrets=(record_of(secret, client.created_at),))
        with self._journal.administrative(
            principal, verb="create", resource=f"client:{client.client_id}", detail=_detail(client)
        ):
            self._record_secret(principal, client.client_id, client.secrets[0])
            self._store.add(client)
        return Issued(client=client, secret=secret)

    def list(
        self, principal: Principal, participant: str, *, after: str | None = None, limit: int = 100
    ) -> tuple[Client, ...]:
        """The participant's clients that are not revoked, by client id."""
        owner = self._participant(principal, participant)
        self._require_sight(principal, owner)
        return self._store.of_participant(owner.uid, after=after, limit=limit)

    def get(self, principal: Principal, participant: str, client_id: str) -> Client:
        owner = self._participant(principal, participant)
        self._require_sight(principal, owner)
        client = self._store.find(client_id)
        if client is None or client.participant_uid != owner.uid or client.revoked_at is not None:
            raise ClientUnknown
        return client

    def rotate(self, principal: Principal, participant: str, client_id: str, *, overlap_s: int) -> Issued:
        """A new secret. overlap_s: how long the old ones still work, in seconds; 0 revokes them and their tokens."""
        client = self.get(principal, participant, client_id)
        if not may(principal, Verb.WRITE, of_clients(client.participant)):
            raise ClientRefused("A participant's secrets are rotated by its own admins.")
        _check_gift(principal, client)
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise ClientInvalid([("overlap_s", f"must be between 0 and {MAX_OVERLAP_S}")])
        now = self._clock()
        if overlap_s and sum(one.is_valid(now) for one in client.secrets) >= MAX_SECRETS:
            raise ClientConflict(
                "oauth.too_many_secrets", f"{MAX_SECRETS} secrets are valid: rotate with an overlap of 0."
            )
        secret = new_secret()
        record = record_of(secret, now)
        with self._journal.administrative(
            principal, verb="rotate", resource=f"client:{client_id}", detail={"overlap_s": overlap_s}
        ):
            self._record_secret(principal, client_id, record)
            self._store.rotate(
                client_id,
                record,
                others_expire_at=now + timedelta(seconds=overlap_s) if overlap_s else None,
                revoke_others_at=None if overlap_s else now,
            )
        return Issued(client=self._store.find(client_id) or client, secret=secret)

    def revoke(self, principal: Principal, participant: str, client_id: str) -> None:
        """Ends the client: its secrets and its tokens are refused from the next request on."""
        client = self.get(principal, participant, client_id)
        if Role.GATEWAY_OPERATOR in client.roles and not self._store.holds(Role.GATEWAY_OPERATOR, besides=client_id):
            raise ClientConflict("oauth.last_operator", "This is the gateway's last operator client.")
        with self._journal.administrative(principal, verb="revoke", resource=f"client:{client_id}", detail={}):
            self._store.revoke(client_id, self._clock())

    def _record_secret(self, principal: Principal, client_id: str, secret: ClientSecret) -> None:
        self._journal.record(Kind.SECRET_ISSUED, Actor.of(principal), {"client": client_id, "secret": secret.id})

    def _participant(self, principal: Principal, participant: str) -> Participant:
        self._catalogue.revision()  # from here on no older state
        owner = self._catalogue.participant(participant)
        if owner is None or not may(principal, Verb.READ, of_participant(owner)):
            raise ClientUnknown
        return owner

    def _require_sight(self, principal: Principal, owner: Participant) -> None:
        if not may(principal, Verb.READ, of_clients(owner.id)) and Role.GATEWAY_OPERATOR not in principal.roles:
            raise ClientRefused("A participant's clients are seen by its own admins and by operators.")

    def _may_begin(self, principal: Principal, owner: Participant) -> bool:
        return Role.GATEWAY_OPERATOR in principal.roles and not self._store.holds(
            Role.PARTICIPANT_ADMIN, participant_uid=owner.uid
        )


def _roles(names: Iterable[str]) -> frozenset[Role]:
    try:
        return frozenset(Role(name) for name in names)
    except ValueError as error:
        raise ClientInvalid([("roles", f"must be some of {', '.join(Role)}")]) from error


def _scopes(names: Iterable[str]) -> frozenset[Scope]:
    try:
        return frozenset(Scope(name) for name in names)
    except ValueError as error:
        raise ClientInvalid([("scopes", f"must be some of {', '.join(Scope)}")]) from error


def _check(client: Client) -> None:
    problems = []
    if not NAME.fullmatch(client.name):
        problems.append(("name", "must be 1 to 100 characters in one line"))
    if not client.roles:
        problems.append(("roles", "needs at least one"))
    if not client.scopes:
        problems.append(("scopes", "needs at least one"))
    if problems:
        raise ClientInvalid(problems)


def _check_gift(principal: Principal, client: Client) -> None:
    """Nobody hands out what they do not hold; the person at the machine holds everything."""
    if principal.issuer == LOCAL_ISSUER:
        return
    if client.roles & OPERATORS_TO_GIVE and Role.GATEWAY_OPERATOR not in principal.roles:
        raise ClientRefused("Only a gateway operator gives the roles gateway_operator and auditor.")
    wider = client.scopes - principal.scopes
    if wider:
        raise ClientRefused(f"Your token lacks scopes that the client would have: {', '.join(sorted(wider))}.")


def _detail(client: Client) -> dict[str, object]:
    return {
        "participant": client.participant,
        "name": client.name,
        "roles": sorted(client.roles),
        "scopes": sorted(client.scopes),
    }
