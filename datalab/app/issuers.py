"""The external issuers that the operator's file names, as the token and principal stages take them.

Owns the file's form. Must never fetch anything while reading it: keys come when the first token does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from datalab.app.settings import SettingsRefused, is_loopback
from datalab.flow.issuer import ALGORITHMS, Issuer
from datalab.flow.jwks import (
    Clock,
    KeySource,
    KeysUnavailable,
    RemoteKeys,
    StaticKeys,
    discover_jwks,
    fetch_jwks,
    import_keys,
)
from datalab.flow.principal import IssuerRule, Role
from datalab.flow.token import Scope


def _address(value: str) -> str:
    parts = urlsplit(value)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ValueError("must be an https address (http for loopback addresses only)")
    return value


def _algorithm(value: str) -> str:
    if value not in ALGORITHMS:
        raise ValueError(f"must be one of {', '.join(sorted(ALGORITHMS))}")
    return value


Address = Annotated[str, AfterValidator(_address)]


class IssuerEntry(BaseModel):
    """One external issuer. jwks or jwks_url: its keys, or where they are; without either they are discovered.

    audience: what its tokens must be for, this gateway's public URL if not given. types: `jwt` admits issuers that do not
    follow RFC 9068. participant, or participant_claim with participants: whose tokens these are. roles_claim with roles:
    gateway roles by the claim's values. scopes: given to each of its tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Address
    audience: str | None = Field(default=None, min_length=1)
    jwks: dict[str, object] | None = None
    jwks_url: Address | None = None
    algorithms: tuple[Annotated[str, AfterValidator(_algorithm)], ...] = Field(
        default=("RS256", "PS256", "ES256"), min_length=1
    )
    types: tuple[Literal["at+jwt", "jwt"], ...] = Field(default=("at+jwt",), min_length=1)
    participant: str | None = None
    participant_claim: str | None = None
    participants: dict[str, str] = Field(default_factory=dict)
    roles_claim: str | None = None
    roles: dict[str, Role] = Field(default_factory=dict)
    scope_claim: str = "scope"
    scopes: tuple[Scope, ...] = ()

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        if self.jwks is not None and self.jwks_url is not None:
            raise ValueError("give jwks or jwks_url, not both")
        if (self.participant is None) == (self.participant_claim is None):
            raise ValueError("give participant or participant_claim, one of them")
        if bool(self.participants) != (self.participant_claim is not None):
            raise ValueError("participant_claim and participants belong together")
        if bool(self.roles) != (self.roles_claim is not None):
            raise ValueError("roles_claim and roles belong together")
        return self


class IssuersFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    issuers: tuple[IssuerEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class ExternalIssuers:
    """rules: by issuer."""

    issuers: tuple[Issuer, ...] = ()
    rules: Mapping[str, IssuerRule] = field(default_factory=dict)


def read_issuers(path: Path | None, *, audience: str, clock: Clock) -> ExternalIssuers:
    """The issuers of the file, or none without a file. Raises SettingsRefused with all of its problems at once."""
    if path is None:
        return ExternalIssuers()
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        entries = IssuersFile.model_validate(document or {}).issuers
        issuers = tuple(_issuer(entry, audience, clock) for entry in entries)
    except ValidationError as error:
        raise SettingsRefused(
            [
                f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()
            ]
        ) from None
    except (OSError, ValueError, yaml.YAMLError, KeysUnavailable) as error:
        raise SettingsRefused([f"{path} cannot be read: {error}"]) from None
    if len({issuer.issuer for issuer in issuers} | {audience}) != len(issuers) + 1:
        raise SettingsRefused([f"{path}: an issuer occurs twice, or is this gateway"])
    return ExternalIssuers(issuers, {entry.issuer: _rule(entry) for entry in entries})


def _issuer(entry: IssuerEntry, audience: str, clock: Clock) -> Issuer:
    return Issuer(
        issuer=entry.issuer,
        audience=entry.audience or audience,
        keys=_keys(entry, clock),
        algorithms=frozenset(entry.algorithms),
        types=frozenset(entry.types),
        scope_claim=entry.scope_claim,
        scopes=frozenset(scope.value for scope in entry.scopes),
    )


def _keys(entry: IssuerEntry, clock: Clock) -> KeySource:
    if entry.jwks is not None:
        return StaticKeys(import_keys(entry.jwks))
    fetch = fetch_jwks(entry.jwks_url) if entry.jwks_url is not None else discover_jwks(entry.issuer)
    return RemoteKeys(fetch, clock)


def _rule(entry: IssuerEntry) -> IssuerRule:
    return IssuerRule(
        participant=entry.participant,
        participant_claim=entry.participant_claim,
        participants=entry.participants,
        roles_claim=entry.roles_claim,
        roles=entry.roles,
    )
