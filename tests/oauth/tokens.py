"""Makes tokens that no decent issuer would: any header, any payload, any signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey

NOW = 1_793_534_400  # 2026-11-01 12:00 UTC, where the tests' clock stands
ISSUER = "https://issuer.example"
AUDIENCE = "https://gateway.example"

GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "someone",
    "client_id": "app",
    "iat": NOW,
    "exp": NOW + 600,
    "jti": "1",
    "scope": "data:query",
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: object) -> str:
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def signed(key: Key, header: Mapping[str, Any] | None = None, /, **claims: Any) -> str:
    """A genuine signature over any header and the good claims changed by `claims`; None takes a claim out."""
    payload = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    return signed_bytes(key, json.dumps(payload).encode(), header)


def signed_bytes(key: Key, payload: bytes, header: Mapping[str, Any] | None = None) -> str:
    """The same over any bytes as payload; a header member of None is left out."""
    full = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid, **(header or {})}
    full = {name: value for name, value in full.items() if value is not None}
    text = f"{segment(full)}.{b64(payload)}"
    algorithm = full.get("alg") if isinstance(full.get("alg"), str) else "ES256"
    model = jws.JWSRegistry.algorithms[str(algorithm)]
    return f"{text}.{b64(model.sign(text.encode(), key))}"


def hmac_signed(secret: bytes, header: Mapping[str, Any]) -> str:
    """HS256 with any bytes as secret."""
    text = f"{segment(header)}.{segment(GOOD)}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def ec_key(curve: str = "P-256") -> ECKey:
    key = ECKey.generate_key(curve)
    key.ensure_kid()
    return key


def oct_key() -> OctKey:
    key = OctKey.generate_key(256)
    key.ensure_kid()
    return key
