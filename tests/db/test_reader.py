from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.entities import DatasetStatus
from datalab.db.database import Database, open_engine
from datalab.db.reader import Memo, Reader
from datalab.flow.ports import Catalogue
from tests.registry.world import MACHINE, World, dataset, participant


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    yield World(engine).furnish()
    engine.dispose()


def permit(world: World, name: str, id_: str = "mine", **more: Any) -> None:
    document = {
        "id": id_,
        "title": "T",
        "scope": f"dataset:health/{name}",
        "effect": "permit",
        "actions": ["query"],
        **more,
    }
    world.policies.create(MACHINE, document)


def test_a_request_costs_one_read_once_everything_is_remembered(world: World) -> None:
    world.datasets.create(MACHINE, dataset("cohort"))

    def request() -> None:
        world.reader.revision()
        world.reader.dataset("health", "cohort")
        world.reader.policies("dataset:health/cohort")
        world.reader.version("0" * 32)
        world.reader.data_lab("lab")
        world.reader.admissions("alpha")
        world.reader.participant("nobody")

    request()
    with world.statements() as statements:
        request()
    assert statements == [], "the read of the revision goes to the driver and is not listed"


def test_a_write_of_anybody_is_seen_at_the_next_revision(world: World) -> None:
    reader = world.reader
    reader.revision()
    assert reader.participant("newco") is None
    other = World(world.engine)
    other.participants.create(MACHINE, participant("newco"))
    assert reader.participant("newco") is None, "one request sees one state"
    reader.revision()
    assert reader.participant("newco") is not None


def test_a_decision_never_pairs_old_policies_with_a_new_dataset(world: World) -> None:
    """The provider forbids first and publishes then: nobody may see the dataset published and unforbidden."""
    world.datasets.create(MACHINE, dataset("cohort"))
    runs: list[int] = []

    def work(catalogue: Catalogue) -> tuple[int, DatasetStatus]:
        policies = catalogue.policies("dataset:health/cohort")
        if not runs:
            permit(world, "cohort", effect="forbid")
            world.datasets.publish(MACHINE, "health", "cohort")
        runs.append(catalogue.revision())
        found = catalogue.dataset("health", "cohort")
        assert found is not None
        return len(policies), found.status

    assert world.reader.consistently(work) == (1, DatasetStatus.PUBLISHED)
    assert len(runs) == 2


def test_work_that_is_always_overtaken_gets_a_snapshot(world: World) -> None:
    world.datasets.create(MACHINE, dataset("cohort"))
    runs: list[int] = []

    def work(catalogue: Catalogue) -> tuple[bool, bool]:
        first = catalogue.participant(f"before_{len(runs)}") is None
        world.participants.create(MACHINE, participant(f"later{len(runs)}"))
        runs.append(catalogue.revision())
        return first, catalogue.participant(f"later{len(runs) - 1}") is None

    assert world.reader.consistently(work) == (True, True)
    assert len(runs) == 4


def test_a_memo_is_bounded_and_forgets_the_oldest() -> None:
    memo = Memo(1, 10)
    for number in range(100):
        memo.put((number,), 3, number)
        assert memo.weight <= 10
    assert memo.get((0,)) is None
    assert memo.get((99,)) == (3, 99)
    memo.put(("huge",), 11, "huge")
    assert memo.get(("huge",)) is None


def test_guessed_names_do_not_fill_the_memory(world: World) -> None:
    reader = Reader(world.database, memo_weight=50)
    reader.revision()
    for number in range(500):
        assert reader.dataset("health", f"guess_{number}") is None
    assert reader._memo.weight <= 50


def test_many_policies_are_found_by_their_scope_through_an_index(world: World) -> None:
    world.datasets.create(MACHINE, dataset("cohort"))
    permit(world, "cohort")
    with world.statements() as statements:
        world.reader.policies("dataset:health/cohort")
    (query,) = (one for one in statements if "FROM policies" in one)
    with world.engine.connect() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + query, ("dataset:health/cohort",)).all()
    assert not any("SCAN" in str(row) for row in plan), plan


def test_threads_see_only_whole_states(world: World) -> None:
    """A writer raises two counters together; readers must never see them apart."""
    world.datasets.create(MACHINE, dataset("one"))
    world.datasets.create(MACHINE, dataset("two"))
    reader = Reader(Database(world.engine))
    stop = threading.Event()
    torn: list[tuple[str | None, str | None]] = []

    def read() -> None:
        def work(catalogue: Catalogue) -> tuple[str | None, str | None]:
            one, two = catalogue.dataset("health", "one"), catalogue.dataset("health", "two")
            return (one.attribution if one else None), (two.attribution if two else None)

        while not stop.is_set():
            found = reader.consistently(work)
            if found[0] != found[1]:
                torn.append(found)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(40):
        with world.store.write() as transaction:
            for name in ("one", "two"):
                transaction.datasets.replace(dataset(name, attribution=str(number)))
    stop.set()
    for thread in threads:
        thread.join()
    assert torn == []
