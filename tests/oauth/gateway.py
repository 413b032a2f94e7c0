"""A gateway's door on a real home: databases, journal, authorization server, and one endpoint behind a scope."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from catalog.entities import Participant, ParticipantKind, ParticipantStatus
from datalab.api import oauth
from datalab.api.auth import caller
from datalab.api.envelope import Envelope
from datalab.api.intake import Intake
from datalab.api.problems import answer_in_problems
from datalab.app.foundation import Foundation, open_foundation
from datalab.app.home import open_home
from datalab.app.identity import Identity, build_identity
from datalab.app.settings import Settings, TokenSettings
from datalab.flow.authority import operator_principal
from datalab.flow.principal import Principal, Role
from datalab.flow.token import Scope
from datalab.oauth.clients import Issued
from datalab.registry.participants import Participants

URL = "http://127.0.0.1:8080"
MACHINE = operator_principal("os-user:test")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass(frozen=True)
class Gateway:
    base: Foundation
    identity: Identity
    admin: Issued
    clock: Clock
    http: TestClient

    def participant(self, id_: str, *, status: ParticipantStatus = ParticipantStatus.VERIFIED) -> Participant:
        return Participants(self.base.registrar, self.base.catalogue).create(
            MACHINE,
            Participant(id=id_, legal_name=id_.title(), country="FI", kind=ParticipantKind.SME, status=status),
        )

    def client(
        self, participant: str, *roles: Role, scopes: tuple[Scope, ...] = (Scope.CATALOG_READ, Scope.DATA_QUERY)
    ) -> Issued:
        """A client made by the person at the machine."""
        return self.identity.clients.create(
            MACHINE, participant, name="test", roles=roles or (Role.MEMBER,), scopes=scopes
        )

    def fetch(self, issued: Issued, **form: str) -> Any:
        """The token endpoint's answer."""
        return self.http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials", **form},
            auth=(issued.client.client_id, issued.secret),
        )

    def token(self, issued: Issued, **form: str) -> str:
        answer = self.fetch(issued, **form)
        assert answer.status_code == 200, answer.text
        text: str = answer.json()["access_token"]
        return text

    def principal(self, issued: Issued, **form: str) -> Principal:
        """The client as the resolver sees it."""
        entry = self.identity.authentication
        return entry.resolver.resolve(entry.verifier.verify(self.token(issued, **form)))

    def probe(self, token: str) -> Any:
        """Calls an endpoint that needs `data:query`."""
        return self.http.get("/api/v1/probe", headers={"Authorization": f"Bearer {token}"})


def probe(principal: Annotated[Principal, Depends(caller(Scope.DATA_QUERY))]) -> dict[str, object]:
    return {
        "issuer": principal.issuer,
        "subject": principal.subject,
        "participant": principal.participant.id,
        "roles": sorted(principal.roles),
        "scopes": sorted(principal.scopes),
    }


@contextmanager
def open_gateway(home: Path, admin: Issued, clock: Clock, *, issuers_file: Path | None = None) -> Iterator[Gateway]:
    settings = Settings(token=TokenSettings(issuers_file=issuers_file))
    with open_foundation(open_home(home), settings, clock=clock) as base:
        identity = build_identity(
            settings,
            base.keys,
            public_url=URL,
            database=base.database,
            catalogue=base.catalogue,
            journal=base.journal,
            clock=clock,
        )
        api = FastAPI(redirect_slashes=False)
        api.state.services = SimpleNamespace(
            authentication=identity.authentication, authorization=identity.authorization, clients=identity.clients
        )
        answer_in_problems(api)
        api.include_router(oauth.router)
        api.add_api_route("/api/v1/probe", probe, methods=["GET"])
        api.add_middleware(Intake)
        api.add_middleware(Envelope)
        with TestClient(api, base_url=URL, raise_server_exceptions=False) as http:
            yield Gateway(base, identity, admin, clock, http)
