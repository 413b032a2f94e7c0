from __future__ import annotations

from dataclasses import replace

import pytest

from catalog.entities import Admission, AdmissionRole
from catalog.errors import DocumentRefused
from datalab.flow.principal import Role
from datalab.registry.errors import Conflict, NotAllowed, NotFound, Stale
from datalab.registry.ports import Page
from datalab.registry.writes import Expected
from tests.registry.world import MACHINE, World, dataset, factory, lab, space


def test_a_lab_needs_an_existing_home_factory(world: World) -> None:
    with pytest.raises(Conflict) as refused:
        world.data_labs.create(MACHINE, lab("new", home="nowhere"))
    assert refused.value.code == "registry.reference"
    assert refused.value.detail["field"] == "home"
    with pytest.raises(NotFound):
        world.data_labs.get(MACHINE, "new")


def test_a_factory_with_labs_cannot_be_deleted(world: World) -> None:
    with pytest.raises(Conflict) as refused:
        world.ai_factories.delete(MACHINE, "lumi")
    assert refused.value.code == "registry.in_use"
    assert world.ai_factories.get(MACHINE, "lumi").id == "lumi"


def test_a_factory_that_is_a_partner_cannot_be_deleted_either(world: World) -> None:
    world.ai_factories.create(MACHINE, factory("mimer"))
    found = world.data_labs.get(MACHINE, "lab")
    world.data_labs.replace(MACHINE, replace(found, partners=("mimer",)))
    with pytest.raises(Conflict):
        world.ai_factories.delete(MACHINE, "mimer")
    world.data_labs.replace(MACHINE, replace(found, partners=()))
    world.ai_factories.delete(MACHINE, "mimer")


def test_the_home_is_not_also_a_partner(world: World) -> None:
    with pytest.raises(DocumentRefused):
        world.data_labs.create(MACHINE, replace(lab("new"), partners=("lumi",)))


def test_a_lab_joins_only_spaces_that_admitted_its_operator(world: World) -> None:
    world.data_spaces.create(MACHINE, space("energy"))
    with pytest.raises(Conflict) as refused:
        world.data_labs.create(MACHINE, lab("new", spaces=("energy",)))
    assert refused.value.code == "registry.admission"
    world.admissions.create(MACHINE, Admission(space="energy", participant="labco", role=AdmissionRole.LAB))
    assert world.data_labs.create(MACHINE, lab("new", spaces=("health", "energy"))).spaces == ("energy", "health")


def test_a_lab_does_not_leave_a_space_where_it_has_datasets(world: World) -> None:
    world.datasets.create(MACHINE, dataset("cohort"))
    with pytest.raises(Conflict) as refused:
        world.data_labs.replace(MACHINE, lab("lab", spaces=()))
    assert refused.value.code == "registry.in_use"


def test_only_the_operators_admin_writes_a_lab(world: World) -> None:
    admin = world.principal("labco", Role.PARTICIPANT_ADMIN)
    assert world.data_labs.create(admin, lab("second")).revision == 1
    for other in (
        world.principal("labco"),
        world.principal("alpha", Role.PARTICIPANT_ADMIN),
        world.principal("ops", Role.GATEWAY_OPERATOR),
    ):
        with pytest.raises(NotAllowed):
            world.data_labs.create(other, lab("third"))
        with pytest.raises(NotAllowed):
            world.data_labs.delete(other, "second")
    world.data_labs.delete(admin, "second")


def test_a_lab_cannot_be_handed_to_a_participant_one_does_not_act_for(world: World) -> None:
    admin = world.principal("labco", Role.PARTICIPANT_ADMIN)
    found = world.data_labs.get(admin, "lab")
    with pytest.raises(NotAllowed):
        world.data_labs.replace(admin, replace(found, operator="alpha"))


def test_outsiders_see_no_lab(world: World) -> None:
    outsider = world.principal("outsider")
    with pytest.raises(NotFound):
        world.data_labs.get(outsider, "lab")
    assert world.data_labs.page(outsider, Page()) == ()
    assert [one.id for one in world.data_labs.page(world.principal("alpha"), Page())] == ["lab"]


def test_a_change_of_another_state_is_stale(world: World) -> None:
    found = world.data_labs.get(MACHINE, "lab")
    read = Expected(uid=found.uid, revision=found.revision)
    changed = world.data_labs.replace(MACHINE, replace(found, services=("storage",)), expected=read)
    assert changed.revision == found.revision + 1
    with pytest.raises(Stale):
        world.data_labs.replace(MACHINE, found, expected=read)
    with pytest.raises(Stale):
        world.data_labs.delete(MACHINE, "lab", expected=read)
    assert world.data_labs.get(MACHINE, "lab").services == ("storage",)


def test_labs_are_found_by_factory(world: World) -> None:
    world.ai_factories.create(MACHINE, factory("mimer"))
    world.data_labs.create(MACHINE, replace(lab("second", home="mimer"), partners=("lumi",)))
    found = world.data_labs.page(MACHINE, Page(), ai_factory="lumi")
    assert [one.id for one in found] == ["lab", "second"]
    assert [one.id for one in world.data_labs.page(MACHINE, Page(), ai_factory="mimer")] == ["second"]
