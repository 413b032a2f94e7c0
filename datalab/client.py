"""A small client of a datalab gateway, for Python programs: fetches tokens, sends SQL, and never takes half an answer for a whole.

Stands alone: it needs httpx2, and pyarrow for tables only. Must never import anything else of the house.

    with Client("https://data.example.org", "acme_0123", os.environ["DATALAB_CLIENT_SECRET"]) as gateway:
        table = gateway.table("SELECT country, count(*) AS n FROM health.cohort GROUP BY country")
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Client", "GatewayError", "Rows", "Token", "Truncated"]

ARROW = "application/vnd.apache.arrow.stream"
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
EARLY_S = 30.0
Params = Sequence[Any] | Mapping[str, Any]


class GatewayError(Exception):
    """The gateway said no. code: stable, such as `decision.not_found`; problem: the whole RFC 9457 document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code") or problem.get("error") or f"http.{status}")
        sentence = problem.get("detail") or problem.get("error_description") or f"The gateway answered {status}."
        super().__init__(f"{sentence} ({self.code})")


class Truncated(Exception):
    """The answer broke off. query_id: ask `/api/v1/queries/{query_id}` what happened."""

    def __init__(self, query_id: str | None) -> None:
        self.query_id = query_id
        super().__init__(f"The answer broke off; what happened is at /api/v1/queries/{query_id}.")


@dataclass(frozen=True, slots=True)
class Token:
    """expires_at: by `time.time()`."""

    text: str = field(repr=False)
    expires_at: float

    @property
    def is_fresh(self) -> bool:
        return time.time() < self.expires_at - EARLY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A result as JSON carries it: integers beyond 2^53 and decimals as texts."""

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]] = field(repr=False)
    truncated: bool
    query_id: str | None
    versions: str | None


class Client:
    """One client's way into one gateway; close it, or use it in a `with`. Not for several threads at once."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None = None,
        token: Token | None = None,
        timeout_s: float = 120.0,
        http: httpx2.Client | None = None,
    ) -> None:
        """url: the gateway's origin. scope: fewer scopes than the client has. token: one that was kept from before."""
        self._url = url.rstrip("/")
        self._credentials = (client_id, client_secret)
        self._scope = scope
        self._token = token
        self._http = http or httpx2.Client(timeout=timeout_s, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def token(self, *, renew: bool = False) -> Token:
        """A token that lives at least `EARLY_S` more; fetched if need be. Raises GatewayError."""
        if renew or self._token is None or not self._token.is_fresh:
            form = {"grant_type": "client_credentials", **({"scope": self._scope} if self._scope else {})}
            began = time.time()
            answer = self._http.post(f"{self._url}/oauth/token", data=form, auth=self._credentials)
            _require_success(answer)
            fetched = answer.json()
            self._token = Token(fetched["access_token"], began + float(fetched["expires_in"]))
        return self._token

    def query(self, sql: str, params: Params | None = None, **options: Any) -> Rows:
        """Runs one SELECT and returns its rows. options: max_rows, versions, agreements, mode, as in the HTTP interface.

        Raises GatewayError, Truncated.
        """
        with self.answer("application/json", sql, params, **options) as answer:
            body = b"".join(_pieces(answer))
            try:
                document = json.loads(body)
            except ValueError:
                raise Truncated(answer.headers.get("Datalab-Query-Id")) from None
        return Rows(
            columns=tuple((column["name"], column["type"]) for column in document["columns"]),
            rows=document["rows"],
            truncated=document["truncated"],
            query_id=answer.headers.get("Datalab-Query-Id"),
            versions=answer.headers.get("Datalab-Versions"),
        )

    def table(self, sql: str, params: Params | None = None, **options: Any) -> pa.Table:
        """Runs one SELECT and returns an Arrow table; the same options and errors as `query`. Needs pyarrow."""
        try:
            import pyarrow as pa
        except ImportError as error:
            raise ImportError("Arrow tables need pyarrow: pip install pyarrow") from error
        with self.answer(ARROW, sql, params, **options) as answer:
            body = b"".join(_pieces(answer))
            # A reader of Arrow takes a stream without its end for a whole one; we do not.
            if not body.endswith(END_OF_STREAM):
                raise Truncated(answer.headers.get("Datalab-Query-Id"))
        return pa.ipc.open_stream(body).read_all()

    def save(self, media_type: str, sql: str, params: Params | None = None, **options: Any) -> Iterator[bytes]:
        """Runs one SELECT and yields the answer's bytes in the format of that media type. Raises Truncated at a break."""
        with self.answer(media_type, sql, params, **options) as answer:
            yield from _pieces(answer)

    def explain(self, sql: str, params: Params | None = None, **options: Any) -> dict[str, Any]:
        """What the same call of `query` would be allowed to see, and why; nothing is run. Raises GatewayError."""
        with self.answer("application/json", sql, params, path="/api/v1/explain", **options) as answer:
            answer.read()
            document: dict[str, Any] = answer.json()
        return document

    @contextmanager
    def answer(
        self, media_type: str, sql: str, params: Params | None, *, path: str = "/api/v1/query", **options: Any
    ) -> Iterator[httpx2.Response]:
        """The open answer of the gateway, not yet read."""
        body = {"sql": sql, **{name: value for name, value in options.items() if value is not None}}
        if params is not None:
            body["params"] = params
        renew = False
        while True:
            headers = {"Authorization": f"Bearer {self.token(renew=renew).text}", "Accept": media_type}
            with self._http.stream("POST", f"{self._url}{path}", json=body, headers=headers) as answer:
                if answer.status_code == httpx2.codes.UNAUTHORIZED and not renew:
                    renew = True  # revoked, or the gateway has new keys: one more try with a new token
                    continue
                if answer.status_code != httpx2.codes.OK:
                    answer.read()
                _require_success(answer)
                yield answer
                return


def _pieces(answer: httpx2.Response) -> Iterator[bytes]:
    try:
        yield from answer.iter_bytes()
    except httpx2.RemoteProtocolError:
        raise Truncated(answer.headers.get("Datalab-Query-Id")) from None


def _require_success(answer: httpx2.Response) -> None:
    if answer.status_code == httpx2.codes.OK:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    raise GatewayError(answer.status_code, problem if isinstance(problem, dict) else {})
