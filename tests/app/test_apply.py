"""Apply: a directory becomes what is registered, once, in a safe order."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.content import AI_FACTORIES, DATA_SPACES
from catalog.entities import DatasetStatus, Participant, ParticipantKind, ParticipantStatus
from datalab.app.apply import ApplyFailed
from datalab.app.apply.inventory import InventoryBusy, InventoryUnreadable, opened
from datalab.flow.principal import Principal
from tests.app.rig import Applying, lines
from tests.registry.world import MACHINE

PARTICIPANTS = """\
    kind: participant
    id: steward
    type: public
    legal_name: Office of the data space
    country: BE
    status: verified
    ---
    kind: participant
    id: clinic
    type: research
    legal_name: North Clinic
    country: "NO"
    status: verified
    ---
    kind: client
    participant: clinic
    name: Pipeline
    roles: [member, participant_admin]
    scopes: [catalog:read, data:query]
    """
SPACE = """\
    kind: ai_factory
    id: antenna
    name: Antenna
    type: antenna
    factory: lumi
    host: UiO
    place: Oslo
    country: NO
    ---
    kind: ai_factory
    id: lumi
    name: LUMI
    host: CSC
    place: Kajaani
    country: FI
    supercomputer: {name: LUMI-AI, status: new}
    ---
    kind: data_space
    id: health
    title: {en: Health}
    sector: health
    operator: steward
    ---
    kind: admission
    space: health
    participant: clinic
    role: provider
    ---
    kind: admission
    space: health
    participant: steward
    role: lab
    ---
    kind: data_lab
    id: north
    title: {en: North}
    home: lumi
    spaces: [health]
    operator: steward
    """
DATASET = """\
    kind: storage
    id: disk
    type: local
    participant: clinic
    root: ./files
    ---
    kind: dataset
    space: health
    name: cohort
    provider: clinic
    lab: north
    title: {en: Cohort}
    storage: disk
    location: cohort/
    status: published
    ---
    kind: policy
    id: cohort_open
    title: Open to members
    scope: dataset:health/cohort
    effect: permit
    actions: [query]
    when: |
      principal.spaces.contains("health")
    ---
    kind: policy
    id: no_export
    title: Nothing leaves
    scope: space:health
    effect: forbid
    actions: [export]
    """

EVERYTHING = [
    "create participant steward",
    "create participant clinic",
    "create client clinic/Pipeline",
    "create ai_factory lumi",
    "create ai_factory antenna",
    "create data_space health",
    "create admission health/clinic/provider",
    "create admission health/steward/lab",
    "create data_lab north",
    "create storage disk",
    "create dataset health/cohort",
    "create policy no_export",
    "create policy cohort_open",
    "publish dataset health/cohort",
]


@pytest.fixture
def full(applying: Applying) -> Applying:
    applying.write("a/participants.yaml", PARTICIPANTS)
    applying.write("b/space.yml", SPACE)
    applying.write("z_dataset.yaml", DATASET)
    applying.write("notes.txt", "kind: nothing")
    applying.write(".hidden/x.yaml", "kind: nothing")
    applying.write(".hidden.yaml", "kind: nothing")
    applying.write("files/cohort/one.parquet", "one")
    return applying


def test_a_directory_is_registered_in_an_order_that_works(full: Applying) -> None:
    assert full.run() == EVERYTHING
    catalogue = full.gateway.catalogue
    catalogue.revision()
    clinic = catalogue.participant("clinic")
    assert clinic is not None
    assert (clinic.country, clinic.status) == ("NO", ParticipantStatus.VERIFIED)
    dataset = catalogue.dataset("health", "cohort")
    assert dataset is not None
    assert dataset.status is DatasetStatus.PUBLISHED
    assert full.gateway.published == ["health/cohort"]
    storage = catalogue.storage("disk")
    assert storage is not None
    assert storage.root == str(full.directory / "files")
    assert [policy.id for policy in catalogue.policies("dataset:health/cohort")] == ["cohort_open"]
    assert list(full.secrets) == ["clinic/Pipeline"]
    assert all(outcome == "done" for *_, outcome in full.gateway.notebook.records)


def test_a_plan_says_what_a_run_then_does_and_writes_nothing(full: Applying) -> None:
    plan = full.plan()
    assert lines(plan.changes) == EVERYTHING
    assert plan.unchanged == 0
    assert [change.key for change in plan.new_clients] == ["clinic/Pipeline"]
    assert full.gateway.notebook.records == []
    assert full.run() == EVERYTHING


def test_a_second_run_changes_nothing(full: Applying) -> None:
    full.run()
    revision = full.gateway.catalogue.revision()
    assert full.run() == []
    assert full.plan().unchanged == 13
    assert full.gateway.catalogue.revision() == revision


def test_what_differs_is_changed_and_named(full: Applying) -> None:
    full.run()
    full.write(
        "z_dataset.yaml", DATASET.replace("{en: Cohort}", "{en: Cohort, de: Kohorte}").replace("[query]", "[export]")
    )
    full.write("b/space.yml", SPACE.replace("sector: health", "sector: care").replace("host: CSC", "host: CSC Ltd"))
    assert full.run() == [
        "update ai_factory lumi (host)",
        "update data_space health (sector)",
        "update dataset health/cohort (title)",
        "update policy cohort_open (actions)",
    ]
    (policy,) = full.gateway.catalogue.policies("dataset:health/cohort")
    assert policy.document["actions"] == ["export"]


def test_the_order_of_a_lab_s_factories_and_spaces_says_nothing(full: Applying) -> None:
    full.defaults = (AI_FACTORIES,)
    full.write("b/space.yml", SPACE.replace("home: lumi", "home: lumi\n    partners: [piast, bsc, france]"))
    full.run()
    assert full.run() == []
    full.write("b/space.yml", SPACE.replace("home: lumi", "home: lumi\n    partners: [france, piast]"))
    assert full.run() == ["update data_lab north (partners)"]


def test_a_status_that_is_not_named_stays_as_it_is(full: Applying) -> None:
    full.run()
    full.write("a/participants.yaml", PARTICIPANTS.replace("    status: verified\n", ""))
    full.write("z_dataset.yaml", DATASET.replace("    status: published\n", ""))
    assert full.plan().changes == ()
    clinic = full.gateway.catalogue.participant("clinic")
    assert clinic is not None
    assert clinic.status is ParticipantStatus.VERIFIED


def test_a_dataset_without_a_status_stays_a_draft(full: Applying) -> None:
    full.write("z_dataset.yaml", DATASET.replace("    status: published\n", ""))
    assert full.run() == EVERYTHING[:-1]
    dataset = full.gateway.catalogue.dataset("health", "cohort")
    assert dataset is not None
    assert dataset.status is DatasetStatus.DRAFT


def test_pruning_deletes_what_the_directory_named_once_and_no_longer_does(full: Applying) -> None:
    full.run()
    full.gateway.participants.create(
        *_by_hand("made_by_hand"),
    )
    full.write("z_dataset.yaml", "")
    full.write("b/space.yml", "")
    assert full.run() == []  # deletes nothing unless asked
    assert full.run(prune=True) == [
        "delete dataset health/cohort",
        "delete policy cohort_open",
        "delete policy no_export",
        "delete storage disk",
        "delete data_lab north",
        "delete admission health/clinic/provider",
        "delete admission health/steward/lab",
        "delete data_space health",
        "delete ai_factory antenna",
        "delete ai_factory lumi",
    ]
    catalogue = full.gateway.catalogue
    catalogue.revision()
    assert catalogue.participant("made_by_hand") is not None
    assert catalogue.participant("clinic") is not None
    assert catalogue.data_space("health") is None
    assert full.run(prune=True) == []


def test_pruning_revokes_clients(full: Applying) -> None:
    full.run()
    full.write("a/participants.yaml", PARTICIPANTS[: PARTICIPANTS.index("    ---\n    kind: client")])
    assert full.run(prune=True) == ["delete client clinic/Pipeline"]


def test_what_came_to_be_again_by_another_hand_is_not_pruned(full: Applying) -> None:
    full.run()
    principal, _ = _by_hand("x")
    full.gateway.datasets.delete(principal, "health", "cohort")
    full.gateway.storages.delete(principal, "disk")
    other = Applying(full.gateway, full.home, full.directory.parent / "other")
    other.write("files/cohort/one.parquet", "one")
    other.write("x.yaml", DATASET[: DATASET.index("    ---")])
    assert other.run() == ["create storage disk"]
    full.write("z_dataset.yaml", "")
    assert full.run(prune=True) == ["delete policy no_export"]


def test_what_is_still_used_is_not_pruned_and_the_refusal_is_told(full: Applying) -> None:
    full.run()
    full.write("b/space.yml", SPACE[: SPACE.index("    ---\n    kind: data_lab")])
    problems = full.refused(prune=True)
    assert problems == ["z_dataset.yaml:11:6: lab: There is no such data lab in this data space."]


def test_the_first_refusal_ends_the_run_and_says_where(full: Applying) -> None:
    full.gateway.policies.create(
        _by_hand("x")[0],
        {"id": "cohort_open", "title": "x", "scope": "federation", "effect": "forbid", "actions": ["export"]},
    )
    with pytest.raises(ApplyFailed) as failed:
        full.run()
    (found,) = failed.value.found
    assert str(found.mark).endswith("z_dataset.yaml:20:8")
    assert "update policy cohort_open: A policy stays with its owner." in found.sentence
    assert full.steps == EVERYTHING[:12]
    full.write("z_dataset.yaml", DATASET.replace("id: cohort_open", "id: members_query"))
    assert full.run() == ["create policy members_query", "publish dataset health/cohort"]


def test_other_files_at_the_location_make_a_new_version(full: Applying) -> None:
    full.run()
    for change in ("changed", "added", "removed"):
        match change:
            case "changed":
                full.write("files/cohort/one.parquet", "ones")
            case "added":
                full.write("files/cohort/two.parquet", "two")
            case "removed":
                (full.directory / "files/cohort/one.parquet").unlink()
        assert full.run() == ["publish dataset health/cohort"]
        assert full.run() == []


def test_new_credentials_are_seen_and_kept_out_of_the_inventory(applying: Applying) -> None:
    applying.write("a.yaml", PARTICIPANTS)
    (applying.directory / "secret").write_text("hunter2\n")
    lake = """\
        kind: storage
        id: lake
        type: s3
        participant: clinic
        endpoint: http://127.0.0.1:1
        bucket: lake
        credentials: {access_key: AKIA, secret_key: {file: secret}}
        """
    applying.write("lake.yaml", lake)
    assert applying.run()[-1] == "create storage lake"
    assert applying.run() == []
    (applying.directory / "secret").write_text("hunter3\n")
    assert applying.run() == ["update storage lake (credentials)"]
    assert applying.run() == []
    applied = applying.home / "applied.json"
    assert "hunter" not in applied.read_text()
    assert stat.S_IMODE(applied.stat().st_mode) == 0o600


def test_a_link_to_a_file_elsewhere_belongs_to_the_directory_that_holds_it(applying: Applying) -> None:
    elsewhere = applying.directory.parent / "elsewhere.yaml"
    applying.write("a.yaml", PARTICIPANTS).rename(elsewhere)
    (applying.directory / "a.yaml").symlink_to(elsewhere)
    assert len(applying.run()) == 3
    (applying.directory / "a.yaml").unlink()
    applying.write("b.yaml", "")
    assert len(applying.run(prune=True)) == 3


def test_two_runs_at_once_are_one_too_many(applying: Applying) -> None:
    with opened(applying.home), pytest.raises(InventoryBusy), opened(applying.home):
        pass


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2, "sources": {}}', '{"format": 1, "sources": {"a": [[1]]}}']
)
def test_a_foreign_inventory_is_refused(applying: Applying, content: str) -> None:
    (applying.home / "applied.json").write_text(content)
    with pytest.raises(InventoryUnreadable), opened(applying.home):
        pass


def test_a_crash_between_two_steps_forgets_nothing(full: Applying, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object, **__: object) -> None:
        (full.home / "applied.json").replace(full.home / "kept.json")
        raise Crash

    monkeypatch.setattr(full.gateway.data_labs, "create", crash)
    with pytest.raises(Crash):
        full.run()
    Path(full.home / "kept.json").replace(full.home / "applied.json")
    monkeypatch.undo()
    assert len(json.loads((full.home / "applied.json").read_text())["sources"][str(full.directory)]) == 13
    full.write("z_dataset.yaml", "")
    full.write("b/space.yml", "")
    assert "delete data_space health" in full.run(prune=True)


def test_defaults_are_registered_where_there_is_nothing_and_never_changed_or_pruned(full: Applying) -> None:
    full.defaults = (AI_FACTORIES, DATA_SPACES)
    full.run()
    catalogue = full.gateway.catalogue
    catalogue.revision()
    lumi, bsc, health = catalogue.ai_factory("lumi"), catalogue.ai_factory("bsc"), catalogue.data_space("health")
    assert lumi is not None
    assert lumi.name == "LUMI"  # the directory's, not the default
    assert bsc is not None
    assert health is not None
    assert health.operator == "steward"
    full.gateway.ai_factories.replace(MACHINE, replace(bsc, name="By hand"))
    assert full.run() == []
    full.write("b/space.yml", "")
    full.write("z_dataset.yaml", "")
    assert full.run(prune=True)[-1:] == ["delete ai_factory antenna"]
    full.defaults = ()
    assert full.run(prune=True)[-1:] == ["delete ai_factory lumi"]
    assert full.gateway.catalogue.ai_factory("bsc") is not None


def test_a_secret_that_could_not_be_kept_is_replaced_by_the_next_run(full: Applying) -> None:
    full.disk_full = True
    with pytest.raises(OSError):
        full.run()
    full.disk_full = False
    assert full.secrets == {}
    assert [change.key for change in full.plan().new_clients] == ["clinic/Pipeline"]
    assert full.run()[0] == "update client clinic/Pipeline (secret)"
    assert list(full.secrets) == ["clinic/Pipeline"]
    assert full.run() == []


def _by_hand(id_: str) -> tuple[Principal, Participant]:
    return MACHINE, Participant(
        id=id_, legal_name=id_, country="DE", kind=ParticipantKind.SME, status=ParticipantStatus.VERIFIED
    )
