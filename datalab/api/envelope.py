"""What holds for every request and answer: its id, its headers, and that nothing unforeseen reaches the client.

The outermost layer, plain ASGI so that streams pass through untouched. Must never buffer an answer, and must never say
more about an unforeseen error than that it happened.
"""

from __future__ import annotations

import logging
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datalab.api.problems import problem

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ANSWER_CACHING = "private, no-store"

log = logging.getLogger(__name__)


class Envelope:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope["datalab.request_id"] = request_id
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _complete(MutableHeaders(scope=message), scope, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("%s %s failed unforeseen (request %s)", scope["method"], scope["path"], request_id)
            if started:
                raise  # the server cuts the connection: a truncated answer must not look whole
            answer = problem(500, "internal", "Something went wrong here.", request_id=request_id)
            await answer(scope, receive, send_with_headers)


def _complete(headers: MutableHeaders, scope: Scope, request_id: str) -> None:
    headers["Datalab-Request-Id"] = request_id
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if "cache-control" not in headers:
        headers["Cache-Control"] = ANSWER_CACHING
    headers.add_vary_header("Authorization")
