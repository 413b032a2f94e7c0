from __future__ import annotations

from typing import Any

import pytest

from catalog.entities import Admission, AdmissionRole
from datalab.flow.principal import Principal, Role
from datalab.registry.errors import Conflict, NotAllowed, NotFound, Stale
from datalab.registry.ports import Page
from datalab.registry.writes import as_read
from policies.errors import PolicyInvalid
from tests.registry.world import MACHINE, World, dataset


def document(id_: str, scope: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "title": id_, "scope": scope, "effect": "permit", "actions": ["query"], **more}


@pytest.fixture
def callers(world: World) -> dict[str, Principal]:
    world.datasets.create(MACHINE, dataset("cohort"))
    world.datasets.create(MACHINE, dataset("trials", provider="beta"))
    world.admissions.create(MACHINE, Admission(space="health", participant="outsider", role=AdmissionRole.DEVELOPER))
    return {
        "alpha": world.principal("alpha"),
        "beta": world.principal("beta", Role.MEMBER, Role.PARTICIPANT_ADMIN),
        "steward": world.principal("steward", Role.PARTICIPANT_ADMIN),
        "labco": world.principal("labco", Role.PARTICIPANT_ADMIN),
        "ops": world.principal("ops", Role.GATEWAY_OPERATOR),
        "member": world.principal("outsider"),
    }


WRITERS = {
    "federation": "ops",
    "space:health": "steward",
    "lab:lab": "labco",
    "dataset:health/cohort": "alpha",
    "dataset:health/trials": "beta",
}
READERS = {
    "federation": {"alpha", "beta", "steward", "labco", "ops", "member"},
    "space:health": {"alpha", "beta", "steward", "labco", "ops", "member"},
    "lab:lab": {"alpha", "beta", "labco", "ops", "member"},
    "dataset:health/cohort": {"alpha"},
    "dataset:health/trials": {"beta"},
}


@pytest.mark.parametrize("scope", WRITERS)
def test_each_level_has_one_writer_and_its_readers(world: World, callers: dict[str, Principal], scope: str) -> None:
    for name, principal in callers.items():
        if name == WRITERS[scope]:
            continue
        with pytest.raises((NotAllowed, NotFound)):
            world.policies.create(principal, document("mine", scope))
    stored = world.policies.create(callers[WRITERS[scope]], document("mine", scope))
    assert (stored.scope, stored.revision) == (scope, 1)
    readers = set()
    for name, principal in callers.items():
        listed = [one.id for one in world.policies.page(principal, Page())]
        try:
            world.policies.get(principal, "mine")
        except NotFound:
            assert listed == []
        else:
            assert listed == ["mine"]
            readers.add(name)
    assert readers == READERS[scope]
    for name, principal in callers.items():
        if name != WRITERS[scope]:
            with pytest.raises((NotAllowed, NotFound)):
                world.policies.delete(principal, "mine")
    world.policies.delete(callers[WRITERS[scope]], "mine")


def test_a_foreign_and_an_absent_dataset_are_refused_alike(world: World, callers: dict[str, Principal]) -> None:
    refusals = []
    for name in ("trials", "absent"):
        with pytest.raises(NotFound) as refused:
            world.policies.create(callers["alpha"], document("mine", f"dataset:health/{name}"))
        refusals.append(refused.value.sentence)
    assert refusals[0] == refusals[1]


def test_every_change_is_a_version_with_author_and_reason(world: World, callers: dict[str, Principal]) -> None:
    alpha = callers["alpha"]
    first = world.policies.create(alpha, document("mine", "dataset:health/cohort"), reason="first")
    world.clock.move(hours=1)
    second = world.policies.replace(
        alpha, document("mine", "dataset:health/cohort", title="New"), reason="second", expected=as_read(first)
    )
    assert second.revision == 2
    versions = world.policies.history(alpha, "mine")
    assert [(one.number, one.reason, one.author_subject) for one in versions] == [
        (1, "first", "alpha-client"),
        (2, "second", "alpha-client"),
    ]
    assert [one.document and one.document["title"] for one in versions] == ["mine", "New"]
    assert versions[0].created_at < versions[1].created_at
    with pytest.raises(Stale):
        world.policies.replace(alpha, document("mine", "dataset:health/cohort"), expected=as_read(first))
    with pytest.raises(NotFound):
        world.policies.history(callers["beta"], "mine")


def test_history_outlives_the_policy(world: World, callers: dict[str, Principal]) -> None:
    stored = world.policies.create(callers["alpha"], document("mine", "dataset:health/cohort"))
    world.policies.delete(callers["alpha"], "mine", reason="done")
    versions = world.store.lists.policy_versions(stored.uid)
    assert [(one.number, one.document is None, one.reason) for one in versions] == [(1, False, ""), (2, True, "done")]
    assert world.reader.policies("dataset:health/cohort") == ()


def test_a_policy_goes_with_its_dataset_and_does_not_return(world: World, callers: dict[str, Principal]) -> None:
    alpha = callers["alpha"]
    stored = world.policies.create(alpha, document("mine", "dataset:health/cohort"))
    world.datasets.delete(alpha, "health", "cohort")
    world.datasets.create(alpha, dataset("cohort"))
    world.reader.revision()
    assert world.reader.policies("dataset:health/cohort") == ()
    assert world.store.lists.policy_versions(stored.uid)[-1].reason == "dataset:health/cohort was deleted"
    with pytest.raises(Conflict):
        world.policies.create(callers["beta"], document("mine", "dataset:health/trials"))
    world.policies.create(alpha, document("mine", "dataset:health/cohort"))


def test_a_policy_does_not_move_to_another_owner(world: World, callers: dict[str, Principal]) -> None:
    world.policies.create(callers["alpha"], document("mine", "dataset:health/cohort"))
    with pytest.raises(NotAllowed):
        world.policies.replace(callers["alpha"], document("mine", "space:health"))
    with pytest.raises(Conflict) as refused:
        world.policies.replace(MACHINE, document("mine", "space:health"))
    assert refused.value.code == "registry.fixed"


@pytest.mark.parametrize(
    "broken",
    [
        {"when": "principal.country =="},
        {"when": "principal.nothing == 1"},
        {"actions": ["read"]},
        {"effect": "allow"},
        {"obligations": {"rows": {"sql": "1=1"}}},
        {"obligatons": {}},
        {"scope": "planet:earth"},
        {"id": "Not An Id"},
    ],
)
def test_what_cannot_be_in_force_is_not_stored(world: World, broken: dict[str, Any]) -> None:
    with pytest.raises(PolicyInvalid):
        world.policies.create(MACHINE, {**document("mine", "federation"), **broken})
    assert world.policies.page(MACHINE, Page()) == ()


def test_a_simulation_shows_a_draft_and_saves_nothing(world: World, callers: dict[str, Principal]) -> None:
    alpha = callers["alpha"]
    before = world.preview.simulate(alpha, "health", "cohort", "steward")
    assert before.actions == ()
    draft = document("draft", "dataset:health/cohort", when='principal.country == "IT"')
    after = world.preview.simulate(alpha, "health", "cohort", "steward", [draft])
    assert after.actions == ("discover", "aggregate", "query")
    assert world.preview.simulate(alpha, "health", "cohort", "labco", [draft]).actions == ()
    assert world.policies.page(alpha, Page()) == ()
    forbid = {**document("no", "space:health"), "effect": "forbid", "actions": ["query"]}
    assert world.preview.simulate(alpha, "health", "cohort", "steward", [draft, forbid]).actions == (
        "discover",
        "aggregate",
    )
    world.policies.create(alpha, draft)
    replaced = document("draft", "dataset:health/cohort", when='principal.country == "FI"')
    assert world.preview.simulate(alpha, "health", "cohort", "steward", [replaced]).actions == ()
    for other in ("beta", "steward", "ops"):
        with pytest.raises(NotFound):
            world.preview.simulate(callers[other], "health", "cohort", "labco")
