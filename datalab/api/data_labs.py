"""Data labs: `/api/v1/data-labs`.

Must never reach behind the registry's services, which hold the rules.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from catalog.documents import DataLabDocument
from datalab.api.auth import caller
from datalab.api.bodies import DataLabShown, shown
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.patches import Patch, patched
from datalab.api.preconditions import IfMatch, etag_of, expected, tag
from datalab.api.services import Provided
from datalab.flow.authority import of_lab
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.registry.writes import as_read

router = APIRouter(prefix="/api/v1/data-labs", tags=["data-labs"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.CATALOG_WRITE))]


@router.get("")
def list_data_labs(
    principal: Reader,
    services: Provided,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    ai_factory: Annotated[str | None, Query(max_length=63)] = None,
) -> Paged[DataLabShown]:
    found = services.data_labs.page(principal, asked(limit, cursor), ai_factory=ai_factory)
    return paged(found, limit, show=lambda one: shown(DataLabShown, one), key=lambda one: one.id)


@router.post("", status_code=201)
def create_data_lab(principal: Writer, services: Provided, body: DataLabDocument, response: Response) -> DataLabShown:
    stored = services.data_labs.create(principal, body.entity())
    response.headers["Location"] = f"/api/v1/data-labs/{stored.id}"
    response.headers["ETag"] = etag_of(stored)
    return shown(DataLabShown, stored)


@router.get("/{id_}")
def get_data_lab(principal: Reader, services: Provided, id_: str, response: Response) -> DataLabShown:
    found = services.data_labs.get(principal, id_)
    tag(response, principal, found, of_lab(found))
    return shown(DataLabShown, found)


@router.patch("/{id_}")
def change_data_lab(
    principal: Writer, services: Provided, id_: str, patch: Patch, response: Response, if_match: IfMatch = None
) -> DataLabShown:
    state = expected(if_match)
    found = services.data_labs.get(principal, id_)
    body = patched(DataLabDocument, found, patch)
    stored = services.data_labs.replace(principal, body.entity(), expected=state or as_read(found))
    response.headers["ETag"] = etag_of(stored)
    return shown(DataLabShown, stored)


@router.delete("/{id_}", status_code=204)
def delete_data_lab(principal: Writer, services: Provided, id_: str, if_match: IfMatch = None) -> None:
    state = expected(if_match)
    services.data_labs.get(principal, id_)
    services.data_labs.delete(principal, id_, expected=state)
