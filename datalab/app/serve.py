"""Serving: one process with one listening socket, made before the application so that its address is known to it.

Owns the HTTP server's options. Must never believe a proxy's headers that the operator did not name.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import uvicorn
from starlette.types import ASGIApp

from datalab.app.logs import configure_logs
from datalab.app.settings import Settings

Build = Callable[[str], AbstractContextManager[ASGIApp]]
"""From the public URL to the application, for as long as the block runs."""

BACKLOG = 2048


def serve(settings: Settings, build: Build, *, ready: Callable[[str], None]) -> None:
    """Serves until the process is told to stop. ready: called with the public URL once requests are answered.

    Raises OSError if the address cannot be had, and what `build` raises.
    """
    configure_logs(settings.log)
    with listen(settings.server.host, settings.server.port) as listening:
        public_url = settings.server.public_url or url_of(listening)
        with build(public_url) as app:
            _Server(_config(settings, app), lambda: ready(public_url)).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def url_of(listening: socket.socket) -> str:
    """The address of a socket on a loopback interface."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"http://{host}:{port}"


def _config(settings: Settings, app: ASGIApp) -> uvicorn.Config:
    server = settings.server
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(server.trusted_proxies),
        forwarded_allow_ips=list(server.trusted_proxies),
        limit_concurrency=server.max_connections,
        timeout_graceful_shutdown=server.shutdown_timeout_s,
    )


class _Server(uvicorn.Server):
    """Tells when it is ready, which uvicorn only logs."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
