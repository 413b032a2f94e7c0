from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from catalog.entities import Admission, AdmissionRole, DatasetStatus, Participant
from catalog.errors import DocumentRefused
from datalab.flow.principal import Role
from datalab.registry.errors import Conflict, NotAllowed, NotFound, Stale
from datalab.registry.ports import DatasetFilter, Page
from datalab.registry.writes import Expected
from tests.registry.world import MACHINE, World, dataset, factory, lab, space


def test_new_datasets_are_drafts_whatever_they_say(world: World) -> None:
    alpha = world.principal("alpha")
    stored = world.datasets.create(alpha, dataset("cohort", status=DatasetStatus.PUBLISHED))
    assert stored.status is DatasetStatus.DRAFT
    assert stored.created_at == world.clock.now


def test_the_provider_must_be_admitted_as_provider(world: World) -> None:
    world.storages.create(
        MACHINE,
        world_storage := replace(world.storages.get(MACHINE, "alpha_disk"), id="labco_disk", participant="labco"),
    )
    assert world_storage.participant == "labco"
    with pytest.raises(Conflict) as refused:
        world.datasets.create(world.principal("labco"), dataset("cohort", provider="labco"))
    assert refused.value.code == "registry.admission"
    with pytest.raises(NotAllowed):
        world.datasets.create(world.principal("outsider"), dataset("cohort", provider="outsider"))


def test_the_lab_must_have_joined_the_space(world: World) -> None:
    world.data_labs.create(MACHINE, lab("apart", spaces=()))
    for name in ("apart", "missing"):
        with pytest.raises(Conflict) as refused:
            world.datasets.create(world.principal("alpha"), dataset("cohort", lab=name))
        assert refused.value.detail["field"] == "lab"


def test_the_storage_must_be_the_providers_own(world: World) -> None:
    for name in ("beta_disk", "missing"):
        with pytest.raises(Conflict) as refused:
            world.datasets.create(world.principal("alpha"), dataset("cohort", storage=name))
        assert refused.value.sentence == "The provider has no such storage."


@pytest.mark.parametrize("name", ["main", "temp", "order", "Cohort", "1x", "", "a" * 64, "a b", "x;y"])
def test_names_that_mean_something_else_in_sql_are_refused(world: World, name: str) -> None:
    with pytest.raises(DocumentRefused):
        world.datasets.create(MACHINE, dataset(name))


@pytest.mark.parametrize("location", ["../x", "/etc", "a/../b", "x?s3_endpoint=evil", "a[1]", "a*", "a\nb", "a//b"])
def test_locations_that_escape_or_glob_are_refused(world: World, location: str) -> None:
    with pytest.raises(DocumentRefused):
        world.datasets.create(MACHINE, dataset("cohort", location=location))


def test_a_dataset_goes_from_draft_to_published_to_withdrawn_and_not_back(world: World) -> None:
    alpha = world.principal("alpha")
    world.datasets.create(alpha, dataset("cohort"))
    with pytest.raises(Conflict):
        world.datasets.withdraw(alpha, "health", "cohort")
    assert world.datasets.publish(alpha, "health", "cohort").status is DatasetStatus.PUBLISHED
    found = world.datasets.get(alpha, "health", "cohort")
    with pytest.raises(Conflict) as refused:
        world.datasets.replace(alpha, replace(found, status=DatasetStatus.DRAFT))
    assert refused.value.code == "registry.status"
    assert world.datasets.withdraw(alpha, "health", "cohort").status is DatasetStatus.WITHDRAWN
    with pytest.raises(Conflict):
        world.datasets.publish(alpha, "health", "cohort")


def test_provider_a_does_nothing_to_provider_bs_dataset(world: World) -> None:
    beta = world.principal("beta", Role.MEMBER, Role.PARTICIPANT_ADMIN)
    world.datasets.create(beta, dataset("trials", provider="beta"))
    alpha = world.principal("alpha", Role.MEMBER, Role.PARTICIPANT_ADMIN)
    with pytest.raises(NotFound):
        world.datasets.get(alpha, "health", "trials")
    with pytest.raises(NotFound):
        world.datasets.replace(alpha, dataset("trials", provider="beta", title={"en": "Mine"}))
    with pytest.raises(NotFound):
        world.datasets.replace(alpha, dataset("trials", provider="alpha"))
    with pytest.raises(NotFound):
        world.datasets.delete(alpha, "health", "trials")
    with pytest.raises(NotAllowed):
        world.datasets.create(alpha, dataset("other", provider="beta"))
    assert world.datasets.get(beta, "health", "trials").title == {"en": "Trials"}


def test_a_dataset_keeps_its_provider(world: World) -> None:
    world.datasets.create(MACHINE, dataset("cohort"))
    with pytest.raises(Conflict) as refused:
        world.datasets.replace(MACHINE, dataset("cohort", provider="beta"))
    assert refused.value.code == "registry.fixed"


def test_a_name_is_never_reused_for_another_owner(world: World) -> None:
    alpha, beta = world.principal("alpha"), world.principal("beta")
    first = world.datasets.create(alpha, dataset("cohort"))
    with pytest.raises(Conflict) as live:
        world.datasets.create(beta, dataset("cohort", provider="beta"))
    world.datasets.delete(alpha, "health", "cohort")
    with pytest.raises(Conflict) as dead:
        world.datasets.create(beta, dataset("cohort", provider="beta"))
    assert (live.value.code, live.value.sentence) == (dead.value.code, dead.value.sentence)
    second = world.datasets.create(alpha, dataset("cohort"))
    assert second.uid != first.uid


def test_an_old_tag_does_not_match_a_thing_registered_anew(world: World) -> None:
    alpha = world.principal("alpha")
    first = world.datasets.create(alpha, dataset("cohort"))
    world.datasets.delete(alpha, "health", "cohort")
    world.datasets.create(alpha, dataset("cohort"))
    with pytest.raises(Stale):
        world.datasets.delete(alpha, "health", "cohort", expected=Expected(uid=first.uid, revision=first.revision))


def test_what_others_rest_on_stays(world: World) -> None:
    world.datasets.create(MACHINE, dataset("cohort"))
    acts: tuple[Callable[[], None], ...] = (
        lambda: world.data_spaces.delete(MACHINE, "health"),
        lambda: world.data_labs.delete(MACHINE, "lab"),
        lambda: world.storages.delete(MACHINE, "alpha_disk"),
        lambda: world.participants.delete(MACHINE, "alpha"),
        lambda: world.admissions.delete(MACHINE, "health", "alpha", AdmissionRole.PROVIDER),
        lambda: world.admissions.delete(MACHINE, "health", "labco", AdmissionRole.LAB),
    )
    for act in acts:
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.code == "registry.in_use"
    world.datasets.delete(MACHINE, "health", "cohort")
    world.admissions.delete(MACHINE, "health", "alpha", AdmissionRole.PROVIDER)


def test_every_write_is_in_the_journal_with_its_outcome(world: World) -> None:
    alpha, beta = world.principal("alpha"), world.principal("beta")
    world.notebook.records.clear()
    world.datasets.create(alpha, dataset("cohort"))
    with pytest.raises(NotFound):
        world.datasets.delete(beta, "health", "cohort")
    world.datasets.delete(alpha, "health", "cohort")
    assert world.notebook.records == [
        ("alpha-client", "create", "dataset:health/cohort", "done"),
        ("beta-client", "delete", "dataset:health/cohort", "NotFound"),
        ("alpha-client", "delete", "dataset:health/cohort", "done"),
    ]


def names(world: World, who: str, **where: str | None) -> list[str]:
    return [one.key for one in world.discovery.page(world.principal(who), Page(), DatasetFilter(**where))]


def test_filters_narrow_the_list(world: World) -> None:
    world.ai_factories.create(MACHINE, factory("mimer"))
    world.data_spaces.create(MACHINE, space("energy"))
    for role in AdmissionRole:
        for who in ("labco", "alpha"):
            world.admissions.create(MACHINE, Admission(space="energy", participant=who, role=role))
    world.data_labs.create(MACHINE, lab("grid", home="mimer", spaces=("energy",)))
    world.datasets.create(MACHINE, dataset("cohort", keywords=("Onkologie", "100%_real"), licence="CC-BY-4.0"))
    world.datasets.create(MACHINE, dataset("meters", space="energy", lab="grid", description={"en": "Smart METERS"}))
    assert names(world, "alpha") == ["energy/meters", "health/cohort"]
    assert names(world, "alpha", q="onko") == ["health/cohort"]
    assert names(world, "alpha", q="smart meters") == ["energy/meters"]
    assert names(world, "alpha", q="smart cohort") == []
    assert names(world, "alpha", q="100%_R") == ["health/cohort"]
    assert names(world, "alpha", q="%") == ["health/cohort"]
    assert names(world, "alpha", space="energy") == ["energy/meters"]
    assert names(world, "alpha", lab="lab") == ["health/cohort"]
    assert names(world, "alpha", ai_factory="mimer") == ["energy/meters"]
    assert names(world, "alpha", sector="energy") == ["energy/meters"]
    assert names(world, "alpha", provider="beta") == []
    assert names(world, "alpha", country="DE") == ["energy/meters", "health/cohort"]
    assert names(world, "alpha", country="FR") == []
    assert names(world, "alpha", licence="CC-BY-4.0") == ["health/cohort"]
    assert names(world, "beta") == []


def test_participants_must_be_verified_to_own_anything(world: World) -> None:
    found: Participant = world.participants.get(MACHINE, "alpha")
    world.participants.replace(MACHINE, replace(found, status="refused"))  # type: ignore[arg-type]  # as JSON has it
    with pytest.raises(Conflict):
        world.datasets.create(MACHINE, dataset("cohort"))
