"""A client and its secrets as values: what is stored of them, and how a presented secret is compared.

Owns the form of secrets: 256 random bits behind a prefix that scanners can find, of characters that survive every encoding
of HTTP Basic. Must never keep a secret in clear: only its SHA-256, which is enough for randomness of this size.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from datalab.flow.principal import Role

SECRET_PREFIX = "dls_"  # noqa: S105 - what secrets begin with, not one of them
NOBODY_S_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """expires_at: set when it was replaced, the end of the overlap. revoked_at: refused since, and so are its tokens."""

    id: str
    digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that acts for a participant. scopes: what its tokens may hold at most.

    participant_uid binds it to this very participant, whatever its name is given to later. secrets: oldest first.
    """

    client_id: str
    participant: str
    participant_uid: str
    name: str
    roles: frozenset[Role]
    scopes: frozenset[str]
    created_at: datetime
    secrets: tuple[ClientSecret, ...] = ()
    revoked_at: datetime | None = None


def new_client_id(participant: str) -> str:
    return f"{participant}_{secrets.token_hex(6)}"


def new_secret() -> str:
    """A fresh secret, to be shown once."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def record_of(secret: str, now: datetime) -> ClientSecret:
    """What is stored of it."""
    return ClientSecret(id=secrets.token_hex(8), digest=digest_of(secret), created_at=now)


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def matching(client: Client | None, presented: str, now: datetime) -> ClientSecret | None:
    """The valid secret that this is, if any; takes as long for an unknown client as for a wrong secret."""
    known: Iterable[ClientSecret] = client.secrets if client is not None else ()
    digest = digest_of(presented)
    hmac.compare_digest(digest, NOBODY_S_DIGEST)
    found = None
    for one in known:
        if hmac.compare_digest(digest, one.digest) and one.is_valid(now):
            found = one
    return found if client is not None and client.revoked_at is None else None
