"""What the authorization server needs from storage and from the audit trail, as Protocols; `datalab.db` and
`datalab.flow.audit` implement them, `datalab.app` wires them.

Each change is one transaction, durable when the call returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from datalab.flow.principal import Principal, Role
from datalab.flow.trail import Actor, Kind
from datalab.oauth.client import Client, ClientSecret


class Journal(Protocol):
    """The part of `datalab.flow.audit.Journal` that the authorization server uses."""

    def administrative(
        self, principal: Principal, *, verb: str, resource: str, detail: Mapping[str, object]
    ) -> AbstractContextManager[object]:
        """Opens a durable record, runs the block, closes the record with its outcome."""
        ...

    def record(self, kind: Kind, actor: Actor, detail: Mapping[str, object]) -> str:
        """One record that stands alone, durable when this returns its reference; detail: identifiers only."""
        ...


class ClientStore(Protocol):
    def find(self, client_id: str) -> Client | None:
        """The client, revoked or not, with all its secrets."""
        ...

    def of_participant(self, participant_uid: str, *, after: str | None, limit: int) -> tuple[Client, ...]:
        """The clients that are not revoked, by client id."""
        ...

    def holds(self, role: Role, *, participant_uid: str | None = None, besides: str | None = None) -> bool:
        """Whether a client that is not revoked has this role: of that participant, and other than that client."""
        ...

    def add(self, client: Client) -> None: ...

    def rotate(
        self, client_id: str, new: ClientSecret, *, others_expire_at: datetime | None, revoke_others_at: datetime | None
    ) -> None:
        """Adds a secret; the valid ones end at the given time at the latest, or are revoked as of the other."""
        ...

    def revoke(self, client_id: str, at: datetime) -> None: ...


class Revocations(Protocol):
    def revoke_token(self, issuer: str, token_id: str, *, expires_at: int, at: datetime) -> None:
        """Remembers it until it would have expired anyway. expires_at: seconds since the epoch."""
        ...
