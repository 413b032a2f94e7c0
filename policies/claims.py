"""Claims: the facts about the caller that row filters may name, and their values.

Owns the list of names. An unresolved claim is never replaced by a default.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from policies.inputs import PrincipalInput

_FACTS: dict[str, Callable[[PrincipalInput], object]] = {
    "principal.issuer": lambda p: p.issuer,
    "principal.subject": lambda p: p.subject,
    "principal.client_id": lambda p: p.client_id,
    "principal.participant": lambda p: p.participant,
    "principal.country": lambda p: p.country,
    "principal.kind": lambda p: p.kind,
    "principal.eu_funded_project": lambda p: p.eu_funded_project,
    "principal.roles": lambda p: sorted(p.roles),
    "principal.spaces": lambda p: sorted(p.spaces),
}

FACTS = tuple(_FACTS)
"""The names beside `principal.claims.NAME`."""

_TOKEN_CLAIM = re.compile(r"principal\.claims\.([A-Za-z0-9_:/.\-]{1,128})")


def names_claim(path: str) -> bool:
    """Whether `path` is a claim that a policy may name."""
    return path in _FACTS or _TOKEN_CLAIM.fullmatch(path) is not None


def resolve(path: str, principal: PrincipalInput) -> object:
    """The claim's value, None if the caller has none."""
    fact = _FACTS.get(path)
    if fact is not None:
        return fact(principal)
    token_claim = _TOKEN_CLAIM.fullmatch(path)
    return principal.claims.get(token_claim[1]) if token_claim else None
