"""Publishing from a real S3 server: the same versions, the same refusals, and one request per footer."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.entities import Storage
from connectors.addresses import AddressRules
from connectors.contract import changed
from connectors.credentials import Credentials
from connectors.errors import AddressRefused, NothingFound, StorageError
from connectors.registry import StorageRules
from datalab.db.database import open_engine
from datalab.db.publishing import SqlVersions
from datalab.publish.errors import FilesChanged, FilesRefused
from datalab.publish.process import Limits
from datalab.publish.source import Source, connect
from datalab.publish.versions import Publication, Versions
from tests.connectors.conftest import LOOPBACK, S3Place
from tests.publish import hostile
from tests.publish.files import Sources
from tests.registry.world import MACHINE, World, dataset
from tests.servers.seaweedfs import READER


def parquet(columns: Mapping[str, list[Any]] | None = None) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns or {"id": [1, 2], "age": [30, 40]})), sink)
    return sink.getvalue()


class Bucket:
    """alpha provides `health/cohort` from below `cohort/` of a bucket."""

    def __init__(self, world: World, place: S3Place, directory: Path) -> None:
        self.world = world
        self.place = place
        self.storage = world.storages.create(
            MACHINE, dataclasses.replace(place.storage(), id="alpha_bucket", participant="alpha")
        )
        self.cohort = world.datasets.create(MACHINE, dataset("cohort", storage="alpha_bucket", location="cohort"))
        self.alpha = world.principal("alpha")
        self.directory = directory
        self.store = SqlVersions(world.database)

    def sources(self, rules: AddressRules = LOOPBACK) -> Sources:
        credentials = Credentials(key_id=READER.key_id, secret=READER.secret)
        place = StorageRules(
            addresses=rules, local_roots=(), home=self.directory, ca_directory=self.directory / "authorities"
        )
        return Sources(place, {"alpha_bucket": credentials})

    def publish(self, progress: Any = lambda _done, _all: None, rules: AddressRules = LOOPBACK) -> Publication:
        world = self.world
        versions = Versions(
            self.store, world.reader, self.sources(rules), world.notebook, clock=world.clock, limits=Limits()
        )
        return versions.publish(self.alpha, "health", "cohort", progress)

    def source(self) -> Source:
        return self.sources().source(self.storage)


@pytest.fixture
def bucket(s3_place: S3Place, tmp_path: Path) -> Iterator[Bucket]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    yield Bucket(World(engine).furnish(), s3_place, tmp_path)
    engine.dispose()


def test_objects_make_a_version_with_their_etags(bucket: Bucket) -> None:
    bucket.place.put("cohort/year=2020/a.parquet", parquet())
    bucket.place.put("cohort/year=2021/b.parquet", parquet())
    bucket.place.put("cohort/_SUCCESS", b"")
    bucket.place.put("other/c.parquet", parquet())
    publication = bucket.publish()
    assert publication.created
    bucket.world.reader.revision()
    version = bucket.world.reader.version(bucket.cohort.uid)
    assert version is not None
    assert [(file.path, file.rows) for file in version.files] == [
        ("cohort/year=2020/a.parquet", 2), ("cohort/year=2021/b.parquet", 2),
    ]  # fmt: skip
    assert all(file.etag and file.inode is None for file in version.files)
    assert [(column.name, column.type) for column in version.columns] == [
        ("id", "BIGINT"), ("age", "BIGINT"), ("year", "BIGINT"),
    ]  # fmt: skip
    assert not bucket.publish().created


def test_hostile_objects_are_refused_with_the_same_codes_as_files(bucket: Bucket) -> None:
    chosen = {
        name: hostile.CASES[name] for name in ("text", "length all ones", "negative rows", "unknown codec", "empty")
    }
    for name, (content, _code) in chosen.items():
        bucket.place.put(f"cohort/{name}.parquet", content)
    with pytest.raises(FilesRefused) as caught:
        bucket.publish()
    found = {problem.path: problem.code for problem in caught.value.problems}
    assert found == {f"cohort/{name}.parquet": code for name, (_content, code) in chosen.items()}


def test_a_footer_longer_than_the_first_request_is_read(bucket: Bucket) -> None:
    bucket.place.put("cohort/a.parquet", parquet({f"column {number}": [number] for number in range(1500)}))
    assert len(bucket.publish().record.version.columns) == 1500


def test_an_object_that_changes_between_listing_and_reading_is_refused(bucket: Bucket) -> None:
    bucket.place.put("cohort/a.parquet", parquet())

    def change(done: int, _total: int) -> None:
        if not done:
            bucket.place.put("cohort/a.parquet", parquet({"id": [9], "age": [9]}))

    with pytest.raises(FilesRefused) as caught:
        bucket.publish(change)
    assert caught.value.code == "storage.changed"


def test_an_object_that_changes_after_it_was_read_is_refused(bucket: Bucket) -> None:
    bucket.place.put("cohort/a.parquet", parquet())

    def change(done: int, _total: int) -> None:
        if done:
            bucket.place.put("cohort/a.parquet", parquet({"id": [9], "age": [9]}))

    with pytest.raises(FilesChanged) as caught:
        bucket.publish(change)
    assert caught.value.detail["paths"] == ["cohort/a.parquet"]
    assert bucket.store.newest(bucket.cohort.uid) is None


def test_objects_that_changed_since_are_told_from_the_version(bucket: Bucket) -> None:
    for name in "abc":
        bucket.place.put(f"cohort/{name}.parquet", parquet())
    bucket.publish()
    bucket.world.reader.revision()
    version = bucket.world.reader.version(bucket.cohort.uid)
    assert version is not None
    with connect(bucket.source()) as connector:
        assert changed(connector, version.files) == []
        bucket.place.put("cohort/b.parquet", parquet({"id": [9], "age": [9]}))
        bucket.place.remove("cohort/c.parquet")
        assert changed(connector, version.files) == ["cohort/b.parquet", "cohort/c.parquet"]


@pytest.mark.parametrize("name", ["a?s3_endpoint=evil.parquet", "a[1].parquet", "a*.parquet", "x%2f..%2fy.parquet"])
def test_keys_that_the_engine_could_read_otherwise_are_refused(name: str, bucket: Bucket) -> None:
    bucket.place.put("cohort/good.parquet", parquet())
    bucket.place.put(f"cohort/{name}", parquet())
    with pytest.raises(StorageError) as caught:
        bucket.publish()
    assert caught.value.code == "storage.path"


def test_an_empty_prefix_is_refused(bucket: Bucket) -> None:
    with pytest.raises(NothingFound):
        bucket.publish()


def test_an_endpoint_that_the_operator_does_not_allow_is_refused(bucket: Bucket) -> None:
    bucket.place.put("cohort/a.parquet", parquet())
    with pytest.raises(AddressRefused):
        bucket.publish(rules=AddressRules(schemes=frozenset({"http"})))


def test_the_secret_goes_to_the_inspector_alone(bucket: Bucket) -> None:
    source = bucket.source()
    assert READER.secret not in repr(source)
    assert READER.secret in str(source.message())
    bucket.place.put("cohort/a.parquet", parquet())
    bucket.publish()
    assert READER.secret not in str(bucket.world.notebook.details)


def test_many_objects_are_read_by_several_processes(bucket: Bucket) -> None:
    content = parquet()
    for number in range(60):
        bucket.place.put(f"cohort/{number:03}.parquet", content)
    world = bucket.world
    limits = Limits(processes=2, files_per_process=20)
    versions = Versions(bucket.store, world.reader, bucket.sources(), world.notebook, clock=world.clock, limits=limits)
    assert versions.publish(bucket.alpha, "health", "cohort").record.file_count == 60


def test_a_storage_keeps_its_form_through_the_message(bucket: Bucket) -> None:
    from datalab.publish.source import source_of

    source = bucket.source()
    again = source_of(source.message(), bucket.directory / "authorities")
    assert again == source
    assert isinstance(again.storage, Storage)
