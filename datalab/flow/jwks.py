"""The public keys that an issuer's tokens are verified with: where they come from and how long they are trusted.

Owns the reading of JWK sets, key by key, so that one bad key never loses the others, and their fetching: one request at a
time, seldom, small, from configured addresses only. Must never take an address, a key or an algorithm from a token.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Protocol
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import base64_to_int

logger = logging.getLogger(__name__)

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_KEYS = 50
MAX_KEY_ID_LENGTH = 256
RSA_BITS = range(2048, 8193)  # below is weak, above is work for whoever verifies
CURVES: Mapping[str, frozenset[str]] = {
    "EC": frozenset({"P-256", "P-384", "P-521"}),
    "OKP": frozenset({"Ed25519"}),
}
PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e", "kid", "alg")

Keys = Mapping[str, Key]
"""Public keys by kid."""

Clock = Callable[[], datetime]
Fetch = Callable[[], object]


class KeysUnavailable(Exception):
    """The issuer's keys could not be fetched; the message is for the log, not for a client."""


class KeySource(Protocol):
    def find(self, kid: str | None) -> Key | None:
        """The key of that id; without one the only key, if there is just one. None: no such key.

        Raises KeysUnavailable if nothing is known about the issuer's keys.
        """
        ...


def import_keys(document: object) -> Keys:
    """The usable signature keys of a JWK set (RFC 7517), by kid; of two with one kid the first.

    Left out: private and symmetric keys, keys for encryption, RSA below 2048 bits, unknown types and curves, and whatever
    does not parse. Raises KeysUnavailable if nothing is left.
    """
    members = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(members, Sequence) or isinstance(members, str):
        raise KeysUnavailable("the document is not a JWK set")
    keys: dict[str, Key] = {}
    for member in members[:MAX_KEYS]:
        key = _import_key(member)
        if key is not None and key.kid is not None:
            keys.setdefault(key.kid, key)
    if not keys:
        raise KeysUnavailable("the JWK set holds no usable key")
    return keys


def _import_key(member: object) -> Key | None:
    if not isinstance(member, Mapping) or "d" in member or "k" in member:
        return None
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ("verify",)):
        return None
    public = {name: member[name] for name in PUBLIC_MEMBERS if name in member}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    if len(public.get("kid", "")) > MAX_KEY_ID_LENGTH:
        return None
    try:
        key = _typed_key(public)
        if key is not None:
            key.ensure_kid()
    except (JoseError, ValueError, TypeError, KeyError) as error:
        logger.warning("A key of a JWK set was left out: %s", type(error).__name__)
        return None
    return key


def _typed_key(public: dict[str, str | list[str]]) -> Key | None:
    kind = public.get("kty")
    if kind == "RSA":
        return RSAKey.import_key(public) if _modulus_bits(public) in RSA_BITS else None
    if not isinstance(kind, str) or public.get("crv") not in CURVES.get(kind, frozenset()):
        return None
    key: ECKey | OKPKey = ECKey.import_key(public) if kind == "EC" else OKPKey.import_key(public)
    _ = key.public_key  # parses the point, which may not lie on the curve
    return key


def _modulus_bits(public: Mapping[str, object]) -> int:
    return base64_to_int(str(public["n"])).bit_length()


class StaticKeys:
    """Keys that are given once: our own, or an issuer's by configuration."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def find(self, kid: str | None) -> Key | None:
        return _pick(self._keys, kid)


def _pick(keys: Keys, kid: str | None) -> Key | None:
    if kid is not None:
        return keys.get(kid)
    return next(iter(keys.values())) if len(keys) == 1 else None


class RemoteKeys:
    """Keys that `fetch` brings (a JWK set), remembered for `ttl_s`.

    An unknown kid asks again, but never sooner than `min_interval_s` after the last attempt; one attempt runs at a time
    and the others go on with what is known. While the issuer is down, what is known stays for `stale_s`.
    """

    def __init__(
        self, fetch: Fetch, clock: Clock, *, ttl_s: float = 600, min_interval_s: float = 30, stale_s: float = 12 * 3600
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._ttl_s = ttl_s
        self._min_interval_s = min_interval_s
        self._stale_s = stale_s
        self._lock = Lock()
        self._known: tuple[Keys, float] | None = None
        self._attempted_at: float | None = None

    def find(self, kid: str | None) -> Key | None:
        now = self._clock().timestamp()
        known = self._known
        if known is None:
            self._refresh(now, wait=True)
        elif now - known[1] >= self._ttl_s:
            self._refresh(now, wait=False)
        elif _pick(known[0], kid) is None:
            self._refresh(now, wait=True)
        known = self._known
        if known is None or now - known[1] >= self._stale_s:
            raise KeysUnavailable("the issuer's keys are not known")
        return _pick(known[0], kid)

    def _refresh(self, now: float, *, wait: bool) -> None:
        if self._is_too_soon(now) and not self._lock.locked():
            return
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._is_too_soon(now):
                return
            self._attempted_at = now
            self._known = (import_keys(self._fetch()), now)
        except KeysUnavailable as error:
            logger.warning("The keys of an issuer could not be refreshed: %s", error)
        finally:
            self._lock.release()

    def _is_too_soon(self, now: float) -> bool:
        return self._attempted_at is not None and now - self._attempted_at < self._min_interval_s


def fetch_jwks(jwks_url: str, *, timeout_s: float = 3.0) -> Fetch:
    """Fetches the set at a configured address."""
    return lambda: fetch_json(jwks_url, timeout_s=timeout_s)


def discover_jwks(issuer: str, *, timeout_s: float = 3.0) -> Fetch:
    """Fetches the set that the issuer's own metadata names (OpenID discovery, then RFC 8414).

    The metadata must name exactly this issuer, and the set must lie at the issuer's origin; where it lies elsewhere,
    configure its address.
    """

    def fetch() -> object:
        metadata = _fetch_metadata(issuer, timeout_s)
        if metadata.get("issuer") != issuer:
            raise KeysUnavailable("the metadata names another issuer")
        jwks_url = metadata.get("jwks_uri")
        if not isinstance(jwks_url, str) or _origin(jwks_url) != _origin(issuer):
            raise KeysUnavailable("the metadata's jwks_uri is missing or lies at another origin")
        return fetch_json(jwks_url, timeout_s=timeout_s)

    return fetch


def _fetch_metadata(issuer: str, timeout_s: float) -> Mapping[str, object]:
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    addresses = (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    )
    failure: KeysUnavailable | None = None
    for address in addresses:
        try:
            document = fetch_json(address, timeout_s=timeout_s)
        except KeysUnavailable as error:
            failure = error
            continue
        if isinstance(document, Mapping):
            return document
    raise failure or KeysUnavailable("the metadata is not a JSON object")


def _origin(address: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise KeysUnavailable("an address in the metadata is malformed") from error
    return parts.scheme, parts.hostname, port


def fetch_json(address: str, *, timeout_s: float, max_bytes: int = MAX_DOCUMENT_BYTES) -> object:
    """The JSON document at `address`: no redirects, no proxy from the environment, a limit on time and size.

    Raises KeysUnavailable on anything else than a small JSON answer with status 200.
    """
    deadline = time.monotonic() + timeout_s
    body = bytearray()
    try:
        with (
            httpx2.Client(
                timeout=timeout_s, follow_redirects=False, trust_env=False, verify=ssl.create_default_context()
            ) as client,
            client.stream("GET", address, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise KeysUnavailable(f"status {response.status_code}")
            for piece in response.iter_bytes():
                body += piece
                if len(body) > max_bytes:
                    raise KeysUnavailable(f"more than {max_bytes} bytes")
                if time.monotonic() > deadline:
                    raise KeysUnavailable(f"not complete within {timeout_s} s")
        return json.loads(body)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RecursionError) as error:
        raise KeysUnavailable(type(error).__name__) from error
