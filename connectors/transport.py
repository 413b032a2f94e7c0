"""HTTP to other people's servers: only to checked addresses, never redirected, bounded in time and size.

Owns sockets and pools. Each connection resolves its host and connects to an address that `AddressRules` allowed, so a
name that changes its mind between check and connection is met by the same rules. Must never read outside `bounded`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import Retry, Timeout

from connectors.addresses import AddressRules
from connectors.errors import AuthorityRefused, Malformed, Redirected

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECT_S: Final = 5.0
READ_S: Final = 20.0
RETRIES: Final = 2
PER_HOST: Final = 16
"""Connections kept open to one server."""


@dataclass(slots=True)
class Allowance:
    """What is left to one operation. deadline: of `time.monotonic`."""

    deadline: float
    size_bytes: int

    def seconds(self) -> float:
        """Time left; raises TimeoutError when there is none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the operation took too long")
        return left

    def spend(self, size_bytes: int) -> None:
        """Counts bytes read. Raises Malformed."""
        self.size_bytes -= size_bytes
        if self.size_bytes < 0:
            raise Malformed("The server's answer is larger than any right one.")


_ALLOWANCE: ContextVar[Allowance] = ContextVar("allowance")


@contextlib.contextmanager
def bounded(seconds: float, size_bytes: int) -> Iterator[Allowance]:
    """Bounds all that this thread reads in the block, retries and pages included; never beyond an outer block's time."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(LookupError):
        deadline = min(deadline, _ALLOWANCE.get().deadline)
    allowance = Allowance(deadline, size_bytes)
    token = _ALLOWANCE.set(allowance)
    try:
        yield allowance
    finally:
        _ALLOWANCE.reset(token)


class _PlainSocket(socket.socket):
    """A server that sends one byte a minute, or bytes without end, meets the operation's bounds here."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        allowance = _ALLOWANCE.get()
        self.settimeout(min(READ_S, allowance.seconds()))
        count = super().recv_into(buffer, nbytes, flags)
        allowance.spend(count)
        return count


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        allowance = _ALLOWANCE.get()
        self.settimeout(min(READ_S, allowance.seconds()))
        count = super().recv_into(buffer, nbytes, flags)
        allowance.spend(count)
        return count


def _connect(connection: HTTPConnection, rules: AddressRules) -> socket.socket:
    """A socket to the first address of the connection's host that answers; every address was checked.

    Raises:
        AddressRefused: which urllib3 neither catches nor retries.
    """
    failure: OSError | None = None
    for address in rules.resolve(connection.host, connection.port):
        sock = _PlainSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(CONNECT_S, _ALLOWANCE.get().seconds()))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((address, connection.port))
        except OSError as error:
            sock.close()
            failure = error
            continue
        return sock
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, "no connection in time") from failure
    raise NewConnectionError(connection, "no connection") from failure


class CheckedPools(urllib3.PoolManager):
    """urllib3's pools with checked connections.

    ca_pem: trust these certificate authorities and no other; None: those of the system. tls: False spares loading them
    where only plain HTTP is spoken.

    Raises:
        AuthorityRefused: ca_pem holds no certificate.
    """

    def __init__(self, rules: AddressRules, ca_pem: str | None = None, *, tls: bool = True) -> None:
        super().__init__(
            num_pools=4,
            maxsize=PER_HOST,
            timeout=Timeout(connect=CONNECT_S, read=READ_S),
            retries=Retry(
                total=RETRIES,
                redirect=False,
                status_forcelist=(500, 502, 503, 504),
                allowed_methods=("GET", "HEAD"),
                backoff_factor=0.1,
                raise_on_status=False,
                respect_retry_after_header=False,  # the wait is ours to bound
            ),
            ssl_context=_context(ca_pem) if tls or ca_pem is not None else None,
        )

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(self, rules)

        class Tls(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(self, rules)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(HTTPSConnectionPool):
            ConnectionCls = Tls

        self.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    def urlopen(  # type: ignore[override]  # urllib3 types `redirect` as ours to choose; here it is not
        self, method: str, url: str, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """As urllib3's, but an answer that points elsewhere is refused. Raises Redirected."""
        options["redirect"] = False
        response = super().urlopen(method, url, **options)
        if 300 <= response.status < 400 and response.status != 304:
            response.close()
            raise Redirected("The endpoint sends requests elsewhere. Register the place where the files are.")
        return response


def _context(ca_pem: str | None) -> ssl.SSLContext:
    if ca_pem is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=ca_pem)
        except (ssl.SSLError, ValueError) as error:
            raise AuthorityRefused("The private certificate authority is not a PEM certificate.") from error
        if not context.get_ca_certs():
            raise AuthorityRefused("The private certificate authority holds no authority's certificate.")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TlsSocket
    return context
