"""The token stage: bearer text -> Claims. One verifier for our own and for configured external issuers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
    """A verified access token (RFC 9068). expires_at: seconds since the epoch. other: all further claims, as received."""

    issuer: str
    subject: str
    client_id: str | None
    token_id: str
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    grant_id: str | None = None
    other: Mapping[str, object] = field(default_factory=dict)
