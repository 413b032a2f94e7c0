"""Datasets: `/api/v1/datasets`, as each caller may know them.

Must never answer differently for a hidden dataset than for an absent one; storage and location are the provider's alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from catalog.documents import DatasetDocument
from catalog.entities import Dataset, DatasetStatus, PersonalData
from datalab.api.auth import caller
from datalab.api.bodies import shown
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.patches import Patch, patched
from datalab.api.preconditions import IfMatch, etag_of, expected, tag
from datalab.api.services import Provided, Services
from datalab.flow.authority import Verb, may, of_dataset
from datalab.flow.decision import Sight
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.registry.errors import NotAllowed
from datalab.registry.ports import DatasetFilter
from datalab.registry.preview import Effect
from datalab.registry.writes import as_read

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.DATASETS_WRITE))]

Named = Annotated[str | None, Query(max_length=63)]
FIXED = ("space", "name", "provider")


class DatasetShown(BaseModel):
    """What whoever may discover it knows. storage, location, roles: shown to the provider only."""

    uid: str
    space: str
    name: str
    sql_name: str
    provider: str
    lab: str
    title: dict[str, str]
    description: dict[str, str]
    keywords: tuple[str, ...]
    theme: str | None
    licence: str | None
    attribution: str | None
    tdm_reserved: bool
    personal_data: PersonalData
    status: DatasetStatus
    created_at: datetime | None
    updated_at: datetime | None
    storage: str | None = None
    location: str | None = None
    roles: dict[str, str] | None = None


class VersionShown(BaseModel):
    """row_count, size_bytes: shown only to callers whom no policy restricts to a part."""

    number: int
    created_at: datetime | None
    row_count: int | None = None
    size_bytes: int | None = None


class DatasetDetail(DatasetShown):
    """actions: what the caller may do with it. version: the newest published one."""

    actions: tuple[str, ...]
    version: VersionShown | None


class ColumnShown(BaseModel):
    """type: DuckDB's type as this caller would get it."""

    name: str
    type: str


class SchemaShown(BaseModel):
    dataset: str
    version: int | None
    columns: list[ColumnShown]


def wanted(
    q: Annotated[str | None, Query(max_length=200, description="Words in name, title, description, keywords.")] = None,
    space: Named = None,
    lab: Named = None,
    ai_factory: Named = None,
    sector: Annotated[str | None, Query(max_length=500)] = None,
    provider: Named = None,
    country: Annotated[str | None, Query(max_length=2)] = None,
    licence: Annotated[str | None, Query(max_length=2000)] = None,
) -> DatasetFilter:
    return DatasetFilter(
        q=q,
        space=space,
        lab=lab,
        ai_factory=ai_factory,
        sector=sector,
        provider=provider,
        country=country,
        licence=licence,
    )


@router.get("")
def list_datasets(
    principal: Reader,
    services: Provided,
    where: Annotated[DatasetFilter, Depends(wanted)],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Paged[DatasetShown]:
    found = services.discovery.page(principal, asked(limit, cursor), where)
    return paged(found, limit, show=lambda one: known_of(one, owner=owns(principal, one)), key=lambda one: one.key)


@router.post("", status_code=201)
def create_dataset(principal: Writer, services: Provided, body: DatasetDocument, response: Response) -> DatasetShown:
    """A draft, whatever status is sent: publishing is a change of its own."""
    stored = services.datasets.create(principal, body.entity())
    response.headers["Location"] = f"/api/v1/datasets/{stored.key}"
    response.headers["ETag"] = etag_of(stored)
    return known_of(stored, owner=True)


@router.get("/{space}/{name}")
def get_dataset(principal: Reader, services: Provided, space: str, name: str, response: Response) -> DatasetDetail:
    sight = services.discovery.find(principal, space, name)
    tag(response, principal, sight.dataset, of_dataset(sight.dataset))
    return detail_of(sight)


@router.patch("/{space}/{name}")
def change_dataset(
    principal: Writer,
    services: Provided,
    space: str,
    name: str,
    patch: Patch,
    response: Response,
    if_match: IfMatch = None,
) -> DatasetShown:
    """`{"status": "published"}` publishes; `.../audience` shows first who would see what."""
    state = expected(if_match)
    found = _own(services, principal, space, name)
    body = patched(DatasetDocument, found, patch, fixed=FIXED)
    stored = services.datasets.replace(principal, body.entity(), expected=state or as_read(found))
    response.headers["ETag"] = etag_of(stored)
    return known_of(stored, owner=True)


@router.delete("/{space}/{name}", status_code=204)
def delete_dataset(principal: Writer, services: Provided, space: str, name: str, if_match: IfMatch = None) -> None:
    state = expected(if_match)
    _own(services, principal, space, name)
    services.datasets.delete(principal, space, name, expected=state)


@router.get("/{space}/{name}/schema")
def get_schema(
    principal: Reader,
    services: Provided,
    space: str,
    name: str,
    version: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> SchemaShown:
    """The columns as this caller would see them."""
    sight = services.discovery.find(principal, space, name, version=version)
    return SchemaShown(
        dataset=sight.dataset.sql_name,
        version=sight.version.number if sight.version else None,
        columns=[ColumnShown(name=column.name, type=column.result.sql) for column in sight.columns],
    )


@router.get("/{space}/{name}/audience")
def get_audience(principal: Writer, services: Provided, space: str, name: str) -> list[Effect]:
    """Who would see what if it were published now; for the provider only."""
    _own(services, principal, space, name)
    return list(services.preview.audience(principal, space, name))


def owns(principal: Principal, dataset: Dataset) -> bool:
    return principal.participant.id == dataset.provider


def known_of(dataset: Dataset, *, owner: bool) -> DatasetShown:
    values = shown(DatasetShown, dataset)
    return values if owner else values.model_copy(update=dict.fromkeys(("storage", "location", "roles")))


def detail_of(sight: Sight) -> DatasetDetail:
    version = sight.version
    newest = None
    if version is not None:
        newest = VersionShown(number=version.number, created_at=version.created_at)
        if sight.whole:
            newest = newest.model_copy(update={"row_count": version.row_count, "size_bytes": version.size_bytes})
    actions = (*(["discover"] if sight.ruling.discover else []), *(action.value for action in sight.ruling.grants))
    values = known_of(sight.dataset, owner=sight.owner).model_dump()
    return DatasetDetail.model_construct(**values, actions=actions, version=newest)


def _own(services: Services, principal: Principal, space: str, name: str) -> Dataset:
    """The dataset, for its provider. Whoever else may discover it is forbidden; everyone else is told what all are told
    of what does not exist.
    """
    found = services.discovery.find(principal, space, name).dataset
    if not may(principal, Verb.READ, of_dataset(found)):
        raise NotAllowed
    return found
