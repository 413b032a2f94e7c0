"""Data spaces: `/api/v1/data-spaces`.

Must never reach behind the registry's services, which hold the rules.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from catalog.documents import DataSpaceDocument
from catalog.entities import Admission, AdmissionRole
from datalab.api.auth import caller
from datalab.api.bodies import AdmissionAsked, AdmissionShown, DataSpaceShown, shown
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.patches import Patch, patched
from datalab.api.preconditions import IfMatch, etag_of, expected, tag
from datalab.api.services import Provided
from datalab.flow.authority import of_space
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.registry.writes import as_read

router = APIRouter(prefix="/api/v1/data-spaces", tags=["data-spaces"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.CATALOG_WRITE))]


@router.get("")
def list_data_spaces(
    principal: Reader,
    services: Provided,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    sector: Annotated[str | None, Query(max_length=80)] = None,
) -> Paged[DataSpaceShown]:
    found = services.data_spaces.page(principal, asked(limit, cursor), sector=sector)
    return paged(found, limit, show=lambda one: shown(DataSpaceShown, one), key=lambda one: one.id)


@router.post("", status_code=201)
def create_data_space(
    principal: Writer, services: Provided, body: DataSpaceDocument, response: Response
) -> DataSpaceShown:
    stored = services.data_spaces.create(principal, body.entity())
    response.headers["Location"] = f"/api/v1/data-spaces/{stored.id}"
    response.headers["ETag"] = etag_of(stored)
    return shown(DataSpaceShown, stored)


@router.get("/{id_}")
def get_data_space(principal: Reader, services: Provided, id_: str, response: Response) -> DataSpaceShown:
    found = services.data_spaces.get(principal, id_)
    tag(response, principal, found, of_space())
    return shown(DataSpaceShown, found)


@router.patch("/{id_}")
def change_data_space(
    principal: Writer, services: Provided, id_: str, patch: Patch, response: Response, if_match: IfMatch = None
) -> DataSpaceShown:
    state = expected(if_match)
    found = services.data_spaces.get(principal, id_)
    body = patched(DataSpaceDocument, found, patch)
    stored = services.data_spaces.replace(principal, body.entity(), expected=state or as_read(found))
    response.headers["ETag"] = etag_of(stored)
    return shown(DataSpaceShown, stored)


@router.delete("/{id_}", status_code=204)
def delete_data_space(principal: Writer, services: Provided, id_: str, if_match: IfMatch = None) -> None:
    state = expected(if_match)
    services.data_spaces.get(principal, id_)
    services.data_spaces.delete(principal, id_, expected=state)


@router.get("/{id_}/admissions")
def list_admissions(
    principal: Reader, services: Provided, id_: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Paged[AdmissionShown]:
    found = services.admissions.page(principal, id_, asked(limit, cursor))
    return paged(found, limit, show=lambda one: shown(AdmissionShown, one), key=lambda one: one.uid)


@router.post("/{id_}/admissions", status_code=201)
def admit(principal: Writer, services: Provided, id_: str, body: AdmissionAsked) -> AdmissionShown:
    """A second time changes nothing."""
    asked_for = Admission(space=id_, participant=body.participant, role=body.role)
    return shown(AdmissionShown, services.admissions.create(principal, asked_for))


@router.delete("/{id_}/admissions/{participant}/{role}", status_code=204)
def dismiss(principal: Writer, services: Provided, id_: str, participant: str, role: AdmissionRole) -> None:
    services.admissions.delete(principal, id_, participant, role)
