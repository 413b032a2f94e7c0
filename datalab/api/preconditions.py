"""ETag and If-Match (RFC 9110 section 13): a change names the state that it changes.

Owns the form of the tag: uid and revision, so that it never matches a thing that was deleted and registered anew. Must
never give a tag to someone who may not change the thing: it would tell when hidden parts change.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Response

from catalog.entities import Resource
from datalab.api.errors import BadRequest, PreconditionRequired
from datalab.flow import authority
from datalab.flow.principal import Principal
from datalab.registry.writes import Expected

_FORM = re.compile(r'"([0-9a-f]{1,40})\.([0-9]{1,15})"')

IfMatch = Annotated[str | None, Header(description="The ETag that you read, or `*`.", max_length=200)]


def etag_of(resource: Resource) -> str:
    return f'"{resource.uid}.{resource.revision}"'


def tag(response: Response, principal: Principal, found: Resource, resource: authority.Resource) -> None:
    """Sets the ETag, for a caller who may change the thing."""
    if authority.may(principal, authority.Verb.WRITE, resource):
        response.headers["ETag"] = etag_of(found)


def expected(if_match: str | None) -> Expected | None:
    """What the caller read; None for `*`: any state. Raises PreconditionRequired without the header, BadRequest for a
    form that is none of ours.
    """
    if if_match is None:
        raise PreconditionRequired
    if if_match.strip() == "*":
        return None
    read = _FORM.fullmatch(if_match.strip())
    if read is None:
        raise BadRequest("request.header", "If-Match must be one ETag as this gateway gave it, or `*`.")
    return Expected(uid=read[1], revision=int(read[2]))
