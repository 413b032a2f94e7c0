"""The request stage: HTTP -> Query, and an Answer back as HTTP. `POST /api/v1/query`.

Owns the request's form, the choice of a format, and the rule that an answer which broke off never ends like a whole one.
Must never look into the bytes it sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from datalab.api.auth import caller, caller_again
from datalab.api.errors import NotAcceptable
from datalab.api.services import Provided
from datalab.flow.errors import FlowError
from datalab.flow.principal import Principal
from datalab.flow.request import Format, Mode, Query
from datalab.flow.run import Answer
from datalab.flow.token import Scope

log = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1", tags=["query"])

Scalar = str | int | float | bool | None
Result = TypeVar("Result")

MAX_PARAMS = 1000


class QueryBody(BaseModel):
    """One SELECT over datasets named `space.name`, and how to answer it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sql: Annotated[str, Field(min_length=1, description="One SELECT; datasets are named `space.name`.")]
    params: Annotated[
        Annotated[list[Scalar], Field(max_length=MAX_PARAMS)]
        | Annotated[dict[str, Scalar], Field(max_length=MAX_PARAMS)]
        | None,
        Field(description="Values for `?` and `$1` (a list) or `$name` (an object). Bound, never spliced."),
    ] = None
    versions: Annotated[
        dict[str, Annotated[int, Field(ge=1)]] | None,
        Field(max_length=100, description="Version to read of a dataset, by `space.name`; the newest otherwise."),
    ] = None
    agreements: Annotated[list[str] | None, Field(max_length=100)] = None
    mode: Annotated[str | None, Field(pattern="^(query|aggregate)$")] = None
    max_rows: Annotated[
        int | None, Field(ge=0, description="Answer with at most so many rows; the answer says if there were more.")
    ] = None

    def query(self, format_: Format) -> Query:
        return Query(
            sql=self.sql,
            params=self.params if self.params is not None else (),
            versions=self.versions or {},
            agreements=tuple(self.agreements or ()),
            mode=Mode(self.mode) if self.mode else None,
            max_rows=self.max_rows,
            format=format_,
        )


@router.post(
    "/query",
    response_class=Response,
    responses={200: {"description": "The result.", "content": {format_.value: {} for format_ in Format}}},
)
async def post_query(
    request: Request,
    body: QueryBody,
    services: Provided,
    principal: Annotated[Principal, Depends(caller(Scope.DATA_QUERY))],
) -> Response:
    """Run one SELECT under the caller's policies and stream the result in the format that Accept asks for."""
    query = body.query(choose_format(request.headers.get("accept", "")))
    answer = await unless_disconnected(request, services.flow.answer(principal, query))
    if answer is None:
        return Response(status_code=499)  # nobody is there to read it
    return AnswerResponse(answer, query.format, caller_again(request))


class AnswerResponse(Response):
    """An answer as an HTTP body: with its length when it is whole already, chunked otherwise."""

    def __init__(self, answer: Answer, format_: Format, still_caller: Callable[[], Principal]) -> None:
        self._answer = answer
        self._still_caller = still_caller
        self.status_code = 200
        self.background = None
        charset = "; charset=utf-8" if format_ is Format.CSV else ""
        headers = {
            "Content-Type": format_.value + charset,
            "Datalab-Query-Id": answer.query_id,
            "Datalab-Versions": ", ".join(f"{name}={number}" for name, number in sorted(answer.versions.items())),
            "Vary": "Accept",
        }
        if answer.size_bytes is not None:
            headers["Content-Length"] = str(answer.size_bytes)
        if answer.truncated is not None:
            headers["Datalab-Truncated"] = "true" if answer.truncated else "false"
        self.raw_headers = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        async def send_chunk(chunk: memoryview) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        relay = asyncio.ensure_future(self._answer.relay(send_chunk, self._still_caller))
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not relay.done():
                relay.cancel()
                with contextlib.suppress(asyncio.CancelledError, FlowError):
                    await relay
                return
            relay.result()
        except FlowError as error:
            log.info("query %s broke off: %s", self._answer.query_id, error.code)
            return  # without the last chunk: the server closes the connection, and no client takes this for a whole answer
        finally:
            gone.cancel()
            relay.cancel()  # nothing to do where it is done; ends it where the server itself is ended
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def disconnected(receive: Callable[[], Awaitable[Message]]) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_disconnected(request: Request, work: Awaitable[Result]) -> Result | None:
    """The work's result; None, with the work cancelled, if the client went away first."""
    running = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, FlowError):
            await running
        return None
    finally:
        gone.cancel()


def choose_format(accept: str) -> Format:
    """The best format of an Accept header (RFC 9110 section 12.5.1): highest q, then the more specific, then the order here.

    Raises:
        NotAcceptable: none of ours is accepted.
    """
    ranges = [parse_range(part) for part in accept.split(",") if part.strip()]
    if not ranges:
        return Format.JSON
    best: tuple[float, int] = (0.0, 0)
    chosen: Format | None = None
    for format_ in (Format.JSON, Format.ARROW, Format.PARQUET, Format.CSV, Format.NDJSON):
        fitting = [(specificity, quality) for kind, quality in ranges if (specificity := fits(kind, format_)) > 0]
        if not fitting:
            continue
        specificity, quality = max(fitting)
        if quality > 0 and (quality, specificity) > best:
            best, chosen = (quality, specificity), format_
    if chosen is None:
        raise NotAcceptable(
            "request.accept",
            "None of the accepted media types is one that a result can be sent in.",
            available=[format_.value for format_ in Format],
        )
    return chosen


def fits(kind: str, format_: Format) -> int:
    """How specifically a media range names a format: 3 exactly, 2 by its type, 1 by `*/*`, 0 not at all."""
    if kind == format_.value:
        return 3
    if kind == f"{format_.value.partition('/')[0]}/*":
        return 2
    return 1 if kind == "*/*" else 0


def parse_range(text: str) -> tuple[str, float]:
    """A media range and its quality; parameters other than `q` are ignored, a malformed `q` counts as 0."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
            if not 0.0 <= quality <= 1.0:
                quality = 0.0
    return kind, quality
