"""Participants, factories, spaces, storages, admissions: what their own rules are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import select

from catalog.entities import Admission, AdmissionRole, FactoryType, ParticipantStatus, Storage, StorageKind
from catalog.errors import DocumentRefused
from datalab.db.catalogue import StorageRow
from datalab.flow.principal import Role
from datalab.registry.errors import Conflict, NotAllowed, NotFound
from datalab.registry.ports import Page
from datalab.registry.storages import Storages
from tests.registry.world import MACHINE, World, factory, lab, participant, space


def test_an_applicant_is_registered_and_then_verified(world: World) -> None:
    ops = world.principal("ops", Role.GATEWAY_OPERATOR)
    world.participants.create(ops, participant("newco", status=ParticipantStatus.APPLIED))
    with pytest.raises(NotFound):
        world.participants.get(world.principal("alpha"), "newco")
    with pytest.raises(Conflict):
        world.data_spaces.create(ops, space("energy", operator="newco"))
    with pytest.raises(Conflict):
        world.admissions.create(MACHINE, Admission(space="health", participant="newco", role=AdmissionRole.PROVIDER))
    verified = world.participants.verify(ops, "newco")
    assert (verified.status, verified.contact) == (ParticipantStatus.VERIFIED, "info@newco.example.org")
    with pytest.raises(NotAllowed):
        world.participants.verify(world.principal("alpha", Role.PARTICIPANT_ADMIN), "newco")


def test_a_participants_id_is_nobodys_after_it(world: World) -> None:
    world.participants.create(MACHINE, participant("newco"))
    world.participants.delete(MACHINE, "newco")
    with pytest.raises(Conflict) as refused:
        world.participants.create(MACHINE, participant("newco"))
    assert refused.value.code == "registry.name_taken"


def test_a_participant_that_anything_refers_to_stays(world: World) -> None:
    for id_ in ("alpha", "labco", "steward"):
        with pytest.raises(Conflict):
            world.participants.delete(MACHINE, id_)


def test_antennas_belong_to_a_factory_that_stays(world: World) -> None:
    antenna = replace(factory("antenna_one"), type=FactoryType.ANTENNA)
    with pytest.raises(DocumentRefused):
        world.ai_factories.create(MACHINE, antenna)
    with pytest.raises(Conflict):
        world.ai_factories.create(MACHINE, replace(antenna, factory="nowhere"))
    world.ai_factories.create(MACHINE, factory("mimer"))
    world.ai_factories.create(MACHINE, replace(antenna, factory="mimer"))
    with pytest.raises(Conflict):
        world.ai_factories.create(MACHINE, replace(antenna, id="antenna_two", factory="antenna_one"))
    with pytest.raises(Conflict):
        world.ai_factories.delete(MACHINE, "mimer")
    world.ai_factories.delete(MACHINE, "antenna_one")
    world.ai_factories.delete(MACHINE, "mimer")


def test_a_space_goes_with_its_admissions_and_only_when_empty(world: World) -> None:
    with pytest.raises(Conflict):
        world.data_spaces.delete(MACHINE, "health")
    world.data_labs.delete(MACHINE, "lab")
    world.data_spaces.delete(MACHINE, "health")
    assert world.principal("alpha").spaces == frozenset()
    with pytest.raises(Conflict):
        world.data_spaces.create(MACHINE, space("health", operator="alpha"))
    world.data_spaces.create(MACHINE, space("health", operator="steward"))
    assert world.principal("alpha").spaces == frozenset()


@pytest.mark.parametrize("name", ["main", "temp", "information_schema", "pg_catalog", "table", "system"])
def test_a_space_is_not_called_what_the_engine_calls_its_own(world: World, name: str) -> None:
    with pytest.raises(DocumentRefused):
        world.data_spaces.create(MACHINE, space(name))


S3 = Storage(id="bucket", participant="alpha", kind=StorageKind.S3, endpoint="https://s3.example.org", bucket="data")
KEYS = {"access_key": "AKIA", "secret_key": "very-secret"}


def sealed(world: World, id_: str) -> bytes | None:
    with world.database.read() as session:
        return session.execute(select(StorageRow.credentials).where(StorageRow.id == id_)).scalar_one()


def test_credentials_are_sealed_and_stay_when_not_sent_again(world: World) -> None:
    alpha = world.principal("alpha")
    world.storages.create(alpha, S3, KEYS)
    first = sealed(world, "bucket")
    assert first is not None
    assert b"very-secret" not in first
    world.storages.replace(alpha, replace(S3, prefix="eu"))
    assert sealed(world, "bucket") == first
    world.storages.replace(alpha, S3, {**KEYS, "secret_key": "another"})
    assert sealed(world, "bucket") not in {None, first}


@pytest.mark.parametrize(
    "change",
    [{"endpoint": "https://evil.example.org"}, {"bucket": "other"}, {"ca_pem": None, "region": "eu-west-1"}],
)
def test_a_key_is_never_sent_to_another_place(world: World, change: Mapping[str, str]) -> None:
    alpha = world.principal("alpha")
    world.storages.create(alpha, S3, KEYS)
    world.storages.replace(alpha, replace(S3, **change))  # type: ignore[arg-type]  # fields that take texts
    assert sealed(world, "bucket") is None


def test_no_secret_is_in_the_journal_or_the_database(world: World) -> None:
    world.storages.create(world.principal("alpha"), S3, KEYS)
    assert "very-secret" not in repr(world.notebook.details)
    with world.engine.connect() as connection:
        dump = "\n".join(repr(row) for row in connection.exec_driver_sql("SELECT * FROM storages"))
    assert "very-secret" not in dump


def test_a_storage_keeps_its_owner_and_kind(world: World) -> None:
    world.storages.create(MACHINE, S3)
    with pytest.raises(Conflict):
        world.storages.replace(MACHINE, replace(S3, participant="beta"))


def test_a_place_that_the_operator_does_not_allow_is_not_stored(world: World) -> None:
    def screen(_storage: Storage) -> None:
        raise PermissionError

    strict = Storages(world.registrar, world.reader, world.storages._sealer, screen)
    with pytest.raises(PermissionError):
        strict.create(MACHINE, S3)
    with pytest.raises(NotFound):
        world.storages.get(MACHINE, "bucket")


def test_nobody_is_admitted_twice(world: World) -> None:
    first = world.admissions.create(MACHINE, Admission(space="health", participant="alpha", role=AdmissionRole.LAB))
    again = world.admissions.create(MACHINE, Admission(space="health", participant="alpha", role=AdmissionRole.LAB))
    assert first == again
    assert len(world.admissions.page(MACHINE, "health", Page())) == 4


def test_admissions_to_a_space_without_operator_are_the_gateway_operators(world: World) -> None:
    world.data_spaces.create(MACHINE, space("energy"))
    admission = Admission(space="energy", participant="alpha", role=AdmissionRole.PROVIDER)
    with pytest.raises(NotAllowed):
        world.admissions.create(world.principal("steward", Role.PARTICIPANT_ADMIN), admission)
    world.admissions.create(world.principal("ops", Role.GATEWAY_OPERATOR), admission)
    assert world.principal("alpha").spaces == {"health", "energy"}


def test_a_refused_write_leaves_nothing(world: World) -> None:
    before = world.reader.revision()
    with pytest.raises(Conflict):
        world.data_labs.create(MACHINE, lab("second", spaces=("nowhere",)))
    assert world.reader.revision() == before
    world.data_labs.create(MACHINE, lab("second"))
