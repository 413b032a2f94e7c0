"""Publishing, withdrawing and breaking versions, on a real database and real files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.entities import DatasetStatus, VersionStatus
from connectors.errors import NothingFound, PathRefused, StorageError
from datalab.db.database import open_engine
from datalab.flow.errors import TokenRefused
from datalab.flow.principal import Principal
from datalab.publish.errors import FilesChanged, FilesRefused, NotProvider, VersionConflict, VersionNotFound
from tests.publish.files import write
from tests.publish.lake import Lake, lake
from tests.registry.world import MACHINE, World


@pytest.fixture
def shore(tmp_path: Path) -> Iterator[Lake]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    with lake(World(engine).furnish(), tmp_path) as made:
        yield made
    engine.dispose()


def test_a_version_is_what_lies_at_the_location(shore: Lake) -> None:
    shore.file("cohort/b.parquet")
    shore.file("cohort/a.parquet")
    shore.file("other/c.parquet")
    seen: list[tuple[int, int]] = []
    publication = shore.versions.publish(
        shore.alpha, "health", "cohort", lambda done, total: seen.append((done, total))
    )
    assert publication.created
    assert (publication.record.version.number, publication.record.file_count) == (1, 2)
    assert seen[0] == (0, 2)
    assert seen[-1] == (2, 2)
    shore.world.reader.revision()
    version = shore.world.reader.version(shore.cohort.uid)
    assert version is not None
    assert [(file.path, file.rows) for file in version.files] == [("cohort/a.parquet", 2), ("cohort/b.parquet", 2)]
    assert (version.number, version.row_count, version.status) == (1, 4, VersionStatus.PUBLISHED)
    assert [column.name for column in version.columns] == ["id", "age"]
    assert version.created_at == shore.world.clock()
    assert version.files[0].inode == (shore.place / "cohort/a.parquet").stat().st_ino


def test_publishing_is_audited_with_what_was_published(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    assert shore.world.notebook.records[-1] == ("alpha-client", "publish", "dataset:health/cohort", "done")
    assert {**shore.world.notebook.details[-1], "fingerprint": ""} == {
        "provider": "alpha", "location": "cohort", "files": 1, "rows": 2, "fingerprint": "",
    }  # fmt: skip


def test_the_same_files_are_the_same_version(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    first = shore.versions.publish(shore.alpha, "health", "cohort")
    records = len(shore.world.notebook.records)
    second = shore.versions.publish(shore.alpha, "health", "cohort")
    assert not second.created
    assert second.record == first.record
    assert shore.numbers() == [1]
    assert len(shore.world.notebook.records) == records


def test_another_file_makes_another_version_and_the_old_one_stays(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    shore.file("cohort/b.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    shore.world.reader.revision()
    first = shore.world.reader.version(shore.cohort.uid, 1)
    newest = shore.world.reader.version(shore.cohort.uid)
    assert first is not None
    assert newest is not None
    assert (len(first.files), newest.number, len(newest.files)) == (1, 2, 2)


def test_a_location_may_be_one_file_whatever_its_name(shore: Lake) -> None:
    shore.file("single.pq")
    shore.register("single", "single.pq")
    assert shore.versions.publish(shore.alpha, "health", "single").record.file_count == 1


def test_refused_files_leave_nothing(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    (shore.place / "cohort/b.parquet").write_bytes(b"no parquet at all")
    before = shore.world.database.revision()
    with pytest.raises(FilesRefused) as caught:
        shore.versions.publish(shore.alpha, "health", "cohort")
    assert caught.value.code == "publish.not_parquet"
    assert shore.numbers() == []
    assert shore.world.database.revision() == before


def test_an_empty_location_is_refused(shore: Lake) -> None:
    (shore.place / "cohort").mkdir()
    with pytest.raises(NothingFound):
        shore.versions.publish(shore.alpha, "health", "cohort")


@pytest.mark.parametrize("name", ["a?s3_endpoint=evil.parquet", "a[1].parquet", "a*.parquet"])
def test_names_that_the_engine_could_read_otherwise_are_refused(name: str, shore: Lake) -> None:
    shore.file("cohort/a.parquet").rename(shore.place / "cohort" / name)
    with pytest.raises(PathRefused):
        shore.versions.publish(shore.alpha, "health", "cohort")
    assert shore.numbers() == []


def test_a_link_out_of_the_storage_is_not_followed(shore: Lake, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.parquet", {"id": [1]})
    (shore.place / "cohort").mkdir()
    (shore.place / "cohort/a.parquet").symlink_to(secret)
    with pytest.raises((StorageError, FilesRefused)):
        shore.versions.publish(shore.alpha, "health", "cohort")
    assert shore.numbers() == []


def test_a_file_that_changes_during_the_inspection_is_refused(shore: Lake) -> None:
    file = shore.file("cohort/a.parquet")

    def change(done: int, _total: int) -> None:
        if done:
            shore.file("cohort/a.parquet", {"id": [3], "age": [1]})

    with pytest.raises(FilesChanged) as caught:
        shore.versions.publish(shore.alpha, "health", "cohort", change)
    assert caught.value.detail["paths"] == ["cohort/a.parquet"]
    assert shore.numbers() == []
    assert file.exists()


def test_a_file_that_changes_between_listing_and_reading_is_refused(shore: Lake) -> None:
    shore.file("cohort/a.parquet")

    def change(done: int, _total: int) -> None:
        if not done:
            shore.file("cohort/a.parquet", {"id": [3], "age": [1]})

    with pytest.raises(FilesRefused) as caught:
        shore.versions.publish(shore.alpha, "health", "cohort", change)
    assert caught.value.code == "storage.changed"


def test_a_file_rewritten_in_place_with_the_same_size_is_noticed(shore: Lake) -> None:
    file = shore.file("cohort/a.parquet")
    status = file.stat()

    def change(done: int, _total: int) -> None:
        if done:
            file.write_bytes(file.read_bytes())
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    with pytest.raises(FilesChanged):
        shore.versions.publish(shore.alpha, "health", "cohort", change)


def test_a_file_that_disappears_is_noticed(shore: Lake) -> None:
    file = shore.file("cohort/a.parquet")
    with pytest.raises(FilesChanged):
        shore.versions.publish(shore.alpha, "health", "cohort", lambda done, _total: file.unlink() if done else None)


def test_others_learn_nothing_of_the_dataset(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    for call in (
        lambda who, name: shore.versions.publish(who, "health", name),
        lambda who, name: shore.versions.withdraw(who, "health", name, 1),
        lambda who, name: shore.versions.record(who, "health", name, 1),
        lambda who, name: shore.versions.files(who, "health", name, 1, limit=10),
    ):
        answers = []
        for name in ("cohort", "nothing"):
            with pytest.raises(VersionNotFound) as caught:
                call(shore.beta, name)
            answers.append((caught.value.code, caught.value.sentence, caught.value.detail))
        assert answers[0] == answers[1]


def test_a_provider_that_the_space_dismissed_cannot_publish(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    with pytest.raises(NotProvider):
        shore.versions.publish(replace(shore.alpha, spaces=frozenset()), "health", "cohort")


def test_a_withdrawn_dataset_gets_no_version(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    for status in (DatasetStatus.PUBLISHED, DatasetStatus.WITHDRAWN):
        shore.world.datasets.replace(MACHINE, replace(shore.cohort, status=status))
    with pytest.raises(VersionConflict) as caught:
        shore.versions.publish(shore.alpha, "health", "cohort")
    assert caught.value.code == "publish.withdrawn"


def test_a_location_that_changes_meanwhile_is_not_published(shore: Lake) -> None:
    shore.file("cohort/a.parquet")

    def move(done: int, _total: int) -> None:
        if done:
            shore.world.datasets.replace(MACHINE, replace(shore.cohort, location="other"))

    with pytest.raises(VersionConflict) as caught:
        shore.versions.publish(shore.alpha, "health", "cohort", move)
    assert caught.value.code == "publish.dataset_changed"
    assert shore.numbers() == []


def test_a_dataset_deleted_meanwhile_is_not_published(shore: Lake) -> None:
    shore.file("cohort/a.parquet")

    def delete(done: int, _total: int) -> None:
        if done:
            shore.world.datasets.delete(MACHINE, "health", "cohort")

    with pytest.raises(VersionNotFound):
        shore.versions.publish(shore.alpha, "health", "cohort", delete)


def test_a_caller_revoked_meanwhile_publishes_nothing(shore: Lake) -> None:
    shore.file("cohort/a.parquet")

    def revoked() -> Principal:
        raise TokenRefused("token.revoked", "revoked")

    with pytest.raises(TokenRefused):
        shore.versions.publish(shore.alpha, "health", "cohort", again=revoked)
    assert shore.numbers() == []


def test_publications_at_once_get_distinct_numbers(shore: Lake) -> None:
    counter = iter(range(100))
    lock = threading.Lock()

    def publish(_number: int) -> int:
        with lock:
            shore.file(f"cohort/{next(counter)}.parquet")
        return shore.versions.publish(shore.alpha, "health", "cohort").record.version.number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(publish, range(8)))
    assert shore.numbers() == sorted(set(numbers), reverse=True) == list(range(len(set(numbers)), 0, -1))


def test_gateways_that_publish_the_same_at_once_make_one_version(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    services = [shore.service() for _ in range(3)]  # as processes: no lock in common
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: one.publish(shore.alpha, "health", "cohort"), services))
    assert {publication.record.version.number for publication in found} == {1}
    assert shore.numbers() == [1]


def test_a_withdrawn_version_is_gone_at_once_and_its_number_is_not_used_again(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    record = shore.versions.withdraw(shore.alpha, "health", "cohort", 1, "wrong year")
    assert (record.version.status, record.reason) == (VersionStatus.WITHDRAWN, "wrong year")
    shore.world.reader.revision()
    assert shore.world.reader.version(shore.cohort.uid) is None
    assert shore.world.notebook.records[-1] == ("alpha-client", "withdraw", "version:health/cohort/1", "done")
    again = shore.versions.publish(shore.alpha, "health", "cohort")
    assert again.created
    assert again.record.version.number == 2


def test_withdrawing_twice_changes_nothing_and_an_unknown_number_is_not_found(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    first = shore.versions.withdraw(shore.alpha, "health", "cohort", 1, "wrong year")
    assert shore.versions.withdraw(shore.alpha, "health", "cohort", 1, "again") == first
    with pytest.raises(VersionNotFound):
        shore.versions.withdraw(shore.alpha, "health", "cohort", 2)


def test_a_broken_version_is_out_of_service_and_its_provider_reads_why(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    shore.versions.mark_broken("health", "cohort", 1, ["cohort/a.parquet", "cohort/b.parquet"])
    record = shore.versions.record(shore.alpha, "health", "cohort", 1)
    assert record.version.status is VersionStatus.BROKEN
    assert record.reason == (
        "cohort/a.parquet and 1 more changed or disappeared (found 2026-11-01 12:00 UTC). Publish a new version."
    )
    assert shore.world.notebook.records[-1] == ("gateway", "mark_broken", "version:health/cohort/1", "done")
    shore.world.reader.revision()
    assert shore.world.reader.version(shore.cohort.uid) is None


def test_marking_again_or_after_withdrawal_changes_nothing(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    shore.versions.withdraw(shore.alpha, "health", "cohort", 1)
    records = len(shore.world.notebook.records)
    record = shore.versions.mark_broken("health", "cohort", 1, ["x"])
    assert record is not None
    assert record.version.status is VersionStatus.WITHDRAWN
    assert shore.versions.mark_broken("health", "cohort", 7, ["x"]) is None
    assert len(shore.world.notebook.records) == records


def test_roles_that_the_version_lacks_are_noted(shore: Lake) -> None:
    shore.register("noted", "cohort", roles={"entity": "PID", "location": "ID"})
    shore.file("cohort/a.parquet")
    publication = shore.versions.publish(shore.alpha, "health", "noted")
    assert publication.notes == (
        "The role entity names the column PID, which this version lacks: policies that use it are void.",
    )


def test_files_are_read_by_position(shore: Lake) -> None:
    for number in range(5):
        shore.file(f"cohort/{number}.parquet")
    shore.versions.publish(shore.alpha, "health", "cohort")
    found = shore.versions.files(shore.alpha, "health", "cohort", 1, start=3, limit=10)
    assert [file.path for file in found] == ["cohort/3.parquet", "cohort/4.parquet"]


def test_an_inode_beyond_63_bits_comes_back_as_it_was(shore: Lake) -> None:
    shore.file("cohort/a.parquet")
    publication = shore.versions.publish(shore.alpha, "health", "cohort")
    version = publication.record.version
    from datalab.db.versions import insert_version, read_version

    entry = shore.versions.files(shore.alpha, "health", "cohort", 1, limit=1)[0]
    large = replace(entry, inode=(1 << 64) - 3, device=1 << 63)
    with shore.world.database.write() as session:
        insert_version(session, replace(version, uid="f" * 32, number=9, files=(large,)), "0" * 64)
    with shore.world.database.read() as session:
        found = read_version(session, shore.cohort.uid, 9)
    assert found is not None
    assert found.files == (large,)
