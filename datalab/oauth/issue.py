"""The making of access tokens (RFC 9068): the one place that signs one.

Owns the claims and their lifetime, in the answer and in the token alike. Must never hand out a token whose audit record is
not durable.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from datalab.flow.issuer import ACCESS_TOKEN
from datalab.flow.jwks import Clock
from datalab.flow.principal import Principal
from datalab.flow.trail import Actor, Kind
from datalab.oauth.client import Client
from datalab.oauth.keys import SigningKeys
from datalab.oauth.ports import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessContext:
    """What a token is to say. principal: who it is for. grant_id: the secret it was fetched with. scopes: sorted."""

    client: Client
    principal: Principal
    scopes: tuple[str, ...]
    grant_id: str


class AccessTokens:
    """issuer: our name; audience: what our own API is called (RFC 8707), both absolute URLs; lifetime_s: seconds."""

    def __init__(
        self, *, issuer: str, audience: str, lifetime_s: int, keys: SigningKeys, journal: Journal, clock: Clock
    ) -> None:
        self.audience = audience
        self._issuer = issuer
        self._lifetime_s = lifetime_s
        self._keys = keys
        self._journal = journal
        self._clock = clock

    def issue(self, context: AccessContext) -> dict[str, object]:
        """The answer of the token endpoint (RFC 6749 section 5.1)."""
        now = int(self._clock().timestamp())
        token_id = secrets.token_hex(16)
        scope = " ".join(context.scopes)
        claims = {
            "iss": self._issuer,
            "aud": self.audience,
            "sub": context.principal.subject,
            "client_id": context.client.client_id,
            "iat": now,
            "exp": now + self._lifetime_s,
            "jti": token_id,
            "grant_id": context.grant_id,
            "scope": scope,
            "participant": context.principal.participant.id,
        }
        text = self._keys.sign(claims, kind=ACCESS_TOKEN)
        detail = {"token": token_id, "secret": context.grant_id, "scope": scope, "expires_at": now + self._lifetime_s}
        self._journal.record(Kind.TOKEN_ISSUED, Actor.of(context.principal), detail)
        return {"access_token": text, "token_type": "Bearer", "expires_in": self._lifetime_s, "scope": scope}
