"""What a request must be before any endpoint sees it: of bounded size, and made of characters and numbers that every
part behind can hold.

Owns these checks for all endpoints at once. Must never interpret a body: it only refuses what nobody should have to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from email.message import Message as Header

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datalab.api.errors import BadRequest, BodyTooLarge, MediaTypeRefused, RequestRefused
from datalab.api.problems import answer_error

MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 60
MAX_INTEGER = 2**63
JSON_ONLY = "/api/"


class Intake:
    """max_body_bytes: of one request, as sent."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            _check_address(scope)
            body = await self._read(request, receive)
            if body:
                _check_body(request, body)
        except RequestRefused as refused:
            await answer_error(request, refused)(scope, receive, send)
            return
        if body is None:
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, request: Request, receive: Receive) -> bytes | None:
        """The whole body; None: the client went away."""
        declared = request.headers.get("content-length", "0")
        if not declared.isascii() or not declared.isdigit():
            raise BadRequest("request.header", "Content-Length is not a number.")
        if int(declared) > self._max_body_bytes:
            raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._max_body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(pieces)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            "request.too_large", "The request is larger than this gateway accepts.", max_bytes=self._max_body_bytes
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body once, then what the client does next (which is to go away)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _check_address(scope: Scope) -> None:
    path = scope["path"]
    if any(character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in path):
        raise BadRequest("request.characters", "The address contains control characters.")
    if b"%00" in scope.get("query_string", b""):
        raise BadRequest("request.characters", "The query contains a NUL character.")


def _check_body(request: Request, body: bytes) -> None:
    if is_json(request.headers.get("content-type", "")):
        check_json(body)
    elif request.url.path.startswith(JSON_ONLY):
        raise MediaTypeRefused("request.media_type", "Send JSON, with Content-Type: application/json.")


def is_json(content_type: str) -> bool:
    """`application/json` or any `application/...+json`, whatever its parameters."""
    header = Header()
    header["content-type"] = content_type
    subtype = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def check_json(body: bytes) -> None:
    """Raises BadRequest for what is no JSON (RFC 8259), or has NUL characters, lone surrogates, duplicate members, numbers
    beyond 64 bits, or more than `MAX_DEPTH` levels.
    """
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise BadRequest("request.json", "The body is not JSON that this gateway reads.") from None
    for value in _scalars(document):
        if isinstance(value, str):
            if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise BadRequest("request.characters", "A text contains a NUL character or half of a character.")
        elif isinstance(value, int):
            if not -MAX_INTEGER <= value < MAX_INTEGER:
                raise BadRequest("request.json", "A number is too large: send it as a text.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise BadRequest("request.json", "A number is too large: send it as a text.")


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _scalars(document: object) -> Iterator[object]:
    """Every scalar and every member name, level by level."""
    level: list[object] = [document]
    for _depth in range(MAX_DEPTH):
        deeper: list[object] = []
        for value in level:
            if isinstance(value, dict):
                yield from value
                deeper.extend(value.values())
            elif isinstance(value, list):
                deeper.extend(value)
            else:
                yield value
        if not deeper:
            return
        level = deeper
    raise BadRequest("request.json", "The body is nested too deeply.")
