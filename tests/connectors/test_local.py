"""Local directories: only below the operator's roots, through no link, and never the gateway's home."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.errors import NotFound, PathRefused, RootRefused, StorageError, Unreachable
from connectors.local import LocalConnector
from tests.connectors.conftest import LocalPlace, parquet


def connect(place: LocalPlace, root: Path | str) -> LocalConnector:
    return LocalConnector(str(root), roots=[place.root.parent], home=place.home)


def test_a_link_to_a_file_is_not_followed(local_place: LocalPlace, tmp_path: Path) -> None:
    secret = tmp_path / "secret.parquet"
    secret.write_bytes(parquet())
    (local_place.root / "link.parquet").symlink_to(secret)
    for call in (
        lambda: list(local_place.connector.list("")),
        lambda: list(local_place.connector.list("link.parquet")),
        lambda: local_place.connector.open("link.parquet"),
    ):
        with pytest.raises(PathRefused, match="Symbolic links"):
            call()
    assert local_place.connector.identify(["link.parquet"]) == (None,)


def test_a_link_to_a_directory_is_not_followed(local_place: LocalPlace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f.parquet").write_bytes(parquet())
    (local_place.root / "inside").symlink_to(outside)
    for call in (
        lambda: list(local_place.connector.list("")),
        lambda: list(local_place.connector.list("inside")),
        lambda: local_place.connector.open("inside/f.parquet"),
    ):
        with pytest.raises(PathRefused, match="Symbolic links"):
            call()
    assert local_place.connector.identify(["inside/f.parquet"]) == (None,)


def test_a_link_within_the_root_is_not_followed_either(local_place: LocalPlace) -> None:
    local_place.put("real.parquet", parquet())
    (local_place.root / "link.parquet").symlink_to("real.parquet")
    with pytest.raises(PathRefused):
        local_place.connector.open("link.parquet")


def test_a_directory_swapped_for_a_link_while_reading_never_shows_what_is_outside(
    local_place: LocalPlace, tmp_path: Path
) -> None:
    local_place.put("d/f.parquet", b"inside")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f.parquet").write_bytes(b"secret")
    real, link, place = local_place.root / "real", local_place.root / "link", local_place.root / "d"
    (local_place.root / "link").symlink_to(outside)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            place.rename(real)
            link.rename(place)
            place.rename(link)
            real.rename(place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[bytes] = set()
    try:
        for _ in range(3000):
            try:
                with local_place.connector.open("d/f.parquet") as file:
                    seen.add(file.readall())
            except StorageError:
                continue
    finally:
        done.set()
        swapper.join()
    assert seen == {b"inside"}


def test_a_storage_directory_swapped_for_a_link_is_refused(local_place: LocalPlace, tmp_path: Path) -> None:
    local_place.put("f.parquet", parquet())
    outside = tmp_path / "outside"
    local_place.root.rename(outside)
    local_place.root.symlink_to(outside)
    for call in (
        lambda: list(local_place.connector.list("")),
        lambda: local_place.connector.identify(["f.parquet"]),
        lambda: local_place.connector.open("f.parquet"),
        local_place.connector.engine_access,
        lambda: connect(local_place, local_place.root),
    ):
        with pytest.raises(RootRefused):
            call()


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory"])
def test_what_is_not_a_plain_file_is_refused_without_waiting(local_place: LocalPlace, kind: str) -> None:
    import socket

    place = local_place.root / "f.parquet"
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "fifo":
            os.mkfifo(place)
        elif kind == "directory":
            place.mkdir()
        else:
            server.bind(str(place))
        with pytest.raises(PathRefused, match="not a plain file"):
            local_place.connector.open("f.parquet")
        if kind != "directory":
            with pytest.raises(PathRefused, match="not a plain file"):
                list(local_place.connector.list(""))
            with pytest.raises(PathRefused, match="not a plain file"):
                list(local_place.connector.list("f.parquet"))
    assert local_place.connector.identify(["f.parquet"]) == (None,)


def test_a_directory_outside_the_roots_is_refused(local_place: LocalPlace, tmp_path: Path) -> None:
    twin = tmp_path / "roots-twin"
    twin.mkdir()
    for root in (
        twin,
        "/",
        "/etc",
        tmp_path,
        f"{local_place.root}/../../roots-twin",
        "data",
        "",
        f"{local_place.root}//x",
    ):
        with pytest.raises(RootRefused):
            connect(local_place, root)


def test_no_root_opened_means_no_local_storage(local_place: LocalPlace) -> None:
    with pytest.raises(RootRefused):
        LocalConnector(str(local_place.root), roots=[], home=local_place.home)


def test_a_directory_that_does_not_exist_is_refused(local_place: LocalPlace) -> None:
    with pytest.raises(RootRefused):
        connect(local_place, local_place.root / "nothing")


def test_the_operators_root_itself_may_be_a_link(tmp_path: Path) -> None:
    real = tmp_path / "disk"
    (real / "data").mkdir(parents=True)
    (real / "data" / "f.parquet").write_bytes(parquet())
    (tmp_path / "roots").symlink_to(real)
    with LocalConnector(str(tmp_path / "roots" / "data"), roots=[tmp_path / "roots"], home=tmp_path / "home") as found:
        assert [file.path for file in found.list("")] == ["f.parquet"]
        assert found.engine_paths(["f.parquet"]) == (str(real / "data" / "f.parquet"),)


@pytest.mark.parametrize("where", ["same", "inside", "around", "through a link"])
def test_the_gateways_home_is_never_a_storage(tmp_path: Path, where: str) -> None:
    opened = tmp_path / "opened"
    home = opened / "a" / "home"
    (home / "keys").mkdir(parents=True)
    named, root = home, {"same": home, "inside": home / "keys", "around": opened / "a"}.get(where, opened / "a")
    if where == "through a link":
        named = tmp_path / "link"
        named.symlink_to(home)
    with pytest.raises(RootRefused, match="home"):
        LocalConnector(str(root), roots=[opened], home=named)


def test_a_home_that_does_not_exist_yet_is_protected_too(tmp_path: Path) -> None:
    (tmp_path / "opened" / "data").mkdir(parents=True)
    (tmp_path / "opened" / "other").mkdir(parents=True)
    home = tmp_path / "opened" / "data" / "home"
    LocalConnector(str(tmp_path / "opened" / "other"), roots=[tmp_path / "opened"], home=home).close()
    with pytest.raises(RootRefused, match="home"):
        LocalConnector(str(tmp_path / "opened" / "data"), roots=[tmp_path / "opened"], home=home)


def test_a_root_name_that_the_engine_would_read_as_a_pattern_is_refused(tmp_path: Path) -> None:
    (tmp_path / "roots" / "data[1]").mkdir(parents=True)
    with pytest.raises(PathRefused):
        LocalConnector(str(tmp_path / "roots" / "data[1]"), roots=[tmp_path / "roots"], home=tmp_path / "home")


def test_a_root_that_went_away_is_unreachable(local_place: LocalPlace) -> None:
    local_place.root.parent.rename(local_place.root.parent.with_name("moved"))
    with pytest.raises(Unreachable):
        local_place.connector.identify(["f.parquet"])


def test_a_file_written_in_place_is_noticed(local_place: LocalPlace) -> None:
    local_place.put("f.parquet", b"before")
    (file,) = local_place.connector.list("f.parquet")
    with (local_place.root / "f.parquet").open("r+b") as target:
        target.write(b"AFTER!")
    os.utime(local_place.root / "f.parquet", ns=(1, (file.mtime_ns or 0) + 1))
    (now,) = local_place.connector.identify(["f.parquet"])
    assert now is not None
    assert not now.same_content(file)


def test_no_error_names_a_directory_of_this_machine(local_place: LocalPlace, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        local_place.connector.open("gone.parquet")
    assert str(tmp_path) not in f"{caught.value} {caught.value.detail}"


def test_descriptors_are_given_back(local_place: LocalPlace) -> None:
    local_place.put("a/b/f.parquet", parquet())
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        list(local_place.connector.list(""))
        local_place.connector.identify(["a/b/f.parquet", "a/gone", "x/y"])
        local_place.connector.open("a/b/f.parquet").close()
        with pytest.raises(NotFound):
            local_place.connector.open("a/b/gone.parquet")
        with pytest.raises(PathRefused):
            local_place.connector.open("a/b")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_more_directories_than_are_kept_open_can_be_looked_into(local_place: LocalPlace) -> None:
    paths = [f"d{number}/f.parquet" for number in range(600)]
    for path in paths:
        local_place.put(path, b"x")
    found = local_place.connector.identify(paths)
    assert all(file is not None for file in found)
    assert len(list(local_place.connector.list(""))) == 600


def test_a_file_that_may_not_be_read_is_a_problem_of_the_check(local_place: LocalPlace) -> None:
    local_place.put("f.parquet", parquet())
    (local_place.root / "f.parquet").chmod(0)
    local_place.root.chmod(0o555)
    for above in local_place.root.parents:
        if above not in Path("/tmp").parents and above != Path("/tmp"):
            above.chmod(0o755)
    with as_nobody():
        rights = local_place.connector.check()
    assert (rights.listing, rights.reading, rights.enough) == (True, False, False)
    assert rights.advice == ()


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read all; an ordinary account needs no change to be refused."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
