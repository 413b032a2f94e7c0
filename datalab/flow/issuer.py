"""Whose tokens the gateway believes, and by which rules: one entry per issuer, our own among them.

Owns what is pinned per issuer (keys, algorithms, token type, audience). Must never grow by what a token says: an issuer
that is not configured does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from datalab.flow.jwks import KeySource

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"})
"""What an issuer's entry may list. Nothing symmetric, no `none`; `EdDSA` is named `Ed25519` since RFC 9864."""

ACCESS_TOKEN = "at+jwt"  # noqa: S105 - the media type of RFC 9068, not a secret
PLAIN_JWT = "jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer that is believed.

    issuer: exactly as in `iss`. audience: must be in `aud`. algorithms: a subset of ALGORITHMS. types: allowed `typ`
    headers, lower case; PLAIN_JWT also demands a client id, because ID tokens look alike. scope_claim: a string or a list.
    scopes: granted to every token of this issuer, for issuers that do not know ours.
    """

    issuer: str
    audience: str
    keys: KeySource
    algorithms: frozenset[str]
    types: frozenset[str] = frozenset({ACCESS_TOKEN})
    scope_claim: str = "scope"
    scopes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.algorithms or self.algorithms - ALGORITHMS:
            raise ValueError(f"algorithms must be some of {', '.join(sorted(ALGORITHMS))}")


class IssuerRegistry:
    """The issuers by name."""

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        self._issuers: dict[str, Issuer] = {}
        for issuer in issuers:
            if issuer.issuer in self._issuers:
                raise ValueError(f"two entries for issuer {issuer.issuer}")
            self._issuers[issuer.issuer] = issuer

    def find(self, name: str) -> Issuer | None:
        return self._issuers.get(name)
