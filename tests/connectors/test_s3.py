"""S3 storages against a real server: keys, buckets, versions, certificates, pages."""

from __future__ import annotations

import dataclasses
import io
import json
import ssl
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from minio.commonconfig import ENABLED
from minio.error import S3Error
from minio.versioningconfig import VersioningConfig

from connectors import contract, s3
from connectors.addresses import AddressRules
from connectors.errors import (
    AccessDenied,
    AddressRefused,
    AuthorityRefused,
    CredentialsRefused,
    NotFound,
    PathRefused,
    StorageError,
    Unreachable,
)
from tests.connectors.conftest import LOOPBACK, S3Place, parquet
from tests.servers.certificates import make_certificates
from tests.servers.seaweedfs import READER, Identity


def test_only_what_lies_below_the_prefix_is_seen(s3_place: S3Place) -> None:
    s3_place.put("in.parquet", parquet())
    assert [file.path for file in s3_place.connector.list("")] == ["in.parquet"]
    with pytest.raises(PathRefused):
        s3_place.connector.open("../place-twin/outside.parquet")


def test_the_tests_reader_cannot_write(s3_place: S3Place) -> None:
    with pytest.raises(S3Error) as caught:
        s3_place.server.client(READER).put_object(s3_place.bucket, "place/x", io.BytesIO(b""), 0)
    assert caught.value.code == "AccessDenied"


@pytest.mark.parametrize("identity", [Identity("nobody", "wrong"), Identity(READER.key_id, "wrong"), None])
def test_wrong_or_missing_keys_are_refused(s3_place: S3Place, identity: Identity | None) -> None:
    s3_place.put("a.parquet", parquet())
    with s3_place.connect(s3_place.storage(), identity) as storage:
        for call in (
            lambda: list(storage.list("")),
            lambda: storage.identify(["a.parquet"]),
            lambda: storage.open("a.parquet"),
        ):
            with pytest.raises((CredentialsRefused, AccessDenied)) as caught:
                call()
            assert "wrong" not in f"{caught.value.detail}"
        rights = storage.check()
        assert (rights.listing, rights.reading, rights.enough) == (False, None, False)
        assert len(rights.problems) == 1


def test_a_missing_bucket_is_said_to_be_missing(s3_place: S3Place) -> None:
    with s3_place.connect(s3_place.storage(bucket="no-such-bucket-here")) as storage:
        with pytest.raises(NotFound, match="bucket"):
            list(storage.list(""))
        assert not storage.check().enough


@pytest.mark.parametrize("bucket", ["", "ab", "Upper", "a/b", "a..b", "bucket?x", "bucket#", "-a-", "a" * 64, "b\n"])
def test_a_bucket_name_that_is_none_is_refused(s3_place: S3Place, bucket: str) -> None:
    with pytest.raises(PathRefused):
        s3_place.connect(s3_place.storage(bucket=bucket))


@pytest.mark.parametrize("prefix", ["../other", "a//b", "/a", "a?b", "a[1]", "%2e%2e/a"])
def test_a_hostile_prefix_is_refused(s3_place: S3Place, prefix: str) -> None:
    with pytest.raises(PathRefused):
        s3_place.connect(s3_place.storage(prefix=prefix))


@pytest.mark.parametrize("region", ["", "eu west", "eu\r\nHost: x", "a" * 65])
def test_a_region_that_is_none_is_refused(s3_place: S3Place, region: str) -> None:
    with pytest.raises(AddressRefused):
        s3_place.connect(s3_place.storage(region=region))


def test_the_default_rules_refuse_this_machine(s3_place: S3Place) -> None:
    with pytest.raises(AddressRefused):
        s3_place.connect(s3_place.storage(), rules=AddressRules())
    rules = AddressRules(schemes=frozenset({"http", "https"}))
    with s3_place.connect(s3_place.storage(), rules=rules) as storage, pytest.raises(AddressRefused):
        list(storage.list(""))


def test_many_objects_are_listed_over_several_pages(s3_place: S3Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PAGE", 7)
    paths = [f"many/{number:03}.parquet" for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda path: s3_place.put(path, b"x"), paths))
    assert [file.path for file in s3_place.connector.list("many")] == paths


def test_many_files_are_identified_by_listings_and_few_by_themselves(
    s3_place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"many/{number:03}.parquet" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda path: s3_place.put(path, b"x"), paths))
    heads: list[str] = []
    head = s3_place.connector._head

    def counted(path: str) -> contract.FileIdentity:
        heads.append(path)
        return head(path)

    monkeypatch.setattr(s3_place.connector, "_head", counted)
    found = s3_place.connector.identify([*paths, "many/gone.parquet", paths[0]])
    assert [file and file.path for file in found] == [*paths, None, paths[0]]
    assert heads == ["many/gone.parquet"]
    s3_place.connector.identify(paths[:3])
    assert sorted(heads[1:]) == paths[:3]


def test_files_in_several_directories_are_identified_together(s3_place: S3Place) -> None:
    paths = [f"d{number % 5}/{number}.parquet" for number in range(30)]
    for path in paths:
        s3_place.put(path, b"x")
    assert all(file is not None for file in s3_place.connector.identify(paths))


def test_a_versioned_bucket_names_the_version(s3_place: S3Place) -> None:
    s3_place.admin.set_bucket_versioning(s3_place.bucket, VersioningConfig(ENABLED))
    s3_place.put("v.parquet", b"same")
    (first,) = s3_place.connector.identify(["v.parquet"])
    (listed,) = s3_place.connector.list("v.parquet")
    s3_place.put("v.parquet", b"diff")
    (second,) = s3_place.connector.identify(["v.parquet"])
    assert first is not None
    assert second is not None
    assert first.version_id
    assert second.version_id not in {None, first.version_id}
    assert listed.same_content(first)
    assert contract.changed(s3_place.connector, [first.entry(rows=1)]) == ["v.parquet"]


def test_a_bucket_without_versions_names_none(s3_place: S3Place) -> None:
    s3_place.put("v.parquet", b"x")
    (found,) = s3_place.connector.identify(["v.parquet"])
    assert found is not None
    assert found.version_id is None


def test_two_versions_count_as_different_where_both_are_known() -> None:
    one = contract.FileIdentity(path="a", size_bytes=1, etag="e", version_id="1")
    assert not one.same_content(dataclasses.replace(one, version_id="2"))
    assert one.same_content(dataclasses.replace(one, version_id=None))


def test_a_private_authority_is_trusted_where_given(s3_place: S3Place) -> None:
    s3_place.put("a.parquet", parquet())
    record = s3_place.storage(endpoint=s3_place.server.tls_endpoint, ca_pem=s3_place.server.certificates.authority)
    with s3_place.connect(record) as storage:
        assert [file.path for file in storage.list("")] == ["a.parquet"]
        assert storage.open("a.parquet").read(4) == b"PAR1"
        access = storage.engine_access()
    assert access.use_ssl
    assert access.ca_file is not None
    assert Path(access.ca_file).read_text() == record.ca_pem


@pytest.mark.parametrize("authority", [None, "other"])
def test_a_certificate_of_an_unknown_authority_is_refused(s3_place: S3Place, authority: str | None) -> None:
    ca_pem = make_certificates().authority if authority else None
    record = s3_place.storage(endpoint=s3_place.server.tls_endpoint, ca_pem=ca_pem)
    with s3_place.connect(record) as storage, pytest.raises(Unreachable, match="certificate"):
        storage.identify(["a.parquet"])


def test_a_certificate_for_another_name_is_refused(s3_place: S3Place) -> None:
    endpoint = f"https://127.0.0.1.nip:{s3_place.server.tls_port}"
    record = s3_place.storage(endpoint=endpoint, ca_pem=s3_place.server.certificates.authority)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AddressRules, "resolve", lambda *_: ("127.0.0.1",))
        with s3_place.connect(record) as storage, pytest.raises(Unreachable, match="certificate"):
            storage.identify(["a.parquet"])


@pytest.mark.parametrize("pem", ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_authority_that_is_none_is_refused(s3_place: S3Place, pem: str) -> None:
    with pytest.raises(AuthorityRefused):
        s3_place.connect(s3_place.storage(endpoint=s3_place.server.tls_endpoint, ca_pem=pem))


def test_a_servers_own_certificate_is_no_authority(s3_place: S3Place) -> None:
    with pytest.raises(AuthorityRefused):
        s3_place.connect(s3_place.storage(ca_pem=s3_place.server.certificates.certificate))


def test_the_engine_learns_only_what_it_needs(s3_place: S3Place) -> None:
    access = s3_place.connector.engine_access()
    assert access.message() == {
        "kind": "s3", "scope": f"s3://{s3_place.bucket}/place/", "endpoint": f"127.0.0.1:{s3_place.server.port}",
        "port": s3_place.server.port, "use_ssl": False, "path_style": True, "region": "us-east-1",
        "key_id": READER.key_id, "secret": READER.secret, "session_token": None, "ca_file": None,
    }  # fmt: skip
    assert READER.secret not in f"{access} {access!r}"
    assert READER.key_id not in f"{access} {access!r}"


def test_the_fingerprint_changes_with_the_secret(s3_place: S3Place) -> None:
    access = s3_place.connector.engine_access()
    assert access.fingerprint != dataclasses.replace(access, secret="other").fingerprint
    assert access.fingerprint != dataclasses.replace(access, session_token="other").fingerprint


def test_over_plain_http_the_engine_gets_a_checked_address_unless_the_name_is_trusted(s3_place: S3Place) -> None:
    record = s3_place.storage(endpoint=f"http://localhost:{s3_place.server.port}")
    with s3_place.connect(record) as storage:
        if not all(address == "127.0.0.1" for address in LOOPBACK.resolve("localhost", 1)):
            pytest.fail("this machine's localhost is not 127.0.0.1")
        assert storage.engine_access().endpoint == f"127.0.0.1:{s3_place.server.port}"
    named = dataclasses.replace(LOOPBACK, hosts=("localhost",))
    with s3_place.connect(record, rules=named) as storage:
        assert storage.engine_access().endpoint == f"localhost:{s3_place.server.port}"
    secure = s3_place.storage(endpoint=s3_place.server.tls_endpoint)
    with s3_place.connect(secure) as storage:
        assert storage.engine_access().endpoint == f"localhost:{s3_place.server.tls_port}"


def test_the_least_policy_names_the_bucket_and_the_prefix(s3_place: S3Place) -> None:
    listing, reading = json.loads(s3_place.connector.check().least)["Statement"]
    assert listing["Action"] == ["s3:ListBucket"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["place/*"]}}
    assert reading["Action"] == ["s3:GetObject"]
    assert reading["Resource"] == [f"arn:aws:s3:::{s3_place.bucket}/place/*"]


def test_a_whole_bucket_can_be_a_storage(s3_place: S3Place) -> None:
    s3_place.put("a.parquet", parquet())
    with s3_place.connect(s3_place.storage(prefix="")) as storage:
        assert [file.path for file in storage.list("")] == ["place-twin/outside.parquet", "place/a.parquet"]
        assert storage.engine_paths(["place/a.parquet"]) == (f"s3://{s3_place.bucket}/place/a.parquet",)
        assert "Condition" not in json.loads(storage.check().least)["Statement"][0]


def test_a_storage_can_be_read_from_many_threads(s3_place: S3Place) -> None:
    content = bytes(range(256)) * 100
    s3_place.put("a.bin", content)

    def read(number: int) -> bool:
        file = s3_place.connector.open("a.bin")
        file.seek(number * 100)
        return file.read(100) == content[number * 100 : number * 100 + 100]

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(read, range(100)))


def test_an_object_replaced_while_it_is_open_is_noticed(s3_place: S3Place) -> None:
    s3_place.put("a.bin", b"x" * 1000)
    file = s3_place.connector.open("a.bin")
    assert file.read(10) == b"x" * 10
    s3_place.put("a.bin", b"y" * 1000)
    with pytest.raises(StorageError) as caught:
        file.read(10)
    assert caught.value.code == "storage.changed"


def test_the_server_of_these_tests_speaks_tls(s3_place: S3Place) -> None:
    context = ssl.create_default_context(cadata=s3_place.server.certificates.authority)
    with urllib.request.urlopen(f"{s3_place.server.tls_endpoint}/healthz", context=context) as answer:
        assert answer.status == 200
