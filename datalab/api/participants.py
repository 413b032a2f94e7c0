"""Participants: `/api/v1/participants`.

Must never reach behind the registry's services, which hold the rules.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from catalog.documents import ParticipantDocument
from datalab.api.auth import caller
from datalab.api.bodies import ParticipantShown, shown
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.patches import Patch, patched
from datalab.api.preconditions import IfMatch, etag_of, expected, tag
from datalab.api.services import Provided
from datalab.flow.authority import of_participant
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.registry.writes import as_read

router = APIRouter(prefix="/api/v1/participants", tags=["participants"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.PARTICIPANTS_WRITE))]


@router.get("")
def list_participants(
    principal: Reader, services: Provided, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Paged[ParticipantShown]:
    found = services.participants.page(principal, asked(limit, cursor))
    return paged(found, limit, show=lambda one: shown(ParticipantShown, one), key=lambda one: one.id)


@router.post("", status_code=201)
def create_participant(
    principal: Writer, services: Provided, body: ParticipantDocument, response: Response
) -> ParticipantShown:
    stored = services.participants.create(principal, body.entity())
    response.headers["Location"] = f"/api/v1/participants/{stored.id}"
    response.headers["ETag"] = etag_of(stored)
    return shown(ParticipantShown, stored)


@router.get("/{id_}")
def get_participant(principal: Reader, services: Provided, id_: str, response: Response) -> ParticipantShown:
    found = services.participants.get(principal, id_)
    tag(response, principal, found, of_participant(found))
    return shown(ParticipantShown, found)


@router.patch("/{id_}")
def change_participant(
    principal: Writer, services: Provided, id_: str, patch: Patch, response: Response, if_match: IfMatch = None
) -> ParticipantShown:
    state = expected(if_match)
    found = services.participants.get(principal, id_)
    body = patched(ParticipantDocument, found, patch)
    stored = services.participants.replace(principal, body.entity(), expected=state or as_read(found))
    response.headers["ETag"] = etag_of(stored)
    return shown(ParticipantShown, stored)


@router.delete("/{id_}", status_code=204)
def delete_participant(principal: Writer, services: Provided, id_: str, if_match: IfMatch = None) -> None:
    state = expected(if_match)
    services.participants.get(principal, id_)
    services.participants.delete(principal, id_, expected=state)
