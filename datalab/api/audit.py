"""The audit trail: `/api/v1/audit` and `/api/v1/queries/{id}`.

Must never show a record that `datalab.flow.inquiry` did not yield, which holds who may see what.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AwareDatetime, BaseModel

from datalab.api.auth import caller
from datalab.api.errors import BadRequest
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, key_of, paged
from datalab.api.services import Provided
from datalab.flow.inquiry import QueryStory
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.flow.trail import AuditRecord, Kind, Place, Search, Touched

router = APIRouter(prefix="/api/v1", tags=["audit"])
Auditor = Annotated[Principal, Depends(caller(Scope.AUDIT_READ))]
Querier = Annotated[Principal, Depends(caller(Scope.DATA_QUERY))]

DATASET = r"^[a-z][a-z0-9_]{0,62}[./][a-z][a-z0-9_]{0,62}$"
NAME = r"^[a-z][a-z0-9_]{0,62}$"
PLACE = re.compile(r"(\d{1,18})/([0-9a-f]{32})/(\d{1,18})")


class ActorShown(BaseModel):
    issuer: str
    subject: str
    client_id: str | None
    participant: str
    participant_uid: str
    token_id: str


class PolicyShown(BaseModel):
    id: str
    revision: int
    level: str
    effect: str


class TouchedShown(BaseModel):
    """A dataset that an operation concerned: in which version, for which action, under which policies."""

    uid: str
    space: str
    name: str
    version: int | None
    action: str
    allowed: bool
    policies: list[PolicyShown]
    agreement: str | None


class RecordShown(BaseModel):
    """One record. operation: what its opening and closing records have in common; a query's id. literals: SQL text,
    parameters or the detail of a write, unless erased or out of the reader's reach.
    """

    at: datetime
    kind: str
    operation: str
    actor: ActorShown
    datasets: list[TouchedShown]
    details: dict[str, Any]
    literals: dict[str, Any] | None
    chain: str
    seq: int


class QueryShown(BaseModel):
    """state: open or closed. outcome: completed, refused, failed, cancelled, lost. bytes, sha256: of the body sent."""

    id: str
    state: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None
    code: str | None
    rows: int | None
    truncated: bool | None
    bytes: int | None
    sha256: str | None
    duration_s: float | None
    datasets: list[TouchedShown]
    agreements: list[str]


@router.get("/audit")
def list_records(
    principal: Auditor,
    services: Provided,
    response: Response,
    dataset: Annotated[str | None, Query(pattern=DATASET, description="`space/name` or `space.name`.")] = None,
    space: Annotated[str | None, Query(pattern=NAME, description="A data space and the datasets in it.")] = None,
    participant: Annotated[str | None, Query(pattern=NAME, description="Whose doing it was.")] = None,
    kind: Annotated[Kind | None, Query(description="Records of this kind only.")] = None,
    operation: Annotated[str | None, Query(max_length=64, description="The records of one query or write.")] = None,
    since: Annotated[AwareDatetime | None, Query(alias="from", description="At or after, ISO 8601 with zone.")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Before, ISO 8601 with zone.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Paged[RecordShown]:
    """Newest first, as far as the caller may see the trail."""
    where = Search(
        dataset=split(dataset),
        space=space,
        participant=participant,
        kind=kind,
        ref=operation,
        since_us=None if since is None else microseconds(since),
        until_us=None if until is None else microseconds(until),
    )
    response.headers["Cache-Control"] = "private, no-store"
    found = services.inquiry.search(principal, where, after=place_of(cursor), limit=limit + 1)
    return paged(found, limit, show=record_shown, key=lambda one: f"{one.at_us}/{one.chain}/{one.seq}")


@router.get("/queries/{id_}")
def get_query(
    principal: Querier, services: Provided, response: Response, id_: Annotated[str, Path(max_length=64)]
) -> QueryShown:
    """What happened to a query; for whoever ran it, and for readers of the trail who also hold the scope audit:read."""
    response.headers["Cache-Control"] = "private, no-store"
    return query_shown(services.inquiry.query(principal, id_))


def split(dataset: str | None) -> tuple[str, str] | None:
    if dataset is None:
        return None
    space, _, name = dataset.replace(".", "/").partition("/")
    return space, name


def microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def place_of(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    parts = PLACE.fullmatch(key_of(cursor))
    if parts is None:
        raise BadRequest("request.cursor", "This is not a cursor of this gateway: start again without one.")
    return int(parts[1]), parts[2], int(parts[3])


def touched_shown(one: Touched) -> TouchedShown:
    return TouchedShown.model_validate(one, from_attributes=True)


def record_shown(one: AuditRecord) -> RecordShown:
    return RecordShown(
        at=moment(one.at_us),
        kind=one.kind,
        operation=one.ref,
        actor=ActorShown.model_validate(one.actor, from_attributes=True),
        datasets=[touched_shown(dataset) for dataset in one.datasets],
        details=dict(one.details),
        literals=None if one.literals is None else dict(one.literals),
        chain=one.chain,
        seq=one.seq,
    )


def query_shown(story: QueryStory) -> QueryShown:
    closed = story.closed
    said: Any = {} if closed is None else closed.details
    return QueryShown(
        id=story.opened.ref,
        state="open" if closed is None else "closed",
        opened_at=moment(story.opened.at_us),
        closed_at=None if closed is None else moment(closed.at_us),
        outcome=said.get("outcome"),
        code=said.get("code"),
        rows=said.get("rows"),
        truncated=said.get("truncated"),
        bytes=said.get("size_bytes"),
        sha256=said.get("sha256"),
        duration_s=said.get("duration_s"),
        datasets=[touched_shown(one) for one in story.datasets],
        agreements=sorted({one.agreement for one in story.datasets if one.agreement is not None}),
    )
