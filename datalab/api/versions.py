"""Versions of datasets, `/api/v1/datasets/{space}/{name}/versions`, and the jobs that make them, `/api/v1/jobs/{id}`.

Must never answer differently for a hidden dataset than for an absent one; counts and sizes are shown only to callers whom no
policy restricts to a part, paths and whatever else identifies files to the provider alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from catalog.entities import FileEntry, VersionStatus
from datalab.api.auth import caller, caller_again
from datalab.api.errors import BadRequest
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.services import Provided, Services
from datalab.flow.authority import Verb, may, of_dataset
from datalab.flow.decision import Sight
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.publish.errors import NotProvider, VersionNotFound
from datalab.publish.inspection import Progress
from datalab.publish.ports import Job, JobState, VersionRecord
from datalab.publish.versions import Publication

router = APIRouter(prefix="/api/v1", tags=["versions"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.DATASETS_WRITE))]
Again = Annotated[Callable[[], Principal], Depends(caller_again)]
Number = Annotated[int, Path(ge=1, lt=2**31)]

QUICK_S = 2.0
"""How long a POST waits for the registration before it answers 202 with the job."""
POLL_S = 1


class ColumnOfVersion(BaseModel):
    """type: DuckDB's type. partition: it comes from the files' paths."""

    name: str
    type: str
    nullable: bool
    partition: bool


class VersionShown(BaseModel):
    """row_count, size_bytes, file_count: only for callers whom no policy restricts to a part. columns, reason: the provider's.

    reason: why it is withdrawn or broken. created: in answer to a publication, whether it is a new version. notes: what the
    provider should know about it.
    """

    number: int
    status: VersionStatus
    created_at: datetime | None
    row_count: int | None = None
    size_bytes: int | None = None
    file_count: int | None = None
    hive_partitioning: bool | None = None
    columns: list[ColumnOfVersion] | None = None
    reason: str | None = None
    created: bool | None = None
    notes: list[str] | None = None


class FileShown(BaseModel):
    """etag, version_id: in S3. mtime_ns: on a local disk."""

    path: str
    size_bytes: int
    rows: int
    etag: str | None
    version_id: str | None
    mtime_ns: int | None


class ProblemShown(BaseModel):
    code: str
    sentence: str
    detail: dict[str, Any] = Field(default_factory=dict)


class JobShown(BaseModel):
    """done, total: files inspected so far, and in all (0: not known yet). version: once it is done."""

    id: str
    kind: str
    resource: str
    state: JobState
    done: int
    total: int
    version: VersionShown | None
    problem: ProblemShown | None
    created_at: datetime
    updated_at: datetime


@router.post(
    "/datasets/{space}/{name}/versions",
    status_code=201,
    responses={200: {"model": VersionShown}, 202: {"model": JobShown}},
)
def publish_version(
    principal: Writer, again: Again, services: Provided, space: str, name: str, response: Response
) -> VersionShown | JobShown:
    """Inspects the location and publishes what lies there. 201: a new version. 200: the newest version already is exactly
    that. 202: it takes longer; `Location` is the job to ask.
    """
    owned(services, principal, space, name)

    def work(progress: Progress) -> Mapping[str, object]:
        return result_of(services.versions.publish(principal, space, name, progress, again=again))

    job = services.jobs.start(principal.participant.id, "publish", f"dataset:{space}/{name}", work)
    done = services.jobs.outcome(job.uid, QUICK_S)
    if done is None:
        response.status_code = 202
        response.headers["Location"] = f"/api/v1/jobs/{job.uid}"
        response.headers["Retry-After"] = str(POLL_S)
        return job_shown(services.jobs.get(principal.participant.id, job.uid))
    version = VersionShown.model_validate(done)
    response.status_code = 201 if version.created else 200
    response.headers["Location"] = f"/api/v1/datasets/{space}/{name}/versions/{version.number}"
    return version


@router.get("/datasets/{space}/{name}/versions", response_model_exclude_none=True)
def list_versions(
    principal: Reader, services: Provided, space: str, name: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Paged[VersionShown]:
    """Newest first; the provider also sees the withdrawn and broken ones."""
    sight = services.discovery.find(principal, space, name)
    page = asked(limit, cursor)
    found = services.versions.page(
        sight.dataset, below=position(page.after), limit=page.limit, published_only=not sight.owner
    )
    return paged(
        found, limit, show=lambda record: version_shown(record, sight), key=lambda one: str(one.version.number)
    )


@router.get("/datasets/{space}/{name}/versions/{number}", response_model_exclude_none=True)
def get_version(principal: Reader, services: Provided, space: str, name: str, number: Number) -> VersionShown:
    sight = services.discovery.find(principal, space, name, version=number)
    found = services.versions.page(sight.dataset, below=number + 1, limit=1, published_only=not sight.owner)
    if not found or found[0].version.number != number:
        raise VersionNotFound
    return version_shown(found[0], sight, columns=True)


@router.get("/datasets/{space}/{name}/versions/{number}/files")
def list_files(
    principal: Reader,
    services: Provided,
    space: str,
    name: str,
    number: Number,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Paged[FileShown]:
    """The version's files, in the order in which they are read; for the provider only."""
    owned(services, principal, space, name)
    page = asked(limit, cursor)
    start = 0 if page.after is None else position(page.after) or 0
    files = services.versions.files(principal, space, name, number, start=start, limit=page.limit)
    placed = list(enumerate(files, start=start + 1))
    return paged(placed, limit, show=lambda one: file_shown(one[1]), key=lambda one: str(one[0]))


@router.delete("/datasets/{space}/{name}/versions/{number}", response_model_exclude_none=True)
def withdraw_version(
    principal: Writer,
    services: Provided,
    space: str,
    name: str,
    number: Number,
    reason: Annotated[str, Query(max_length=500)] = "",
) -> VersionShown:
    """Withdraws a version: queries that start from now on do not read it. Its record stays, and its number is never given
    again; withdrawing it once more changes nothing.
    """
    owned(services, principal, space, name)
    return full(services.versions.withdraw(principal, space, name, number, reason))


@router.get("/jobs/{job}", response_model_exclude_none=True)
def get_job(principal: Writer, services: Provided, job: Annotated[str, Path(pattern="^[0-9a-f]{32}$")]) -> JobShown:
    """How far it is; for the participant that started it."""
    return job_shown(services.jobs.get(principal.participant.id, job))


def owned(services: Services, principal: Principal, space: str, name: str) -> None:
    """Whoever may discover the dataset is told that it is another's; everyone else what all are told of what does not exist."""
    found = services.discovery.find(principal, space, name).dataset
    if not may(principal, Verb.WRITE, of_dataset(found)):
        raise NotProvider


def position(after: str | None) -> int | None:
    """The number in a cursor. Raises BadRequest."""
    if after is None:
        return None
    if not after.isdigit() or len(after) > 10:
        raise BadRequest("request.cursor", "This is not a cursor of this gateway: start again without one.")
    return int(after)


def version_shown(record: VersionRecord, sight: Sight, *, columns: bool = False) -> VersionShown:
    if sight.owner:
        values = full(record)
        return values if columns else values.model_copy(update={"columns": None})
    version = record.version
    values = VersionShown(number=version.number, status=version.status, created_at=version.created_at)
    if sight.whole:
        counts = {"row_count": version.row_count, "size_bytes": version.size_bytes, "file_count": record.file_count}
        values = values.model_copy(update=counts)
    return values


def full(record: VersionRecord) -> VersionShown:
    """All that its provider may know, but the files."""
    version = record.version
    return VersionShown(
        number=version.number,
        status=version.status,
        created_at=version.created_at,
        row_count=version.row_count,
        size_bytes=version.size_bytes,
        file_count=record.file_count,
        hive_partitioning=version.hive_partitioning,
        columns=[
            ColumnOfVersion(name=one.name, type=one.type, nullable=one.nullable, partition=one.partition)
            for one in version.columns
        ],
        reason=record.reason,
    )


def result_of(publication: Publication) -> dict[str, object]:
    shown = full(publication.record).model_copy(
        update={"created": publication.created, "notes": list(publication.notes)}
    )
    return shown.model_dump(mode="json")


def file_shown(file: FileEntry) -> FileShown:
    return FileShown(
        path=file.path,
        size_bytes=file.size_bytes,
        rows=file.rows,
        etag=file.etag,
        version_id=file.version_id,
        mtime_ns=file.mtime_ns,
    )


def job_shown(job: Job) -> JobShown:
    return JobShown(
        id=job.uid,
        kind=job.kind,
        resource=job.resource,
        state=job.state,
        done=job.done,
        total=job.total,
        version=None if job.result is None else VersionShown.model_validate(job.result),
        problem=None if job.problem is None else ProblemShown.model_validate(job.problem),
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
