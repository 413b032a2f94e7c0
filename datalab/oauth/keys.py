"""The keys that our tokens are signed with: one is active, all are published.

Owns the choice of algorithm (ES256: small tokens, known to every client) and of key ids (RFC 7638 thumbprints). Must never
publish a private member.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key

ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """active: signs. retired: still verify what they signed."""

    active: ECKey
    retired: tuple[ECKey, ...] = ()

    def published(self) -> dict[str, list[dict[str, object]]]:
        """The JWK set that `/oauth/jwks` answers with (RFC 7517)."""
        return {"keys": [_public(key) for key in (self.active, *self.retired)]}

    def verifying(self) -> Mapping[str, Key]:
        """Public halves by kid, for `StaticKeys`."""
        public: list[ECKey] = [ECKey.import_key(dict(one)) for one in self._public_dicts()]
        return {key.thumbprint(): key for key in public}

    def _public_dicts(self) -> list[dict[str, str | list[str]]]:
        return [key.as_dict(private=False) | {"kid": key.thumbprint()} for key in (self.active, *self.retired)]

    def sign(self, claims: Mapping[str, object], *, kind: str) -> str:
        """The claims as a compact JWS. kind: the `typ` header."""
        header = {"alg": ALGORITHM, "typ": kind, "kid": self.active.thumbprint()}
        return jwt.encode(header, dict(claims), self.active, algorithms=[ALGORITHM])


def _public(key: ECKey) -> dict[str, object]:
    return {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": ALGORITHM}


def new_signing_key() -> str:
    """A fresh private key as a JWK, for the home directory."""
    return json.dumps(ECKey.generate_key("P-256").as_dict(private=True))


def read_signing_keys(jwks: Sequence[str]) -> SigningKeys:
    """Keys from private JWKs, the active one first. Raises ValueError if one is no private P-256 key."""
    keys: list[ECKey] = []
    for text in jwks:
        try:
            key = ECKey.import_key(json.loads(text))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ValueError("a signing key is not a JWK") from error
        if not key.is_private or key.curve_name != "P-256":
            raise ValueError("a signing key must be a private P-256 key")
        keys.append(key)
    if not keys:
        raise ValueError("there is no signing key")
    return SigningKeys(keys[0], tuple(keys[1:]))
