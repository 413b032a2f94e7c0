"""Storages: `/api/v1/storages`.

Must never reach behind the registry's services, which hold the rules.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from catalog.documents import StorageDocument
from datalab.api.auth import caller
from datalab.api.bodies import StorageShown, shown
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.patches import Patch, patched
from datalab.api.preconditions import IfMatch, etag_of, expected, tag
from datalab.api.services import Provided
from datalab.flow.authority import of_storage
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.registry.writes import as_read

router = APIRouter(prefix="/api/v1/storages", tags=["storages"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.STORAGES_WRITE))]


@router.get("")
def list_storages(
    principal: Reader, services: Provided, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Paged[StorageShown]:
    found = services.storages.page(principal, asked(limit, cursor))
    return paged(found, limit, show=lambda one: shown(StorageShown, one), key=lambda one: one.id)


@router.post("", status_code=201)
def create_storage(principal: Writer, services: Provided, body: StorageDocument, response: Response) -> StorageShown:
    stored = services.storages.create(principal, body.entity(), keys_of(body))
    response.headers["Location"] = f"/api/v1/storages/{stored.id}"
    response.headers["ETag"] = etag_of(stored)
    return shown(StorageShown, stored)


@router.get("/{id_}")
def get_storage(principal: Reader, services: Provided, id_: str, response: Response) -> StorageShown:
    found = services.storages.get(principal, id_)
    tag(response, principal, found, of_storage(found))
    return shown(StorageShown, found)


@router.patch("/{id_}")
def change_storage(
    principal: Writer, services: Provided, id_: str, patch: Patch, response: Response, if_match: IfMatch = None
) -> StorageShown:
    state = expected(if_match)
    found = services.storages.get(principal, id_)
    body = patched(StorageDocument, found, patch)
    stored = services.storages.replace(principal, body.entity(), keys_of(body), expected=state or as_read(found))
    response.headers["ETag"] = etag_of(stored)
    return shown(StorageShown, stored)


@router.delete("/{id_}", status_code=204)
def delete_storage(principal: Writer, services: Provided, id_: str, if_match: IfMatch = None) -> None:
    state = expected(if_match)
    services.storages.get(principal, id_)
    services.storages.delete(principal, id_, expected=state)


def keys_of(body: StorageDocument) -> dict[str, str] | None:
    return None if body.credentials is None else body.credentials.reveal()
