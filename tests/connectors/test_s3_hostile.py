"""Endpoints that misbehave: each ends in a refusal, in bounded time, and learns nothing it should not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.entities import Storage, StorageKind
from connectors import s3, s3_file, transport
from connectors.addresses import AddressRules
from connectors.contract import FileIdentity
from connectors.credentials import Credentials
from connectors.errors import (
    AccessDenied,
    AddressRefused,
    CredentialsRefused,
    FileChanged,
    Malformed,
    NotFound,
    Redirected,
    StorageError,
    StorageFailed,
    Unreachable,
)
from connectors.s3 import S3Connector
from tests.connectors.conftest import LOOPBACK
from tests.servers.scripted import Answer, scripted

Script = Callable[[Answer], None]
SECRET = "the-secret-of-the-key"


def connector(endpoint: str, directory: Path, rules: AddressRules = LOOPBACK) -> S3Connector:
    storage = Storage(id="s", participant="p", kind=StorageKind.S3, endpoint=endpoint, bucket="bucket")
    return S3Connector(storage, Credentials(key_id="key", secret=SECRET), rules=rules, ca_directory=directory)


def listing(*keys: str, token: str | None = None) -> bytes:
    contents = "".join(
        f'<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"e"</ETag><Size>1</Size>'
        "</Contents>"
        for key in keys
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>bucket</Name><EncodingType>url</EncodingType>{more}{contents}</ListBucketResult>"
    ).encode()


def failing(code: str, status: int) -> Script:
    body = f"<Error><Code>{code}</Code><Message>{SECRET} of somebody else</Message></Error>".encode()
    return lambda answer: answer.whole(status, body, Content_Type="application/xml")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_never_followed(status: int, tmp_path: Path) -> None:
    with scripted(lambda answer: answer.whole(200)) as other:

        def script(answer: Answer) -> None:
            answer.whole(status, b"", Location=f"{other.endpoint}{answer.path}")

        with scripted(script) as server, connector(server.endpoint, tmp_path) as storage:
            identity = FileIdentity(path="a.parquet", size_bytes=4, etag="e")
            for call in (
                lambda: list(storage.list("")),
                lambda: storage.identify(["a.parquet"]),
                lambda: storage.open("a.parquet"),
                lambda: storage.open("a.parquet", identity).read(),
            ):
                with pytest.raises(Redirected):
                    call()
        assert other.asked == []


def test_a_redirect_to_another_region_is_refused(tmp_path: Path) -> None:
    def script(answer: Answer) -> None:
        answer.whole(301, b"", x_amz_bucket_region="elsewhere-1")

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage, pytest.raises(Redirected):
        storage.identify(["a.parquet"])


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("InvalidAccessKeyId", 403, CredentialsRefused), ("SignatureDoesNotMatch", 403, CredentialsRefused),
        ("ExpiredToken", 400, CredentialsRefused), ("RequestTimeTooSkewed", 403, CredentialsRefused),
        ("AuthorizationHeaderMalformed", 400, CredentialsRefused), ("AccessDenied", 403, AccessDenied),
        ("NoSuchBucket", 404, NotFound), ("PermanentRedirect", 400, Redirected), ("SlowDown", 503, Unreachable),
        ("InternalError", 500, Unreachable), ("Unheard", 418, Malformed), ("Unheard", 403, AccessDenied),
        ("Unheard", 401, CredentialsRefused),
    ],
)  # fmt: skip
def test_an_error_is_told_in_our_words_only(code: str, status: int, error: type[StorageError], tmp_path: Path) -> None:
    with (
        scripted(failing(code, status)) as server,
        connector(server.endpoint, tmp_path) as storage,
        pytest.raises(error) as caught,
    ):
        list(storage.list(""))
    assert SECRET not in f"{caught.value} {caught.value.detail} {caught.value!r}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>hello</html>", b"not xml", b"\xff\xfe\x00", b"<ListBucketResult/>", b"<a>" * 5000,
        listing("a.parquet").replace(b"<Size>1", b"<Size>x"), listing("a.parquet").replace(b"2026", b"nonsense"),
        listing("a.parquet").replace(b'"e"', b""), listing("a.parquet").replace(b"<Size>1</Size>", b""),
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;</a>',
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_is_not_s3_is_refused(body: bytes, status: int, tmp_path: Path) -> None:
    def script(answer: Answer) -> None:
        if answer.command == "HEAD":
            answer.whole(404)
        else:
            answer.whole(status, body, Content_Type="application/xml")

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage, pytest.raises(StorageError):
        list(storage.list(""))


def test_an_object_without_an_etag_cannot_be_identified(tmp_path: Path) -> None:
    with (
        scripted(lambda answer: answer.whole(200, b"data")) as server,
        connector(server.endpoint, tmp_path) as storage,
        pytest.raises(Malformed),
    ):
        storage.identify(["a.parquet"])


@pytest.mark.parametrize(
    "key",
    ["x%252e%252e%252fy.parquet", "a%3Fs3_endpoint%3Dx.parquet", "%5B1%5D.parquet", "a//b.parquet", "a%0Ab.parquet"],
)
def test_a_hostile_key_in_a_listing_is_refused(key: str, tmp_path: Path) -> None:
    with (
        scripted(lambda answer: answer.whole(200, listing(key))) as server,
        connector(server.endpoint, tmp_path) as storage,
        pytest.raises(StorageError) as caught,
    ):
        list(storage.list(""))
    assert caught.value.code == "storage.path"


def test_keys_outside_the_prefix_are_refused(tmp_path: Path) -> None:
    def script(answer: Answer) -> None:
        if answer.command == "HEAD":
            answer.whole(404)
        else:
            answer.whole(200, listing("elsewhere/a.parquet"))

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage, pytest.raises(Malformed):
        list(storage.list("here"))


def test_a_listing_without_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_LIST_S", 2.0)

    def script(answer: Answer) -> None:
        answer.whole(200, listing(token="again"))

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage:
        started = time.monotonic()
        with pytest.raises(StorageFailed):
            list(storage.list(""))
    assert time.monotonic() - started < 20


def test_a_listing_of_other_things_without_end_is_bounded(tmp_path: Path) -> None:
    keys = [f"{number}.txt" for number in range(1000)]

    def script(answer: Answer) -> None:
        answer.whole(200, listing(*keys, token="again"))

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage:
        with pytest.raises(StorageError) as caught:
            list(storage.list("", limit=200))
        assert caught.value.code == "storage.too_many"
        assert len(server.asked) <= 4


def test_an_answer_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PAGE_BYTES", 1_000_000)
    sent = 0

    def script(answer: Answer) -> None:
        nonlocal sent
        answer.send_response(200)
        answer.send_header("Content-Type", "application/xml")
        answer.end_headers()
        while True:
            answer.wfile.write(b" " * 65536)
            sent += 65536

    with (
        scripted(script) as server,
        connector(server.endpoint, tmp_path) as storage,
        pytest.raises(Malformed, match="larger"),
    ):
        list(storage.list(""))
    assert sent < 20_000_000


def test_headers_without_end_are_cut(tmp_path: Path) -> None:
    def script(answer: Answer) -> None:
        answer.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            answer.wfile.write(b"X-More: " + b"a" * 60000 + b"\r\n")

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage, pytest.raises(StorageFailed):
        storage.identify(["a.parquet"])


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_HEAD_S", 1.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        connector(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path) as storage,
    ):
        started = time.monotonic()
        with pytest.raises(Unreachable):
            storage.identify(["a.parquet"])
    assert time.monotonic() - started < 10


def test_a_server_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_LIST_S", 1.0)

    def script(answer: Answer) -> None:
        answer.send_response(200)
        answer.send_header("Content-Length", "1000000")
        answer.end_headers()
        for _ in range(1000):
            answer.wfile.write(b" ")
            time.sleep(0.05)

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage:
        started = time.monotonic()
        with pytest.raises(StorageFailed):
            list(storage.list(""))
    assert time.monotonic() - started < 10


def test_a_server_that_fails_now_and_then_is_asked_again(tmp_path: Path) -> None:
    failures = iter([503, 500])

    def script(answer: Answer) -> None:
        answer.whole(next(failures, 200), b"data", ETag='"e"')

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage:
        (found,) = storage.identify(["a.parquet"])
    assert found is not None
    assert len(server.asked) == 3


def test_a_server_that_always_fails_is_asked_a_bounded_number_of_times(tmp_path: Path) -> None:
    def script(answer: Answer) -> None:
        answer.whole(503, b"", Retry_After="3600")

    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage, pytest.raises(Unreachable):
        storage.identify(["a.parquet"])
    assert len(server.asked) == transport.RETRIES + 1


def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with connector(f"http://127.0.0.1:{port}", tmp_path) as storage, pytest.raises(Unreachable):
        storage.identify(["a.parquet"])


def test_a_name_that_turns_to_a_forbidden_address_after_the_check_is_not_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = ["93.184.215.14"]

    def answer(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        address = public.pop() if public else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with scripted(lambda answer: answer.whole(200)) as server:
        rules = AddressRules(schemes=frozenset({"http"}))
        endpoint = f"http://rebinding.example.org:{server.port}"
        rules.check(endpoint)
        with connector(endpoint, tmp_path, rules) as storage, pytest.raises(AddressRefused):
            storage.identify(["a.parquet"])
        assert server.asked == []


def test_no_connection_is_made_to_an_address_that_is_not_allowed(tmp_path: Path) -> None:
    with scripted(lambda answer: answer.whole(200)) as server:
        rules = AddressRules(schemes=frozenset({"http"}))
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with connector(f"http://{host}:{server.port}", tmp_path, rules) as storage:
                for call in (lambda: list(storage.list("")), storage.engine_access):
                    with pytest.raises(AddressRefused):
                        call()
        assert server.asked == []


def _reading(script: Script, tmp_path: Path, *, size: int = 100) -> bytes:
    with scripted(script) as server, connector(server.endpoint, tmp_path) as storage:
        file = storage.open("a.parquet", FileIdentity(path="a.parquet", size_bytes=size, etag="e"))
        file.seek(10)
        return file.read(20)


def test_a_range_comes_back_as_asked(tmp_path: Path) -> None:
    body = bytes(range(100))

    def script(answer: Answer) -> None:
        assert (answer.headers["Range"], answer.headers["If-Match"]) == ("bytes=10-29", '"e"')
        answer.whole(206, body[10:30], ETag='"e"', Content_Range="bytes 10-29/100")

    assert _reading(script, tmp_path) == body[10:30]


@pytest.mark.parametrize(
    ("status", "length", "stamp", "place", "error"),
    [
        (206, 20, '"other"', "bytes 10-29/100", FileChanged), (206, 20, '"e"', "bytes 11-30/100", Malformed),
        (206, 20, '"e"', "bytes 10-29/101", Malformed), (200, 100, '"e"', "", Malformed),
        (206, 19, '"e"', "bytes 10-29/100", Unreachable), (412, 0, "", "", FileChanged), (416, 0, "", "", FileChanged),
    ],
)  # fmt: skip
def test_a_range_that_is_not_the_one_asked_for_is_refused(
    status: int, length: int, stamp: str, place: str, error: type[StorageError], tmp_path: Path
) -> None:
    def script(answer: Answer) -> None:
        answer.whole(status, b"x" * length, ETag=stamp, Content_Range=place)

    with pytest.raises(error):
        _reading(script, tmp_path)


def test_a_compressed_answer_is_not_unpacked(tmp_path: Path) -> None:
    def script(answer: Answer) -> None:
        answer.whole(206, b"\x1f\x8b" + b"x" * 18, ETag='"e"', Content_Range="bytes 10-29/100", Content_Encoding="gzip")

    assert _reading(script, tmp_path)[:2] == b"\x1f\x8b"


def test_an_answer_that_breaks_off_is_tried_once_more(tmp_path: Path) -> None:
    tries: list[int] = []

    def script(answer: Answer) -> None:
        tries.append(1)
        answer.send_response(206)
        answer.send_header("ETag", '"e"')
        answer.send_header("Content-Range", "bytes 10-29/100")
        answer.send_header("Content-Length", "20")
        answer.end_headers()
        answer.wfile.write(b"y" * (20 if len(tries) > 1 else 5))
        answer.close_connection = True

    assert _reading(script, tmp_path) == b"y" * 20
    assert len(tries) == 2


def test_an_answer_that_always_breaks_off_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_file, "_PATIENCE_S", 5.0)

    def script(answer: Answer) -> None:
        answer.send_response(206)
        answer.send_header("ETag", '"e"')
        answer.send_header("Content-Range", "bytes 10-29/100")
        answer.send_header("Content-Length", "20")
        answer.end_headers()
        answer.close_connection = True

    with pytest.raises(Unreachable):
        _reading(script, tmp_path)
