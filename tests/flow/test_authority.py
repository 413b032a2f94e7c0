"""The authority table: every cell of DESIGN's section 6 whose resource exists, cell by cell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from catalog.entities import (
    DataLab,
    Dataset,
    DataSpace,
    Participant,
    ParticipantKind,
    ParticipantStatus,
    Storage,
    StorageKind,
)
from datalab.flow import authority
from datalab.flow.authority import Kind, Resource, Verb, may, operator_principal
from datalab.flow.principal import Principal, Role

NOT_YET = frozenset({"peer", "agreement", "access_request", "user"})
"""Rows of the table whose resource does not exist yet. When one appears in `Kind`, its cells belong into TABLE."""


def participant(id_: str, status: ParticipantStatus = ParticipantStatus.VERIFIED) -> Participant:
    return Participant(id=id_, legal_name=id_, country="DE", kind=ParticipantKind.SME, status=status)


def principal(id_: str, *roles: Role, spaces: tuple[str, ...] = ()) -> Principal:
    return Principal(
        issuer="https://issuer.test",
        subject=f"{id_}-client",
        client_id=f"{id_}-client",
        participant=participant(id_),
        roles=frozenset(roles),
        scopes=frozenset(),
        spaces=frozenset(spaces),
        token_id="t",
    )


HEALTH = DataSpace(id="health", title={"en": "Health"}, sector="health", operator="steward")
ORPHAN = DataSpace(id="energy", title={"en": "Energy"}, sector="energy")
LAB = DataLab(id="lab", title={"en": "Lab"}, home="lumi", operator="labco", spaces=("health",))
S3 = Storage(id="bucket", participant="alpha", kind=StorageKind.S3, endpoint="https://s3.test", bucket="b")
LOCAL = Storage(id="disk", participant="alpha", kind=StorageKind.LOCAL, root="/srv")
DATASET = Dataset(
    space="health", name="cohort", provider="alpha", lab="lab", title={"en": "C"}, storage="bucket", location=""
)

CALLERS = {
    "alpha": principal("alpha", Role.MEMBER, spaces=("health",)),
    "alpha_admin": principal("alpha", Role.PARTICIPANT_ADMIN, spaces=("health",)),
    "alpha_auditor": principal("alpha", Role.AUDITOR, spaces=("health",)),
    "alpha_expelled": principal("alpha", Role.MEMBER),
    "beta_provider": principal("beta", Role.MEMBER, Role.PARTICIPANT_ADMIN, spaces=("health",)),
    "steward_admin": principal("steward", Role.PARTICIPANT_ADMIN),
    "steward_member": principal("steward", Role.MEMBER),
    "labco_admin": principal("labco", Role.PARTICIPANT_ADMIN, spaces=("health",)),
    "labco_member": principal("labco", Role.MEMBER, spaces=("health",)),
    "gateway": principal("gateway", Role.GATEWAY_OPERATOR),
    "outsider": principal("outsider", Role.MEMBER, Role.PARTICIPANT_ADMIN),
}
EVERYONE = frozenset(CALLERS)
MEMBERS = frozenset(name for name, one in CALLERS.items() if "health" in one.spaces)

TABLE: dict[str, tuple[Resource, frozenset[str], frozenset[str]]] = {
    # name: (resource, who may read, who may write)
    "ai factory": (authority.of_factory(), EVERYONE, frozenset({"gateway"})),
    "data space": (authority.of_space(), EVERYONE, frozenset({"gateway"})),
    "participant": (authority.of_participant(participant("alpha")), EVERYONE, frozenset({"gateway"})),
    "application": (
        authority.of_participant(participant("alpha", ParticipantStatus.APPLIED)),
        frozenset({"alpha", "alpha_admin", "alpha_auditor", "alpha_expelled", "gateway"}),
        frozenset({"gateway"}),
    ),
    "contact": (
        authority.of_contact(participant("alpha")),
        frozenset({"alpha_admin", "gateway"}),
        frozenset({"gateway"}),
    ),
    "federation policies": (authority.of_federation_policies(), EVERYONE, frozenset({"gateway"})),
    "space policies": (
        authority.of_space_policies(HEALTH),
        MEMBERS | {"steward_admin", "gateway"},
        frozenset({"steward_admin"}),
    ),
    "policies of a space without operator": (
        authority.of_space_policies(ORPHAN),
        frozenset({"gateway"}),
        frozenset({"gateway"}),
    ),
    "admissions": (
        authority.of_admissions(HEALTH),
        MEMBERS | {"steward_admin", "gateway"},
        frozenset({"steward_admin"}),
    ),
    "lab": (authority.of_lab(LAB), MEMBERS | {"gateway"}, frozenset({"labco_admin"})),
    "lab policies": (authority.of_lab_policies(LAB), MEMBERS | {"gateway"}, frozenset({"labco_admin"})),
    "storage": (
        authority.of_storage(S3),
        frozenset({"alpha", "alpha_admin", "alpha_expelled"}),
        frozenset({"alpha", "alpha_admin", "alpha_expelled"}),
    ),
    "local storage": (
        authority.of_storage(LOCAL),
        frozenset({"alpha", "alpha_admin", "alpha_expelled", "gateway"}),
        frozenset({"gateway"}),
    ),
    "dataset": (
        authority.of_dataset(DATASET),
        frozenset({"alpha", "alpha_admin", "alpha_expelled"}),
        frozenset({"alpha", "alpha_admin"}),
    ),
    "dataset policies": (
        authority.of_dataset_policies(DATASET),
        frozenset({"alpha", "alpha_admin", "alpha_expelled"}),
        frozenset({"alpha", "alpha_admin"}),
    ),
    "clients": (
        authority.of_clients("alpha"),
        frozenset({"alpha_admin"}),
        frozenset({"alpha_admin"}),
    ),
    "audit of a dataset": (
        authority.of_audit(DATASET, HEALTH),
        frozenset({"alpha", "alpha_admin", "alpha_expelled", "alpha_auditor", "steward_admin", "gateway"}),
        frozenset(),
    ),
    "audit of a space": (
        authority.of_audit(space=HEALTH),
        frozenset({"steward_admin", "alpha_auditor", "gateway"}),
        frozenset(),
    ),
    "all audit": (authority.of_audit(), frozenset({"alpha_auditor", "gateway"}), frozenset()),
}


@pytest.mark.parametrize("name", TABLE)
def test_exactly_these_may_read(name: str) -> None:
    resource, readers, _writers = TABLE[name]
    assert {caller for caller, one in CALLERS.items() if may(one, Verb.READ, resource)} == readers


@pytest.mark.parametrize("name", TABLE)
def test_exactly_these_may_write(name: str) -> None:
    resource, _readers, writers = TABLE[name]
    assert {caller for caller, one in CALLERS.items() if may(one, Verb.WRITE, resource)} == writers


def test_every_kind_of_resource_has_its_cells_tested() -> None:
    assert {resource.kind for resource, _, _ in TABLE.values()} == set(Kind)


def test_the_rows_without_a_resource_are_known() -> None:
    assert {kind.value for kind in Kind} & NOT_YET == set()


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("verb", Verb)
def test_unverified_participants_may_nothing(name: str, verb: Verb) -> None:
    for one in CALLERS.values():
        unverified = replace(one, participant=replace(one.participant, status=ParticipantStatus.APPLIED))
        assert not may(unverified, verb, TABLE[name][0])


@pytest.mark.parametrize("name", TABLE)
def test_the_person_at_the_machine_may_register_everything_but_never_write_the_trail(name: str) -> None:
    resource = TABLE[name][0]
    assert may(operator_principal("os-user:maria"), Verb.READ, resource)
    assert may(operator_principal("os-user:maria"), Verb.WRITE, resource) == (resource.kind is not Kind.AUDIT)


def test_no_role_makes_one_provider_another() -> None:
    everything = principal("beta", *Role, spaces=("health",))
    assert not may(everything, Verb.WRITE, authority.of_dataset(DATASET))
    assert not may(everything, Verb.READ, authority.of_storage(S3))
    assert not may(everything, Verb.WRITE, authority.of_storage(S3))
    assert not may(everything, Verb.WRITE, authority.of_dataset_policies(DATASET))
