"""A loopback server that does exactly what a test tells it: the misbehaving endpoint of a hostile or broken provider."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Scripted:
    """A running server and what it was asked so far."""

    port: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Answer(http.server.BaseHTTPRequestHandler):
    """What a script writes its answer with."""

    protocol_version = "HTTP/1.1"

    def whole(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A complete answer. headers: `_` stands for `-`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the base class's name
        """Says nothing."""


@contextlib.contextmanager
def scripted(script: Callable[[Answer], None]) -> Iterator[Scripted]:
    """Serves every request by `script`, in a thread each, until the block ends."""

    class Handler(Answer):
        def handle_any(self) -> None:
            server.asked.append(Asked(self.command, self.path, dict(self.headers.items())))
            with contextlib.suppress(OSError):  # the client may have had enough
                script(self)

        do_GET = do_HEAD = do_PUT = do_POST = handle_any  # noqa: N815  http.server's names

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is not news."""

    listener = Server(("127.0.0.1", 0), Handler)
    server = Scripted(listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
