"""Connectors are kept per storage and revision, and no longer."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import pytest

from catalog.entities import Storage, StorageKind
from connectors.contract import Connector, EngineAccess, require_one_authority
from connectors.errors import AuthorityRefused, RootRefused
from connectors.reuse import OpenConnectors
from tests.connectors.conftest import LocalPlace

STORAGE = Storage(id="s", uid="u", revision=1, participant="p", kind=StorageKind.LOCAL, root="/nowhere")


@pytest.fixture
def opened() -> list[Storage]:
    return []


def kept(place: LocalPlace, opened: list[Storage], most: int = 256) -> OpenConnectors:
    def connect(storage: Storage) -> Connector:
        opened.append(storage)
        return place.reopened()

    return OpenConnectors(connect, most=most)


def test_a_storage_is_opened_once(local_place: LocalPlace, opened: list[Storage]) -> None:
    connectors = kept(local_place, opened)
    assert connectors.connector(STORAGE) is connectors.connector(STORAGE)
    assert len(opened) == 1


def test_a_new_revision_is_opened_anew_and_an_old_one_is_never_kept(
    local_place: LocalPlace, opened: list[Storage]
) -> None:
    connectors = kept(local_place, opened)
    old, new = STORAGE, dataclasses.replace(STORAGE, revision=2)
    first = connectors.connector(old)
    second = connectors.connector(new)
    assert second is not first
    assert connectors.connector(old) not in {first, second}
    assert connectors.connector(new) is second


def test_only_so_many_are_kept_and_the_others_are_let_go(local_place: LocalPlace, opened: list[Storage]) -> None:
    connectors = kept(local_place, opened, most=2)
    first = weakref.ref(connectors.connector(STORAGE))
    for uid in ("v", "w"):
        connectors.connector(dataclasses.replace(STORAGE, uid=uid))
    gc.collect()
    assert first() is None


def test_a_refusal_is_not_kept(local_place: LocalPlace) -> None:
    answers = iter([RootRefused("no"), None])

    def connect(_: Storage) -> Connector:
        answer = next(answers)
        if answer is not None:
            raise answer
        return local_place.connector

    connectors = OpenConnectors(connect)
    with pytest.raises(RootRefused):
        connectors.connector(STORAGE)
    assert connectors.connector(STORAGE) is local_place.connector


def test_one_instance_reads_under_one_authority_only() -> None:
    public = EngineAccess(kind="s3", scope="s3://a/")
    private = EngineAccess(kind="s3", scope="s3://b/", ca_file="/ca/b.pem")
    plain = EngineAccess(kind="s3", scope="s3://c/", use_ssl=False)
    local = EngineAccess(kind="local", scope="/data/")
    require_one_authority([])
    require_one_authority([public, public, plain, local])
    require_one_authority([private, dataclasses.replace(private, scope="s3://d/"), plain, local])
    for pair in ([public, private], [private, dataclasses.replace(private, ca_file="/ca/other.pem")]):
        with pytest.raises(AuthorityRefused):
            require_one_authority(pair)
