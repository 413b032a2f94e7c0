"""The demo's content: valid, small, licensed, attributed, and as varied as it claims to be."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import duckdb
import pytest

from catalog.content import AI_FACTORIES, DATA_SPACES
from catalog.entities import PersonalData
from datalab.app.apply.kinds import Kind
from datalab.app.apply.reading import Directory, Entry, read
from datalab.app.demo.home import CLIENTS, CONTENT, FILES
from policies.documents import parse
from policies.model import Effect, MaskKind

MEGABYTE = 1 << 20
FREE = {"CC0-1.0", "CC-BY-4.0", "CC-BY-3.0-IGO", "MIT", "EUPL-1.2"}


@pytest.fixture(scope="module")
def directory() -> Directory:
    return read([CONTENT], [AI_FACTORIES, DATA_SPACES])


def _of(directory: Directory, kind: Kind) -> list[Entry]:
    return [entry for entry in directory.entries if entry.kind is kind and not entry.is_default]


def _documents(directory: Directory, kind: Kind) -> list[Any]:
    return [entry.document for entry in _of(directory, kind)]


def test_every_document_is_valid_and_every_condition_typechecks(directory: Directory) -> None:
    assert directory.found == ()


def test_there_is_as_much_as_promised(directory: Directory) -> None:
    datasets = _documents(directory, Kind.DATASET)
    labs = _documents(directory, Kind.DATA_LAB)
    participants = _documents(directory, Kind.PARTICIPANT)
    assert len(datasets) >= 8
    assert len({dataset.space for dataset in datasets}) >= 5
    assert len(labs) == len({lab.home for lab in labs}) == 4
    assert {dataset.lab for dataset in datasets} == {lab.id for lab in labs}
    assert len({one.country for one in participants}) >= 5
    assert len({one.kind for one in participants}) >= 5


def test_every_dataset_is_published_titled_licensed_and_attributed(directory: Directory) -> None:
    for dataset in _documents(directory, Kind.DATASET):
        assert dataset.status == "published"
        assert {"en"} < set(dataset.title)
        assert dataset.description["en"]
        assert dataset.licence in FREE
        assert dataset.attribution
        assert dataset.theme
        assert dataset.keywords


def test_the_policies_show_what_policies_can_do(directory: Directory) -> None:
    policies = [parse(document) for document in _documents(directory, Kind.POLICY)]
    permits = [policy for policy in policies if policy.effect is Effect.PERMIT]
    masks = {mask.kind for policy in permits for mask in policy.obligations.masks}
    assert {policy.effect for policy in policies} == {Effect.PERMIT, Effect.FORBID}
    assert {MaskKind.HASH, MaskKind.NULL, MaskKind.FIXED, MaskKind.YEAR} <= masks
    assert any(policy.when is None and not policy.obligations.columns for policy in permits)  # open data
    assert any("principal.spaces.contains" in (policy.when or "") for policy in permits)  # members only
    assert any("principal.country" in str(policy.obligations.rows) for policy in permits)  # rows by country
    assert any(policy.obligations.columns for policy in permits)
    assert any(policy.obligations.limits.max_rows for policy in permits)
    assert {policy.scope.level for policy in policies} >= {"space", "dataset"}


def test_personal_data_is_never_shown_without_a_list_of_columns(directory: Directory) -> None:
    personal = {
        f"{dataset.space}/{dataset.name}"
        for dataset in _documents(directory, Kind.DATASET)
        if dataset.personal_data is not PersonalData.NONE
    }
    assert personal == {"health/breast_cancer_trial", "tourism/hotel_bookings"}
    for document in _documents(directory, Kind.POLICY):
        policy = parse(document)
        if policy.effect is Effect.PERMIT and policy.scope.id in personal:
            assert policy.obligations.columns


def test_obligations_name_columns_that_exist(directory: Directory) -> None:
    files = {f"{d.space}/{d.name}": d for d in _documents(directory, Kind.DATASET)}
    storages = {storage.id: storage for storage in _documents(directory, Kind.STORAGE)}
    for document in _documents(directory, Kind.POLICY):
        policy = parse(document)
        if policy.scope.id not in files:
            continue
        dataset = files[policy.scope.id]
        with duckdb.connect() as connection:
            found = connection.execute(
                "describe select * from read_parquet(?)",
                [f"{storages[dataset.storage].root}/{dataset.location}*.parquet"],
            ).fetchall()
        columns = {row[0] for row in found}
        assert set(dataset.roles.values()) <= columns
        for ref in policy.obligations.columns or ():
            assert ref.name in columns
        for mask in policy.obligations.masks:
            assert (dataset.roles[mask.ref.name] if mask.ref.is_role else mask.ref.name) in columns


def test_the_files_are_small_real_and_each_named_with_its_source() -> None:
    files = {str(file.relative_to(CONTENT)): file.stat().st_size for file in sorted(FILES.rglob("*.parquet"))}
    assert len(files) >= 8
    assert sum(files.values()) < 8 * MEGABYTE
    rows = re.findall(
        r"^\| `(files/[^`]+)` \|(.*)\|$", (CONTENT / "SOURCES.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert Counter(path for path, _ in rows) == Counter(list(files))
    for _, row in rows:
        assert (
            len([cell for cell in row.split("|") if cell.strip()]) == 5
        )  # what, source, licence, attribution, changes
    assert {file.suffix for file in FILES.rglob("*") if file.is_file()} == {".parquet"}


def test_each_dataset_has_its_file_and_each_file_its_dataset(directory: Directory) -> None:
    storages = {storage.id: storage.root for storage in _documents(directory, Kind.STORAGE)}
    places = {f"{storages[dataset.storage]}/{dataset.location}" for dataset in _documents(directory, Kind.DATASET)}
    assert {f"{file.parent}/" for file in FILES.rglob("*.parquet")} == places


def test_the_clients_of_the_demo_are_among_the_documents(directory: Directory) -> None:
    assert set(CLIENTS) == {"admin", "provider", "developer", "outsider"}
    made = {entry.key for entry in _of(directory, Kind.CLIENT)}
    assert made == {key for name, key in CLIENTS.items() if name != "admin"}
