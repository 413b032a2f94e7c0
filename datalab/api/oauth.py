"""The authorization server's addresses, and the administration of a participant's clients.

Owns the mapping of both onto HTTP. Must never interpret a form itself: `datalab.oauth` reads the bytes as they came.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from datalab.api.auth import caller
from datalab.api.paging import Cursor, Limit, Paged, asked, paged
from datalab.api.services import Provided
from datalab.flow.principal import Principal, Role
from datalab.flow.token import Scope
from datalab.oauth.client import Client
from datalab.oauth.clients import MAX_OVERLAP_S, Issued
from datalab.oauth.form import Posted
from datalab.oauth.metadata import JWKS_PATH, RESOURCE_METADATA_PATH, SERVER_METADATA_PATH
from datalab.oauth.server import REVOCATION_PATH, TOKEN_PATH, Answer

PUBLIC = {"Cache-Control": "public, max-age=300"}
CLIENTS = "/api/v1/participants/{participant}/clients"

router = APIRouter()
Admin = Annotated[Principal, Depends(caller(Scope.PARTICIPANTS_WRITE))]


async def posted(request: Request) -> Posted:
    """The request's bytes; their size was bounded before."""
    return Posted(
        body=await request.body(),
        content_type=request.headers.get("content-type", ""),
        authorization=tuple(request.headers.getlist("authorization")),
        query=request.url.query,
    )


AsPosted = Annotated[Posted, Depends(posted)]


def _response(answer: Answer) -> Response:
    return JSONResponse(dict(answer.body), answer.status, dict(answer.headers))


@router.post(TOKEN_PATH, tags=["oauth"], summary="Fetch an access token (RFC 6749)")
def token(form: AsPosted, services: Provided) -> Response:
    return _response(services.authorization.server.token(form))


@router.post(REVOCATION_PATH, tags=["oauth"], summary="Revoke an access token (RFC 7009)")
def revoke_token(form: AsPosted, services: Provided) -> Response:
    return _response(services.authorization.server.revocation(form))


@router.get(JWKS_PATH, tags=["oauth"], summary="The keys that verify our tokens (RFC 7517)")
def jwks(services: Provided) -> Response:
    return JSONResponse(services.authorization.jwks, headers=PUBLIC)


@router.get(SERVER_METADATA_PATH, tags=["oauth"], summary="Authorization server metadata (RFC 8414)")
def server_metadata(services: Provided) -> Response:
    return JSONResponse(services.authorization.server_metadata, headers=PUBLIC)


@router.get(RESOURCE_METADATA_PATH, tags=["oauth"], summary="Protected resource metadata (RFC 9728)")
def resource_metadata(services: Provided) -> Response:
    return JSONResponse(services.authorization.resource_metadata, headers=PUBLIC)


class ClientDraft(BaseModel):
    """A client to be made. scopes: what its tokens may hold at most."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=100)
    roles: list[Role] = Field(default_factory=lambda: [Role.MEMBER], max_length=len(Role))
    scopes: list[Scope] = Field(default_factory=lambda: [Scope.CATALOG_READ, Scope.DATA_QUERY], max_length=len(Scope))


class Rotation(BaseModel):
    """overlap_s: how long the old secrets still work, in seconds; 0 revokes them and their tokens."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: int = Field(default=86_400, ge=0, le=MAX_OVERLAP_S)


class ShownSecret(BaseModel):
    id: str
    created_at: datetime
    expires_at: datetime | None


class ShownClient(BaseModel):
    """Never a secret: those are shown once, when they are made."""

    client_id: str
    participant: str
    name: str
    roles: list[Role]
    scopes: list[str]
    created_at: datetime
    secrets: list[ShownSecret]


class ShownOnce(ShownClient):
    client_secret: str


@router.post(CLIENTS, status_code=201, tags=["participants"], summary="Make a client; its secret is shown once")
def create_client(
    participant: str, draft: ClientDraft, services: Provided, principal: Admin, response: Response
) -> ShownOnce:
    issued = services.clients.create(principal, participant, name=draft.name, roles=draft.roles, scopes=draft.scopes)
    response.headers["Location"] = CLIENTS.format(participant=participant) + f"/{issued.client.client_id}"
    return _shown_once(issued)


@router.get(CLIENTS, tags=["participants"], summary="The clients of a participant")
def list_clients(
    participant: str, services: Provided, principal: Admin, limit: Limit = 100, cursor: Cursor = None
) -> Paged[ShownClient]:
    page = asked(limit, cursor)
    found = services.clients.list(principal, participant, after=page.after, limit=page.limit)
    return paged(found, limit, show=_shown, key=lambda client: client.client_id)


@router.get(CLIENTS + "/{client_id}", tags=["participants"], summary="One client")
def get_client(participant: str, client_id: str, services: Provided, principal: Admin) -> ShownClient:
    return _shown(services.clients.get(principal, participant, client_id))


@router.post(CLIENTS + "/{client_id}/secrets", status_code=201, tags=["participants"], summary="Rotate the secret")
def rotate_secret(
    participant: str, client_id: str, services: Provided, principal: Admin, rotation: Rotation | None = None
) -> ShownOnce:
    overlap_s = (rotation or Rotation()).overlap_s
    return _shown_once(services.clients.rotate(principal, participant, client_id, overlap_s=overlap_s))


@router.delete(CLIENTS + "/{client_id}", status_code=204, tags=["participants"], summary="Revoke a client")
def revoke_client(participant: str, client_id: str, services: Provided, principal: Admin) -> None:
    services.clients.revoke(principal, participant, client_id)


def _shown(client: Client) -> ShownClient:
    return ShownClient.model_validate(_members(client))


def _shown_once(issued: Issued) -> ShownOnce:
    return ShownOnce.model_validate(_members(issued.client) | {"client_secret": issued.secret})


def _members(client: Client) -> dict[str, object]:
    return {
        "client_id": client.client_id,
        "participant": client.participant,
        "name": client.name,
        "roles": sorted(client.roles),
        "scopes": sorted(client.scopes),
        "created_at": client.created_at,
        "secrets": [
            {"id": one.id, "created_at": one.created_at, "expires_at": one.expires_at}
            for one in client.secrets
            if one.revoked_at is None
        ],
    }
