"""The token stage: bearer text -> Claims. One verifier for our own and for configured external issuers.

Owns every check that a token must pass before anything in it is believed (RFC 9068, RFC 8725). Must never choose a key, an
algorithm or an address by what the token says beyond looking up its issuer, and must answer every malformed input with
TokenRefused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from datalab.flow.errors import TokenRefused
from datalab.flow.issuer import ALGORITHMS, PLAIN_JWT, Issuer, IssuerRegistry
from datalab.flow.jwks import Clock, KeysUnavailable

MAX_TOKEN_LENGTH = 16_384
MAX_TEXT_LENGTH = 255
LEEWAY_S = 30
MAX_SECONDS = 1 << 53

REGISTERED = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "azp", "scope", "grant_id", "typ"}
)


class Scope(StrEnum):
    """What a token may call at all (DESIGN: token scopes). Each endpoint names exactly one."""

    CATALOG_READ = "catalog:read"
    CATALOG_WRITE = "catalog:write"
    STORAGES_WRITE = "storages:write"
    DATASETS_WRITE = "datasets:write"
    POLICIES_WRITE = "policies:write"
    AGREEMENTS_WRITE = "agreements:write"
    PARTICIPANTS_WRITE = "participants:write"
    FEDERATION_WRITE = "federation:write"
    DATA_QUERY = "data:query"
    DATA_EXPORT = "data:export"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A verified access token (RFC 9068). issued_at, expires_at: seconds since the epoch.

    token_id: `jti`, or a digest of the whole token where the issuer sets none. grant_id: what the token was given for,
    such as the client secret it was fetched with. other: all further claims, as received.
    """

    issuer: str
    subject: str
    client_id: str | None
    token_id: str
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    grant_id: str | None = None
    other: Mapping[str, object] = field(default_factory=dict)


class Verifier:
    """Turns bearer texts into Claims."""

    def __init__(self, issuers: IssuerRegistry, clock: Clock) -> None:
        self._issuers = issuers
        self._clock = clock

    def verify(self, text: str) -> Claims:
        """The claims of a token that is genuine, meant for us, and valid now.

        text: what follows `Bearer ` in the Authorization header. Raises TokenRefused for everything else.
        """
        header, payload = _read(text)
        issuer = self._issuers.find(_text(payload, "iss"))
        if issuer is None:
            raise TokenRefused("token.issuer", "The token's issuer is not known here.")
        _check_type(issuer, header, payload)
        _check_signature(issuer, header, text)
        _check_audience(issuer, payload)
        issued_at, expires_at = _check_times(payload, self._clock().timestamp())
        return Claims(
            issuer=issuer.issuer,
            subject=_text(payload, "sub"),
            client_id=_client_id(payload),
            token_id=_optional_text(payload, "jti") or "sha256:" + hashlib.sha256(text.encode()).hexdigest(),
            scopes=_scopes(issuer, payload),
            issued_at=issued_at,
            expires_at=expires_at,
            grant_id=_optional_text(payload, "grant_id"),
            other={name: value for name, value in payload.items() if name not in REGISTERED},
        )


def _malformed(reason: str) -> TokenRefused:
    return TokenRefused("token.malformed", f"The token is not a well-formed access token. {reason}")


def _read(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload, not yet believed. Names that occur twice are refused: readers would differ about them."""
    if len(text) > MAX_TOKEN_LENGTH:
        raise TokenRefused("token.too_long", f"The token is longer than {MAX_TOKEN_LENGTH} characters.")
    parts = text.split(".")
    if len(parts) != 3 or not all(parts) or not text.isascii():
        raise _malformed("It must be three base64url parts with dots between them.")
    header, payload = _json_object(parts[0]), _json_object(parts[1])
    if not isinstance(header.get("alg"), str) or not isinstance(header.get("kid", ""), str):
        raise _malformed("Its header needs the texts `alg` and `kid`.")
    if {"crit", "b64"} & header.keys():
        raise _malformed("Its header demands an extension that is not understood here.")
    return header, payload


def _json_object(segment: str) -> dict[str, Any]:
    try:
        value = STRICT_JSON.decode(urlsafe_b64decode(segment.encode()).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _malformed("A part of it is not JSON in base64url.") from error
    if not isinstance(value, dict):
        raise _malformed("A part of it is not a JSON object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name occurs twice")
    return unique


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


STRICT_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _check_type(issuer: Issuer, header: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
    named = header.get("typ")
    kind = named.lower().removeprefix("application/") if isinstance(named, str) else None
    if kind not in issuer.types:
        raise TokenRefused("token.type", "The token is not an access token: its `typ` header must be at+jwt.")
    if kind == PLAIN_JWT and (_client_id(payload) is None or payload.get("typ", "Bearer") != "Bearer"):
        raise TokenRefused("token.type", "The token is not an access token: it names no client or is of another kind.")


def _check_signature(issuer: Issuer, header: Mapping[str, Any], text: str) -> None:
    if header["alg"] not in issuer.algorithms:
        raise TokenRefused("token.algorithm", "The token is signed with an algorithm that is not accepted.")
    try:
        key = issuer.keys.find(header.get("kid"))
    except KeysUnavailable as error:
        raise TokenRefused("token.keys_unavailable", "The keys of the token's issuer cannot be had now.") from error
    if key is None:
        raise TokenRefused("token.key", "The token is signed with a key that its issuer does not publish.")
    try:
        key.check_alg(header["alg"])
        jws.deserialize_compact(text, key, registry=REGISTRIES[header["alg"]])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise TokenRefused("token.signature", "The token's signature does not verify.") from error


def _registry(algorithm: str) -> jws.JWSRegistry:
    """Knows this algorithm only, and lets foreign header parameters be."""
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    # joserfc's own limits are for small tokens; ours was checked before anything was parsed.
    registry.max_header_length = registry.max_payload_length = MAX_TOKEN_LENGTH
    return registry


REGISTRIES = {algorithm: _registry(algorithm) for algorithm in ALGORITHMS}


def _check_audience(issuer: Issuer, payload: Mapping[str, Any]) -> None:
    audience = payload.get("aud")
    if not (audience == issuer.audience or (isinstance(audience, list) and issuer.audience in audience)):
        raise TokenRefused("token.audience", "The token is meant for another service.")


def _check_times(payload: Mapping[str, Any], now_s: float) -> tuple[int, int]:
    """`iat` and `exp` in whole seconds."""
    issued_at, expires_at = _seconds(payload, "iat"), _seconds(payload, "exp")
    if now_s >= expires_at + LEEWAY_S:
        raise TokenRefused("token.expired", "The token has expired; fetch a new one.")
    if issued_at > now_s + LEEWAY_S or ("nbf" in payload and _seconds(payload, "nbf") > now_s + LEEWAY_S):
        raise TokenRefused("token.not_yet_valid", "The token is not valid yet; compare the clocks.")
    return int(issued_at), int(expires_at)


def _seconds(payload: Mapping[str, Any], name: str) -> float:
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_SECONDS:
        raise _malformed(f"Its `{name}` must be a time in seconds.")
    return value


def _client_id(payload: Mapping[str, Any]) -> str | None:
    return _optional_text(payload, "client_id") or _optional_text(payload, "azp")


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_LENGTH or not value.isprintable():
        raise _malformed(f"Its `{name}` must be a short text.")
    return value


def _optional_text(payload: Mapping[str, Any], name: str) -> str | None:
    return _text(payload, name) if name in payload else None


def _scopes(issuer: Issuer, payload: Mapping[str, Any]) -> frozenset[str]:
    """The scopes we know, of those the token lists and the issuer's entry grants."""
    listed = payload.get(issuer.scope_claim, "")
    if isinstance(listed, str):
        listed = listed.split()
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise _malformed("Its scopes must be a text or a list of texts.")
    return (frozenset(listed) | issuer.scopes) & frozenset(Scope)
