"""Renders every refusal and failure as RFC 9457 problem+json.

Owns the form of an error answer. Must never show a stack trace, a value the caller sent, or anything an error does not
say itself; the request_id is what ties an answer to the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from datalab.api.auth import challenge
from datalab.api.errors import BASES, status_of
from datalab.flow.errors import ScopeRefused, TokenRefused

MEDIA_TYPE = "application/problem+json"
MAX_PROBLEMS = 50
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {
        "description": f"{description} (RFC 9457).",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail", "code", "request_id"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string", "description": "What is wrong, and what to do."},
                        "code": {"type": "string", "description": "Stable: `stage.slug`."},
                        "request_id": {"type": "string", "description": "As in the gateway's log."},
                        "problems": {"type": "array", "items": {"type": "object"}},
                    },
                }
            }
        },
    }
    for status, description in (("4XX", "The request is refused"), ("5XX", "The gateway failed"), (422, "Not valid"))
}
"""The form of an error answer, for the OpenAPI document."""

_OWN_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "request_id", "instance"})

log = logging.getLogger(__name__)


def problem(
    status: int,
    code: str,
    sentence: str,
    *,
    request_id: str,
    detail: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer by RFC 9457; what `detail` holds become members of their own."""
    document: dict[str, object] = {
        "type": f"urn:datalab:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
        "code": code,
        "request_id": request_id,
    }
    document.update({key: value for key, value in (detail or {}).items() if key not in _OWN_MEMBERS})
    # ASCII: a lone surrogate in a name that a client sent must not break the answer that refuses it.
    body = json.dumps(document, ensure_ascii=True, default=str).encode("ascii")
    return Response(body, status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def request_id_of(request: Request) -> str:
    return cast("str", request.scope.get("datalab.request_id", ""))


def answer_error(request: Request, error: Exception) -> Response:
    """For every error of the house: see `datalab.api.errors.STATUS`."""
    status = status_of(error)
    code = getattr(error, "code", "internal")
    if status >= 500:
        log.error("%s %s failed: %s (request %s)", request.method, request.url.path, code, request_id_of(request))
    else:
        log.info("%s %s refused: %s (request %s)", request.method, request.url.path, code, request_id_of(request))
    return problem(
        status,
        code,
        getattr(error, "sentence", "Something went wrong here."),
        request_id=request_id_of(request),
        detail=getattr(error, "detail", None),
        headers=_headers(request, error),
    )


def _headers(request: Request, error: Exception) -> dict[str, str]:
    """What RFC 6750 section 3 and RFC 9110 section 10.2.3 add."""
    if isinstance(error, TokenRefused | ScopeRefused):
        return challenge(request, error)
    retry_after_s = getattr(error, "retry_after_s", None)
    return {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


def answer_http_error(request: Request, error: Exception) -> Response:
    """For what the framework itself refuses: unknown paths, methods, unreadable bodies."""
    known = cast("HTTPException", error)
    codes = {404: "request.not_found", 405: "request.method", 413: "request.too_large"}
    sentences = {
        404: "There is nothing at this address.",
        405: "This address does not take that method; see the Allow header.",
        413: "The request is larger than this gateway accepts.",
    }
    return problem(
        known.status_code,
        codes.get(known.status_code, "request.refused"),
        sentences.get(known.status_code, "The request could not be read."),
        request_id=request_id_of(request),
        headers=known.headers,
    )


def answer_validation_error(request: Request, error: Exception) -> Response:
    """422 with the path of each field that is wrong; values are never repeated."""
    found = cast("RequestValidationError", error).errors()
    problems = [
        {
            "field": field_path(one.get("loc", ())),
            "problem": str(one.get("msg", "")).removeprefix("Value error, ")[:300],
        }
        for one in found[:MAX_PROBLEMS]
    ]
    return problem(
        422,
        "request.invalid",
        "The request is not valid; see `problems`.",
        request_id=request_id_of(request),
        detail={"problems": problems},
    )


def field_path(location: tuple[object, ...]) -> str:
    """`("body", "spaces", 0)` as `spaces.0`; other places keep their first word, as in `query.limit`."""
    steps = [str(step)[:100] for step in location if step != "[key]"]
    if steps[:1] == ["body"] and len(steps) > 1:
        steps = steps[1:]
    return ".".join(steps[:20])


def answer_in_problems(api: FastAPI) -> None:
    """Registers the handlers."""
    for base in BASES:
        api.add_exception_handler(base, answer_error)
    api.add_exception_handler(HTTPException, answer_http_error)
    api.add_exception_handler(RequestValidationError, answer_validation_error)
