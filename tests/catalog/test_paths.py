"""File names that could mean something else to the engine, to S3 or to the file system."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import PathRefused
from catalog.paths import check_location, check_relative_path

PLAIN = [
    "a.parquet",
    "year=2024/month=01/part-0.parquet",
    "city=S%C3%A3o/x.parquet",
    "with space/Größe in °C.parquet",
    "100% wool.parquet",
    "100%.parquet",
    "a..b/...c",
    'it\'s "quoted".parquet',
    "s/" + "x" * 255,
]
HOSTILE = [
    "",
    "/etc/passwd",
    "a//b",
    "a/",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "x.parquet?s3_endpoint=evil.example",
    "x.parquet#fragment",
    "*.parquet",
    "part[1].parquet",
    "part]1",
    "{a,b}.parquet",
    "a}b",
    "a\\b",
    "a\x00b",
    "a\nb",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "a\udc80b",
    "%2e%2e/a",
    "a/%2E%2e/b",
    "%252e%252e/a",
    "a%2fb",
    "a%252Fb",
    "a%5cb",
    "a%3fs3_endpoint=evil",
    "a%00b",
    "a%0ab",
    "s3://bucket/key",
    "x" * 256,
    "/".join(["x" * 200] * 6),
]


@pytest.mark.parametrize("path", PLAIN)
def test_real_file_names_are_followed_as_they_are(path: str) -> None:
    assert check_relative_path(path) == path
    assert check_location(path) == path


@pytest.mark.parametrize("path", HOSTILE)
def test_names_with_a_second_meaning_are_refused(path: str) -> None:
    with pytest.raises(PathRefused) as refused:
        check_relative_path(path)
    assert refused.value.code == "catalog.path"


def test_a_location_may_be_the_whole_storage_or_a_prefix() -> None:
    assert check_location("") == ""
    assert check_location("cohort/2024/") == "cohort/2024/"


@pytest.mark.parametrize("location", ["/", "//", "a//", "../", "a/../", "%2e%2e/", "*/"])
def test_a_location_is_otherwise_as_strict_as_a_file_name(location: str) -> None:
    with pytest.raises(PathRefused):
        check_location(location)


def test_a_deeply_escaped_name_is_refused_quickly() -> None:
    with pytest.raises(PathRefused):
        check_relative_path("%" + "25" * 120 + "2e%2e")


@given(st.text(alphabet="aZ09_.=/-+@,:", max_size=20))
def test_the_quick_look_at_plain_names_agrees_with_the_thorough_one(text: str) -> None:
    def refused() -> bool:
        try:
            check_relative_path(text)
        except PathRefused:
            return True
        return False

    quick = refused()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("catalog.paths._PLAIN", re.compile(r"(?!)"))
        assert refused() is quick
