"""What the engine does with a storage's access: the facts of docs/decisions/0004, on the pinned DuckDB.

A test here that fails after a change of version says which promise of the gateway no longer holds.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from catalog.entities import Storage, StorageKind
from connectors.contract import Connector, EngineAccess
from connectors.credentials import Credentials
from connectors.s3 import S3Connector
from datalab.flow import worker
from datalab.flow.worker import secret_statement
from tests.connectors.conftest import LOOPBACK, LocalPlace, Place, S3Place, parquet
from tests.servers.certificates import make_certificates
from tests.servers.scripted import Answer, scripted

Opened = Callable[..., duckdb.DuckDBPyConnection]


def extension() -> str:
    found = importlib.util.find_spec("duckdb_extension_httpfs")
    assert found is not None
    assert found.origin is not None
    return str(next(Path(found.origin).parent.glob(f"extensions/v{duckdb.__version__}/httpfs.duckdb_extension")))


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens locked instances that hold the given accesses and no other."""
    connections: list[duckdb.DuckDBPyConnection] = []

    def open_(*accesses: EngineAccess, settings: Sequence[str] = ()) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={"autoinstall_known_extensions": False, "threads": 1})
        connections.append(connection)
        connection.execute(f"LOAD '{extension()}'")
        connection.execute("SET http_retries=0")
        for number, access in enumerate(accesses):
            if access.kind == "s3":
                connection.execute(secret_statement(number, access.message()))
            if access.ca_file:
                connection.execute(f"SET ca_cert_file='{access.ca_file}'")
        for statement in settings:
            connection.execute(statement)
        scopes = ", ".join(f"'{access.scope}'" for access in accesses)
        connection.execute(f"SET allowed_directories=[{scopes}]")
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        return connection

    yield open_
    for connection in connections:
        connection.close()


def count(connection: duckdb.DuckDBPyConnection, *paths: str) -> int:
    rows = connection.execute("SELECT count(*) FROM read_parquet(?, hive_partitioning=false)", [list(paths)]).fetchall()
    return int(rows[0][0])


ALLOWED = [
    "f.parquet", "sp ace.parquet", "pl+us.parquet", "a&b.parquet", "year=2024/city=S%C3%A3o/f.parquet", "d=a%3Ab.parquet",
    "q'uote.parquet", "ünï.parquet", "se;mi.parquet", "co:lon.parquet", "at@x.parquet", "do$l.parquet", "ti~l.parquet",
    "com,ma.parquet", "ex!cl(1).parquet", 'd"q.parquet', "lt<gt>.parquet", "pi|pe.parquet", "car^et.parquet",
]  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_every_name_that_we_allow_means_the_same_to_the_engine(place: Place, opened: Opened, name: str) -> None:
    place.put(name, parquet(3))
    connection = opened(place.connector.engine_access())
    assert count(connection, *place.connector.engine_paths([name])) == 3


def test_the_workers_own_instance_reads_those_names_and_obeys_no_query_in_them(
    s3_place: S3Place, tmp_path: Path
) -> None:
    for name in ALLOWED:
        s3_place.put(name, parquet(2))
    access = s3_place.connector.engine_access()
    options = {
        "httpfs": extension(), "temp_directory": str(tmp_path), "spill_bytes": 1_000_000, "threads": 2,
        "duckdb_memory_bytes": 200_000_000,
    }  # fmt: skip
    connection = worker.open_instance(options)
    connection.execute(secret_statement(0, access.message()))
    worker.lock_instance(connection, options, [access.scope])
    assert count(connection, *s3_place.connector.engine_paths(ALLOWED)) == 2 * len(ALLOWED)
    with scripted(lambda answer: serve(answer, parquet(7), "e")) as other:
        with pytest.raises(duckdb.Error):
            count(connection, f"{access.scope}f.parquet?s3_endpoint=127.0.0.1:{other.port}&s3_use_ssl=false")
        assert other.asked == []
    connection.close()


def test_the_engine_reads_nothing_beside_the_scope(s3_place: S3Place, opened: Opened) -> None:
    s3_place.put("f.parquet", parquet())
    connection = opened(s3_place.connector.engine_access())
    for path in (
        f"s3://{s3_place.bucket}/place-twin/outside.parquet",
        f"s3://{s3_place.bucket}/outside.parquet",
        f"http://127.0.0.1:{s3_place.server.port}/{s3_place.bucket}/place/f.parquet",
        "/etc/passwd",
    ):
        with pytest.raises(duckdb.PermissionException):
            count(connection, path)


def test_the_engine_reads_nothing_beside_a_local_scope(local_place: LocalPlace, opened: Opened) -> None:
    twin = local_place.root.with_name("data-twin")
    twin.mkdir()
    (twin / "f.parquet").write_bytes(parquet())
    (local_place.root / "link.parquet").symlink_to(twin / "f.parquet")
    connection = opened(local_place.connector.engine_access())
    for path in (f"{twin}/f.parquet", f"{local_place.root}/../data-twin/f.parquet", f"{local_place.root}/link.parquet"):
        with pytest.raises(duckdb.PermissionException):
            count(connection, path)


def test_keys_of_one_storage_are_not_used_for_another(s3_place: S3Place, opened: Opened) -> None:
    s3_place.put("f.parquet", parquet())
    access = s3_place.connector.engine_access()
    wrong = dataclasses.replace(access, secret="wrong")
    other = dataclasses.replace(access, scope=f"s3://{s3_place.bucket}/place-twin/")
    with pytest.raises(duckdb.HTTPException):
        count(opened(wrong, other), f"{access.scope}f.parquet")


def test_the_engine_trusts_the_private_authority_it_is_given_and_no_other(s3_place: S3Place, opened: Opened) -> None:
    s3_place.put("f.parquet", parquet(5))
    record = s3_place.storage(endpoint=s3_place.server.tls_endpoint, ca_pem=s3_place.server.certificates.authority)
    with s3_place.connect(record) as storage:
        access = storage.engine_access()
        (path,) = storage.engine_paths(["f.parquet"])
    assert count(opened(access), path) == 5
    with pytest.raises(duckdb.IOException, match="certificate"):
        count(opened(dataclasses.replace(access, ca_file=None)), path)
    stranger = dataclasses.replace(record, ca_pem=make_certificates().authority)
    with s3_place.connect(stranger) as storage, pytest.raises(duckdb.IOException, match="certificate"):
        count(opened(storage.engine_access()), path)


def test_an_object_replaced_between_two_requests_fails_the_query(tmp_path: Path, opened: Opened) -> None:
    contents = {"old": parquet(1000, value=1), "new": parquet(1000, value=2)}
    now = ["old"]

    def script(answer: Answer) -> None:
        serve(answer, contents[now[0]], now[0])
        if answer.command == "HEAD":
            now[0] = "new"

    with scripted(script) as server, scripted_storage(server.endpoint, tmp_path) as storage:
        connection = opened(storage.engine_access(), settings=["SET enable_external_file_cache=false"])
        # The message carries the answer's body, and where that is not UTF-8 the driver cannot even raise its own error.
        with pytest.raises((duckdb.HTTPException, UnicodeDecodeError)):
            connection.execute("SELECT sum(value) FROM read_parquet('s3://bucket/f.parquet')").fetchall()


def test_what_the_engine_remembers_of_a_replaced_object_is_dropped(s3_place: S3Place, opened: Opened) -> None:
    s3_place.put("f.parquet", parquet(10, value=1))
    connection = opened(s3_place.connector.engine_access(), settings=["SET parquet_metadata_cache=true"])
    paths = s3_place.connector.engine_paths(["f.parquet"])
    for rows in (10, 10, 20):
        s3_place.put("f.parquet", parquet(rows, value=rows))
        assert count(connection, *paths) == rows


@pytest.mark.parametrize("implementation", ["default", "httplib"])
def test_the_engine_follows_redirects_without_its_keys(tmp_path: Path, opened: Opened, implementation: str) -> None:
    """No setting forbids it: the network must (Landlock's ports, egress rules). Our own requests never follow."""
    with scripted(lambda answer: serve(answer, parquet(7), "e")) as other:

        def script(answer: Answer) -> None:
            answer.whole(307, b"", Location=f"{other.endpoint}{answer.path}")

        with scripted(script) as server, scripted_storage(server.endpoint, tmp_path) as storage:
            chosen = f"SET httpfs_client_implementation='{implementation}'"
            connection = opened(storage.engine_access(), settings=[chosen])
            assert count(connection, "s3://bucket/f.parquet") == 7
        assert other.asked
        assert not any("Authorization" in asked.headers for asked in other.asked)


def test_a_query_in_a_path_redirects_signed_requests_unless_the_setting_forbids_it(
    tmp_path: Path, opened: Opened
) -> None:
    with (
        scripted(lambda answer: serve(answer, parquet(7), "e")) as other,
        scripted(lambda answer: answer.whole(404)) as server,
        scripted_storage(server.endpoint, tmp_path) as storage,
    ):
        access = storage.engine_access()
        path = f"s3://bucket/f.parquet?s3_endpoint=127.0.0.1:{other.port}"
        assert count(opened(access), path) == 7
        assert all("Authorization" in asked.headers for asked in other.asked)
        before = len(other.asked)
        with pytest.raises(duckdb.Error):
            count(opened(access, settings=["SET s3_url_compatibility_mode=true"]), path)
        assert len(other.asked) == before


def test_a_version_cannot_be_named_in_a_path(s3_place: S3Place, opened: Opened) -> None:
    s3_place.put("f.parquet", parquet())
    (path,) = s3_place.connector.engine_paths(["f.parquet"])
    connection = opened(s3_place.connector.engine_access())
    with pytest.raises(duckdb.IOException, match="Invalid query parameters"):
        count(connection, f"{path}?versionId=1")


def test_pinning_asks_for_the_version_that_the_head_named(tmp_path: Path, opened: Opened) -> None:
    with scripted(lambda answer: serve(answer, parquet(7), "e")) as server:
        with scripted_storage(server.endpoint, tmp_path) as storage:
            connection = opened(storage.engine_access(), settings=["SET s3_version_id_pinning=true"])
            assert count(connection, "s3://bucket/f.parquet") == 7
        assert [asked.path for asked in server.asked] == ["/bucket/f.parquet", "/bucket/f.parquet?versionId=version-e"]


def test_without_keys_the_engine_signs_nothing(tmp_path: Path, opened: Opened) -> None:
    with scripted(lambda answer: serve(answer, parquet(7), "e")) as server:
        with scripted_storage(server.endpoint, tmp_path, keys=False) as storage:
            assert count(opened(storage.engine_access()), "s3://bucket/f.parquet") == 7
        assert not any("Authorization" in asked.headers for asked in server.asked)


def test_temporary_keys_send_their_token(tmp_path: Path, opened: Opened) -> None:
    with scripted(lambda answer: serve(answer, parquet(7), "e")) as server:
        with scripted_storage(server.endpoint, tmp_path, token="the-token") as storage:
            storage.identify(["f.parquet"])
            assert count(opened(storage.engine_access()), "s3://bucket/f.parquet") == 7
        tokens = [
            value for asked in server.asked for name, value in asked.headers.items() if "security-token" in name.lower()
        ]
        assert tokens == ["the-token"] * len(server.asked)


def scripted_storage(endpoint: str, directory: Path, *, keys: bool = True, token: str | None = None) -> S3Connector:
    record = Storage(id="s", participant="p", kind=StorageKind.S3, endpoint=endpoint, bucket="bucket")
    credentials = Credentials(key_id="key", secret="secret", session_token=token) if keys else None
    return S3Connector(record, credentials, rules=LOOPBACK, ca_directory=directory)


def serve(answer: Answer, body: bytes, stamp: str) -> None:
    """An object as S3 serves it."""
    headers = {
        "ETag": f'"{stamp}"', "x_amz_version_id": f"version-{stamp}", "Accept_Ranges": "bytes",
        "Last_Modified": "Mon, 02 Nov 2026 10:00:00 GMT",
    }  # fmt: skip
    asked = answer.headers.get("Range")
    if answer.command == "HEAD" or asked is None:
        answer.whole(200, body, **headers)
        return
    start, _, end = asked.removeprefix("bytes=").partition("-")
    part = body[int(start) : int(end) + 1]
    answer.whole(206, part, Content_Range=f"bytes {start}-{int(start) + len(part) - 1}/{len(body)}", **headers)


def test_a_connector_is_what_the_contract_says(place: Place) -> None:
    checked: Connector = place.connector
    assert checked is place.connector
