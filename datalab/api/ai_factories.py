"""AI factories: `/api/v1/ai-factories`.

Must never reach behind the registry's services, which hold the rules.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from catalog.documents import AiFactoryDocument
from datalab.api.auth import caller
from datalab.api.bodies import AiFactoryShown, shown
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.patches import Patch, patched
from datalab.api.preconditions import IfMatch, etag_of, expected, tag
from datalab.api.services import Provided
from datalab.flow.authority import of_factory
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.registry.writes import as_read

router = APIRouter(prefix="/api/v1/ai-factories", tags=["ai-factories"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.CATALOG_WRITE))]


@router.get("")
def list_ai_factories(
    principal: Reader, services: Provided, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Paged[AiFactoryShown]:
    found = services.ai_factories.page(principal, asked(limit, cursor))
    return paged(found, limit, show=lambda one: shown(AiFactoryShown, one), key=lambda one: one.id)


@router.post("", status_code=201)
def create_ai_factory(
    principal: Writer, services: Provided, body: AiFactoryDocument, response: Response
) -> AiFactoryShown:
    stored = services.ai_factories.create(principal, body.entity())
    response.headers["Location"] = f"/api/v1/ai-factories/{stored.id}"
    response.headers["ETag"] = etag_of(stored)
    return shown(AiFactoryShown, stored)


@router.get("/{id_}")
def get_ai_factory(principal: Reader, services: Provided, id_: str, response: Response) -> AiFactoryShown:
    found = services.ai_factories.get(principal, id_)
    tag(response, principal, found, of_factory())
    return shown(AiFactoryShown, found)


@router.patch("/{id_}")
def change_ai_factory(
    principal: Writer, services: Provided, id_: str, patch: Patch, response: Response, if_match: IfMatch = None
) -> AiFactoryShown:
    state = expected(if_match)
    found = services.ai_factories.get(principal, id_)
    body = patched(AiFactoryDocument, found, patch)
    stored = services.ai_factories.replace(principal, body.entity(), expected=state or as_read(found))
    response.headers["ETag"] = etag_of(stored)
    return shown(AiFactoryShown, stored)


@router.delete("/{id_}", status_code=204)
def delete_ai_factory(principal: Writer, services: Provided, id_: str, if_match: IfMatch = None) -> None:
    state = expected(if_match)
    services.ai_factories.get(principal, id_)
    services.ai_factories.delete(principal, id_, expected=state)
