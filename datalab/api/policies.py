"""Policies: `/api/v1/policies`, in the form that files have too; checking and simulating without saving.

Must never show a policy of a level that is not the caller's to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from catalog.entities import PolicyRecord
from datalab.api.auth import caller
from datalab.api.paging import DEFAULT_LIMIT, Cursor, Limit, Paged, asked, paged
from datalab.api.patches import Patch, merged
from datalab.api.preconditions import IfMatch, etag_of, expected
from datalab.api.services import Provided
from datalab.flow.principal import Principal
from datalab.flow.token import Scope
from datalab.registry.errors import Conflict
from datalab.registry.ports import PolicyVersion
from datalab.registry.preview import Effect
from datalab.registry.writes import as_read
from policies.validation import validate

router = APIRouter(prefix="/api/v1/policies", tags=["policies"])
Reader = Annotated[Principal, Depends(caller(Scope.CATALOG_READ))]
Writer = Annotated[Principal, Depends(caller(Scope.POLICIES_WRITE))]
Document = Annotated[dict[str, Any], Body(description="A policy document.")]
Why = Annotated[str, Query(max_length=1000, description="Why; kept with the version.")]


class PolicyShown(BaseModel):
    """The document, and what the gateway knows of it. version: the number of its text in force."""

    model_config = ConfigDict(extra="allow")

    id: str
    uid: str
    scope: str
    owner: str | None
    version: int


class PolicyVersionShown(BaseModel):
    number: int
    scope: str
    document: dict[str, Any] | None
    author: dict[str, str]
    reason: str
    created_at: datetime


class Checked(BaseModel):
    valid: bool
    problems: list[dict[str, Any]]


class Question(BaseModel):
    """Who would see what of a dataset of yours, with these drafts in force."""

    model_config = ConfigDict(extra="forbid")

    dataset: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}/[a-z][a-z0-9_]{0,62}$")]
    participant: Annotated[str, Field(max_length=63)]
    policies: Annotated[list[dict[str, Any]], Field(max_length=100)] = []


@router.get("")
def list_policies(
    principal: Reader,
    services: Provided,
    scope: Annotated[str | None, Query(max_length=160)] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Paged[PolicyShown]:
    found = services.policies.page(principal, asked(limit, cursor), scope=scope)
    return paged(found, limit, show=_shown, key=lambda one: one.id)


@router.post("", status_code=201)
def create_policy(
    principal: Writer, services: Provided, document: Document, response: Response, reason: Why = ""
) -> PolicyShown:
    """In force at once."""
    stored = services.policies.create(principal, document, reason=reason)
    response.headers["Location"] = f"/api/v1/policies/{stored.id}"
    response.headers["ETag"] = etag_of(stored)
    return _shown(stored)


@router.post("/validate")
def validate_policy(_principal: Writer, document: Document) -> Checked:
    """What is wrong with a document; nothing is saved."""
    problems = validate(document)
    return Checked(valid=not problems, problems=[problem.as_json() for problem in problems])


@router.post("/simulate")
def simulate(principal: Writer, services: Provided, question: Question) -> Effect:
    """What a participant's member would see of a dataset of yours; nothing is saved."""
    space, _, name = question.dataset.partition("/")
    return services.preview.simulate(principal, space, name, question.participant, question.policies)


@router.get("/{id_}")
def get_policy(principal: Reader, services: Provided, id_: str, response: Response) -> PolicyShown:
    found = services.policies.get(principal, id_)
    response.headers["ETag"] = etag_of(found)
    return _shown(found)


@router.get("/{id_}/versions")
def get_versions(principal: Reader, services: Provided, id_: str) -> list[PolicyVersionShown]:
    """Every text it had, oldest first."""
    return [_version(one) for one in services.policies.history(principal, id_)]


@router.patch("/{id_}")
def change_policy(
    principal: Writer,
    services: Provided,
    id_: str,
    patch: Patch,
    response: Response,
    reason: Why = "",
    if_match: IfMatch = None,
) -> PolicyShown:
    """A new version."""
    state = expected(if_match)
    found = services.policies.get(principal, id_)
    document: Mapping[str, Any] = merged(found.document, patch)
    if document.get("id") != found.id:
        raise Conflict("registry.fixed", "This cannot be changed.", field="id")
    stored = services.policies.replace(principal, document, reason=reason, expected=state or as_read(found))
    response.headers["ETag"] = etag_of(stored)
    return _shown(stored)


@router.delete("/{id_}", status_code=204)
def delete_policy(principal: Writer, services: Provided, id_: str, reason: Why = "", if_match: IfMatch = None) -> None:
    state = expected(if_match)
    services.policies.get(principal, id_)
    services.policies.delete(principal, id_, reason=reason, expected=state)


def _shown(record: PolicyRecord) -> PolicyShown:
    values: dict[str, Any] = {
        **record.document,
        "id": record.id,
        "uid": record.uid,
        "scope": record.scope,
        "owner": record.owner,
        "version": record.revision,
    }
    return PolicyShown.model_construct(**values)


def _version(one: PolicyVersion) -> PolicyVersionShown:
    return PolicyVersionShown(
        number=one.number,
        scope=one.scope,
        document=dict(one.document) if one.document is not None else None,
        author={"issuer": one.author_issuer, "subject": one.author_subject},
        reason=one.reason,
        created_at=one.created_at,
    )
