"""The stand-alone client against a scripted gateway: answers that break off, tokens that end, refusals."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest

import datalab.client
from datalab.client import ARROW, END_OF_STREAM, Client, GatewayError, Truncated

Answer = Callable[[BaseHTTPRequestHandler], None]


class Scripted:
    """Answers tokens by counting, and queries by the script."""

    def __init__(self) -> None:
        self.tokens = 0
        self.queries: list[tuple[str, dict[str, Any]]] = []
        self.script: list[Answer] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/oauth/token":
                    scripted.tokens += 1
                    token = {"access_token": f"t{scripted.tokens}", "token_type": "Bearer", "expires_in": 900}
                    whole(json.dumps(token).encode())(self)
                    return
                scripted.queries.append((self.headers["Authorization"], json.loads(body)))
                scripted.script.pop(0)(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def whole(body: bytes, status: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Datalab-Query-Id", "q1")
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def chunked(body: bytes, *, end: bool) -> Answer:
    """end: whether the last chunk is sent; without it the connection is cut."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Datalab-Query-Id", "q1")
        handler.end_headers()
        handler.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n" + (b"0\r\n\r\n" if end else b""))
        handler.close_connection = True

    return answer


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    running = Scripted()
    thread = Thread(target=running.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@pytest.fixture
def client(scripted: Scripted) -> Iterator[Client]:
    with Client(scripted.url, "id", "secret") as opened:
        yield opened


def arrow_stream() -> bytes:
    table = pa.table({"n": pa.array([1, 2, 3])})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_a_whole_arrow_stream_is_a_table(scripted: Scripted, client: Client) -> None:
    scripted.script = [chunked(arrow_stream(), end=True)]
    assert client.table("SELECT 1", [5], max_rows=3).column("n").to_pylist() == [1, 2, 3]
    authorization, body = scripted.queries[0]
    assert authorization == "Bearer t1"
    assert body == {"sql": "SELECT 1", "params": [5], "max_rows": 3}


@pytest.mark.parametrize("end", [True, False])
def test_an_arrow_stream_without_its_end_is_truncated(scripted: Scripted, client: Client, end: bool) -> None:
    cut = arrow_stream().removesuffix(END_OF_STREAM)
    scripted.script = [chunked(cut, end=end)]
    with pytest.raises(Truncated) as broken:
        client.table("SELECT 1")
    assert broken.value.query_id == "q1"


@pytest.mark.parametrize("media_type", [ARROW, "text/csv"])
def test_a_cut_connection_is_truncated_in_every_format(scripted: Scripted, client: Client, media_type: str) -> None:
    scripted.script = [chunked(b"a,b\n1,2\n", end=False)]
    with pytest.raises(Truncated):
        list(client.save(media_type, "SELECT 1"))


def test_rows_carry_what_the_answer_says(scripted: Scripted, client: Client) -> None:
    document = {"columns": [{"name": "a", "type": "INTEGER"}], "rows": [[1]], "row_count": 1, "truncated": True}
    scripted.script = [whole(json.dumps(document).encode())]
    rows = client.query("SELECT 1")
    assert (rows.columns, rows.rows, rows.truncated, rows.query_id) == ((("a", "INTEGER"),), [[1]], True, "q1")


def test_a_json_answer_that_breaks_off_is_truncated(scripted: Scripted, client: Client) -> None:
    scripted.script = [chunked(b'{"columns": [], "rows": [[1', end=True)]
    with pytest.raises(Truncated):
        client.query("SELECT 1")


def test_a_revoked_token_is_replaced_once(scripted: Scripted, client: Client) -> None:
    no = whole(b'{"code": "token.revoked", "detail": "The token was revoked."}', 401)
    scripted.script = [no, chunked(arrow_stream(), end=True)]
    assert client.table("SELECT 1").num_rows == 3
    assert [authorization for authorization, _ in scripted.queries] == ["Bearer t1", "Bearer t2"]
    scripted.script = [no, no]
    with pytest.raises(GatewayError) as refused:
        client.table("SELECT 1")
    assert refused.value.code == "token.revoked"


def test_a_refusal_keeps_its_code_and_its_sentence(scripted: Scripted, client: Client) -> None:
    scripted.script = [whole(b'{"code": "decision.not_found", "detail": "There is no such dataset."}', 404)]
    with pytest.raises(GatewayError, match="There is no such dataset") as refused:
        client.query("SELECT 1")
    assert (refused.value.status, refused.value.code) == (404, "decision.not_found")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]"])
def test_a_refusal_that_is_no_problem_document_is_still_one(scripted: Scripted, client: Client, body: bytes) -> None:
    scripted.script = [whole(body, 502)]
    with pytest.raises(GatewayError) as refused:
        client.query("SELECT 1")
    assert refused.value.code == "http.502"


def test_tokens_and_secrets_are_not_shown_by_repr(client: Client) -> None:
    assert "t1" not in repr(client.token())


def test_the_client_imports_nothing_of_the_house() -> None:
    tree = ast.parse(Path(datalab.client.__file__).read_text())
    modules = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not {name.split(".")[0] for name in modules} & {"datalab", "connectors", "catalog", "policies"}
