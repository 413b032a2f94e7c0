"""What every connector keeps, written once and run over each kind of storage."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import contract
from connectors.errors import FileChanged, NotFound, NothingFound, PathRefused, TooMany
from tests.connectors.conftest import Place, parquet

HOSTILE = [
    "../outside.parquet", "a/../../outside.parquet", "/etc/passwd", "a//b.parquet", "./a.parquet", "a/./b.parquet",
    "%2e%2e/outside.parquet", "%252e%252e/outside.parquet", "a%2fb.parquet", "f.parquet?s3_endpoint=127.0.0.1:9",
    "f%3fs3_endpoint=127.0.0.1", "f.parquet#x", "[1].parquet", "*.parquet", "{a,b}.parquet", "a\\b.parquet",
    "a\nb.parquet", "a\0b.parquet", "a\x7fb.parquet", "", "a" * 2000,
]  # fmt: skip


def names(place: Place, location: str = "", limit: int = contract.MAX_FILES) -> list[str]:
    return [file.path for file in place.connector.list(location, limit=limit)]


def test_one_named_file_is_listed(place: Place) -> None:
    content = parquet()
    place.put("a/one.parquet", content)
    place.put("a/one.parquet.bak", b"other")
    (file,) = place.connector.list("a/one.parquet")
    assert (file.path, file.size_bytes) == ("a/one.parquet", len(content))


def test_a_prefix_is_listed_in_order_of_the_paths(place: Place) -> None:
    for path in ("b/2.parquet", "b/10.parquet", "b/1.parquet", "b/deep/er/3.parquet", "b-twin/4.parquet", "c.parquet"):
        place.put(path, parquet())
    below = ["b/1.parquet", "b/10.parquet", "b/2.parquet", "b/deep/er/3.parquet"]
    assert names(place, "b") == below
    assert names(place, "b/") == below
    assert names(place) == ["b-twin/4.parquet", *below, "c.parquet"]


def test_hive_partitions_are_listed_even_with_an_underscore(place: Place) -> None:
    paths = ["t/_day=1/f.parquet", "t/year=2023/city=S%C3%A3o/f.parquet", "t/year=2024/city=a b+c&d/f.parquet"]
    for path in paths:
        place.put(path, parquet())
    assert names(place, "t") == paths


def test_names_that_hide_by_convention_are_not_data(place: Place) -> None:
    for path in ("t/_SUCCESS", "t/.f.parquet.crc", "t/_delta_log/0.parquet", "t/.hidden/f.parquet", "t/_f.parquet"):
        place.put(path, parquet())
    place.put("t/README.md", b"text")
    with pytest.raises(NothingFound):
        names(place, "t")
    place.put("t/F.PARQUET", parquet())
    assert names(place, "t") == ["t/F.PARQUET"]


def test_another_suffix_can_be_asked_for(place: Place) -> None:
    place.put("t/a.csv", b"1")
    place.put("t/a.parquet", parquet())
    assert [file.path for file in place.connector.list("t", suffix=".csv")] == ["t/a.csv"]


@pytest.mark.parametrize("location", ["", "nothing", "nothing/here.parquet"])
def test_an_empty_location_is_an_error(place: Place, location: str) -> None:
    with pytest.raises((NothingFound, NotFound)) as caught:
        names(place, location)
    assert caught.value.code in {"storage.empty", "storage.not_found"}


def test_more_files_than_allowed_are_refused(place: Place) -> None:
    for number in range(4):
        place.put(f"t/{number}.parquet", b"x")
    assert len(names(place, "t", limit=4)) == 4
    with pytest.raises(TooMany):
        names(place, "t", limit=3)


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_name_is_refused_by_every_method(place: Place, path: str) -> None:
    for call in (
        lambda: place.connector.identify([path]),
        lambda: place.connector.open(path),
        lambda: place.connector.engine_paths([path]),
        lambda: list(place.connector.list(path or "/")),
    ):
        with pytest.raises(PathRefused) as caught:
            call()
        assert caught.value.code == "storage.path"
        assert not set("\n\0\x7f") & set(str(caught.value.detail))


@pytest.mark.parametrize("name", ["[1].parquet", "a?b.parquet", "x/{a}.parquet", "x%2e%2e%2fy/a.parquet", "a*.parquet"])
def test_a_data_file_with_a_hostile_name_refuses_the_listing(place: Place, name: str) -> None:
    place.put("t/fine.parquet", parquet())
    place.put(f"t/{name}", parquet())
    with pytest.raises(PathRefused):
        names(place, "t")


def test_identities_come_in_the_order_asked_and_a_missing_file_is_none(place: Place) -> None:
    for number in range(3):
        place.put(f"{number}.parquet", parquet(number + 1))
    found = place.connector.identify(["2.parquet", "gone.parquet", "0.parquet", "dir/gone.parquet"])
    assert [file and file.path for file in found] == ["2.parquet", None, "0.parquet", None]


def test_identities_of_many_files_are_those_of_the_listing(place: Place) -> None:
    for number in range(30):
        place.put(f"many/{number:02}.parquet", b"x" * number)
    listed = list(place.connector.list("many"))
    found = place.connector.identify([file.path for file in listed])
    assert all(now is not None and now.same_content(then) for now, then in zip(found, listed, strict=True))


def test_an_unchanged_file_is_the_same_and_a_changed_one_is_noticed(place: Place) -> None:
    place.put("same.parquet", parquet())
    place.put("grown.parquet", parquet(3))
    place.put("swapped.parquet", parquet(3, value=1))
    place.put("gone.parquet", parquet())
    files = [file.entry(rows=3) for file in place.connector.list("")]
    assert contract.changed(place.connector, files) == []
    place.put("grown.parquet", parquet(4))
    place.put("swapped.parquet", parquet(3, value=2))
    place.remove("gone.parquet")
    assert sorted(contract.changed(place.connector, files)) == ["gone.parquet", "grown.parquet", "swapped.parquet"]


def test_a_file_without_any_stamp_is_never_the_same(place: Place) -> None:
    place.put("a.parquet", parquet())
    (file,) = place.connector.list("a.parquet")
    bare = dataclasses.replace(file, etag=None, version_id=None, device=None, inode=None, mtime_ns=None)
    assert not bare.same_content(bare)


def test_a_file_is_read_at_random(place: Place) -> None:
    content = bytes(range(256)) * 10
    place.put("f.bin", content)
    with_seek = place.connector.open("f.bin")
    assert (with_seek.readable(), with_seek.seekable(), with_seek.writable()) == (True, True, False)
    assert with_seek.seek(-100, 2) == len(content) - 100
    assert with_seek.read(10) == content[-100:-90]
    assert with_seek.tell() == len(content) - 90
    with_seek.seek(300)
    assert with_seek.read() == content[300:]
    assert with_seek.read(5) == b""
    with_seek.close()
    assert with_seek.closed


def test_a_footer_is_read_by_pyarrow(place: Place) -> None:
    place.put("f.parquet", parquet(17))
    opened = place.connector.open("f.parquet")
    with pa.PythonFile(opened, mode="r") as source:
        assert pq.read_metadata(source).num_rows == 17
    assert opened.identity.path == "f.parquet"


def test_an_empty_file_opens_and_has_nothing(place: Place) -> None:
    place.put("f.parquet", b"")
    opened = place.connector.open("f.parquet")
    assert (opened.identity.size_bytes, opened.read()) == (0, b"")
    opened.close()


def test_opening_what_is_not_there_says_so(place: Place) -> None:
    place.put("dir/f.parquet", parquet())
    for path in ("gone.parquet", "dir/gone.parquet"):
        with pytest.raises(NotFound):
            place.connector.open(path)


def test_opening_a_file_that_changed_since_is_refused(place: Place) -> None:
    place.put("f.parquet", parquet(1))
    (file,) = place.connector.list("f.parquet")
    place.connector.open("f.parquet", file).close()
    place.put("f.parquet", parquet(1, value=9))
    with pytest.raises(FileChanged):
        place.connector.open("f.parquet", file).read(4)


def test_the_engine_gets_paths_below_its_scope(place: Place) -> None:
    access = place.connector.engine_access()
    assert access.scope.endswith("/")
    paths = place.connector.engine_paths(["a/b.parquet", "c=1/d e.parquet"])
    assert paths == (access.scope + "a/b.parquet", access.scope + "c=1/d e.parquet")


def test_the_fingerprint_stands_still(place: Place) -> None:
    assert place.connector.engine_access().fingerprint == place.connector.engine_access().fingerprint


def test_the_check_says_what_works_and_which_rights_are_least(place: Place) -> None:
    empty = place.connector.check()
    assert (empty.listing, empty.reading, empty.enough) == (True, None, True)
    place.put("a/f.parquet", parquet())
    full = place.connector.check()
    assert (full.listing, full.reading, full.problems) == (True, True, ())
    assert full.least


def test_several_files_are_opened_in_a_row_with_the_same_checks(place: Place) -> None:
    place.put("x/a.parquet", b"aaaa")
    place.put("x/b.parquet", b"bbbb")
    listed = {file.path: file for file in place.connector.list("x")}
    place.put("x/b.parquet", b"new")
    with place.connector.opening() as open_file:
        first = open_file("x/a.parquet", listed["x/a.parquet"])
        assert first.read() == b"aaaa"
        first.close()
        with pytest.raises(FileChanged):
            open_file("x/b.parquet", listed["x/b.parquet"]).read()
        with pytest.raises(NotFound):
            open_file("x/nothing.parquet").read()
        with pytest.raises(PathRefused):
            open_file("../x/a.parquet")
