"""Searching narrows in storage and is decided here: the narrowing never hides what the decision would show."""

from __future__ import annotations

import itertools
import random
from typing import Any

from catalog.entities import Admission, AdmissionRole, Dataset
from datalab.registry.ports import DatasetFilter, Page
from tests.registry.world import MACHINE, World, dataset, lab, space

CONDITIONS = [
    None,
    'principal.country == "NL"',
    'principal.country != "NL"',
    'resource.name == "set_1"',
    "context has agreement",
    'resource.lab == "second" && principal.country == "NL"',
]


def furnish(world: World) -> list[Dataset]:
    world.data_spaces.create(MACHINE, space("energy"))
    for who, role in (("alpha", AdmissionRole.PROVIDER), ("labco", AdmissionRole.LAB)):
        world.admissions.create(MACHINE, Admission(space="energy", participant=who, role=role))
    world.data_labs.create(MACHINE, lab("second", spaces=("health", "energy")))
    found = []
    for place, number in itertools.product((("health", "lab"), ("health", "second"), ("energy", "second")), range(3)):
        name = f"set_{number}_{place[1]}"
        world.datasets.create(MACHINE, dataset(name, space=place[0], lab=place[1]))
        if number != 2:
            world.datasets.publish(MACHINE, place[0], name)
        found.append(world.datasets.get(MACHINE, place[0], name))
    return sorted(found, key=lambda one: (one.space, one.name))


def scopes(datasets: list[Dataset]) -> list[str]:
    return [
        "federation",
        "space:health",
        "space:energy",
        "lab:lab",
        "lab:second",
        *(f"dataset:{one.key}" for one in datasets),
    ]


def policy(id_: str, scope: str, when: str | None, effect: str) -> dict[str, Any]:
    document = {"id": id_, "title": "T", "scope": scope, "effect": effect, "actions": ["discover"]}
    return document if when is None else {**document, "when": when}


def test_every_search_finds_exactly_what_may_be_discovered(world: World) -> None:
    rng = random.Random(3)
    datasets = furnish(world)
    callers = [world.principal(who) for who in ("outsider", "steward", "alpha")]
    for round_ in range(40):
        ids = []
        for number in range(rng.randrange(1, 6)):
            effect = rng.choice(["permit", "permit", "permit", "forbid"])
            document = policy(f"p{round_}_{number}", rng.choice(scopes(datasets)), rng.choice(CONDITIONS), effect)
            world.policies.create(MACHINE, document)
            ids.append(document["id"])
        for caller in callers:
            expected = world.decider.discoverable(caller, datasets)
            for limit in (1, 4, 50):
                assert keys(pages(world, caller, limit)) == keys(expected), (round_, caller.participant.id, ids)
        for id_ in ids:
            world.policies.delete(MACHINE, id_)


def test_a_space_that_is_closed_to_the_caller_is_not_searched(world: World) -> None:
    furnish(world)
    world.policies.create(MACHINE, policy("open", "federation", None, "permit"))
    world.policies.create(MACHINE, policy("closed", "space:health", 'principal.country == "NL"', "forbid"))
    reach = world.decider.reach(world.principal("outsider"))
    assert (set(reach.opened), set(reach.closed)) == ({"federation"}, {"space:health"})
    found = world.discovery.page(world.principal("outsider"), Page(), DatasetFilter())
    assert {one.space for one in found} == {"energy"}


def pages(world: World, caller: Any, limit: int) -> list[Dataset]:
    found: list[Dataset] = []
    after = None
    while True:
        page = world.discovery.page(caller, Page(after=after, limit=limit), DatasetFilter())
        found += page
        if len(page) < limit:
            return found
        after = page[-1].key


def keys(datasets: Any) -> list[str]:
    return [one.key for one in datasets]
