"""`datalab register`: drafts that apply takes as they are, and guesses that give their reasons."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.entities import Column, PersonalData, Storage, StorageKind
from catalog.yaml import load
from datalab.app.apply.kinds import Kind
from datalab.app.apply.reading import read
from datalab.publish.draft import DraftNames, draft, text
from datalab.publish.hints import entity, hint, personal_data, plain
from datalab.publish.inspection import Inspected
from tests.connectors.conftest import S3Place
from tests.publish.files import write
from tests.servers.seaweedfs import READER

ROOT = Path(__file__).parents[2]


def register(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "datalab.cli.main", "register", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
        cwd=ROOT,
        timeout=120,
    )


PEOPLE = {"Patient-ID": ["a"], "birthDate": ["1980-01-01"], "ICD_10": ["C50"], "size [mm]": [1], "E-Mail": ["a@b.eu"]}


def test_a_draft_is_taken_by_apply_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "lake" / "year=2020" / "a.parquet", PEOPLE)
    done = register(str(tmp_path / "lake"), "health.cohort", "--provider", "alpha", "--lab", "lab")
    assert done.returncode == 0, done.stderr
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "cohort.yaml").write_text(done.stdout)
    found = read([tmp_path / "drafts"])
    assert found.found == ()
    assert [(entry.kind, entry.key) for entry in found.entries] == [
        (Kind.STORAGE, "cohort_files"), (Kind.DATASET, "health/cohort"),
    ]  # fmt: skip
    record = found.entries[1].document.entity()
    assert (record.provider, record.lab, record.storage, record.location) == ("alpha", "lab", "cohort_files", "")
    assert record.personal_data is PersonalData.SPECIAL
    assert record.roles == {"entity": "Patient-ID", "person_id": "Patient-ID", "birth_date": "birthDate"}
    assert found.entries[0].document.entity().root == str(tmp_path / "lake")


def test_reasons_types_and_rights_are_said(tmp_path: Path) -> None:
    write(tmp_path / "lake" / "year=2020" / "a.parquet", PEOPLE)
    done = register(str(tmp_path / "lake"), "health.cohort")
    assert '#   "ICD_10" VARCHAR; is called like data concerning health (GDPR article 9) (special)' in done.stdout
    assert '#   "size [mm]" BIGINT\n' in done.stdout
    assert '#   "year" BIGINT; from the path' in done.stdout
    assert "1 file, 1 rows" in done.stdout
    assert "The least rights that the gateway needs:" in done.stderr
    assert "r-x" in done.stderr


def test_one_file_is_a_location_in_its_directory(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": [1]})
    done = register(str(tmp_path / "a.parquet"), "health.cohort")
    dataset = load(done.stdout, file="-")[1].value
    assert isinstance(dataset, dict)
    assert (dataset["location"], dataset["roles"], dataset["personal_data"]) == ("a.parquet", {"entity": "id"}, "none")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "health.cohort"), "There is no nowhere."),
        (("BAD", "health.cohort"), "a.parquet is no Parquet file"),
        (("BAD", "health"), ""),
        (("BAD", "health.select"), ""),
    ],
)
def test_mistakes_end_with_a_sentence(arguments: tuple[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.parquet").write_bytes(b"not a file of this kind at all")
    place, name = arguments
    done = register(place.replace("BAD", str(tmp_path / "bad")), name)
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bucket_is_registered_with_keys_of_the_environment(s3_place: S3Place, tmp_path: Path) -> None:
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table({"pid": [1], "age": [40]}), sink)
    s3_place.put("cohort/a.parquet", sink.getvalue())
    done = register(
        f"s3://{s3_place.bucket}/place/cohort",
        "health.cohort",
        AWS_ENDPOINT_URL=s3_place.server.endpoint,
        AWS_ACCESS_KEY_ID=READER.key_id,
        AWS_SECRET_ACCESS_KEY=READER.secret,
    )
    assert done.returncode == 0, done.stderr
    storage, dataset = (document.value for document in load(done.stdout, file="-"))
    assert isinstance(storage, dict)
    assert isinstance(dataset, dict)
    assert (storage["bucket"], storage["prefix"]) == (s3_place.bucket, "place/cohort")
    assert (dataset["roles"]["entity"], dataset["personal_data"]) == ("pid", "pseudonymised")
    assert storage["credentials"] == {
        "access_key": {"env": "AWS_ACCESS_KEY_ID"},
        "secret_key": {"env": "AWS_SECRET_ACCESS_KEY"},
    }
    assert "s3:GetObject" in done.stderr
    assert READER.secret not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["PatientID", "patient-id", "PATIENT ID", "patientId", " patient_id "])
def test_names_are_compared_however_they_are_written(name: str) -> None:
    assert plain(name) == "patient_id"


def columns(*names: str, type_: str = "VARCHAR") -> list[Column]:
    return [Column(name=name, type=type_) for name in names]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("station", "value", "capacity"), PersonalData.NONE),
        (("pid", "value"), PersonalData.PSEUDONYMISED),
        (("Vorname", "value"), PersonalData.PERSONAL),
        (("iban",), PersonalData.PERSONAL),
        (("Geburtsdatum",), PersonalData.PERSONAL),
        (("pid", "diagnosis"), PersonalData.SPECIAL),
        (("age", "diagnosis"), PersonalData.SPECIAL),
        (("year", "disease"), PersonalData.NONE),
    ],
)
def test_the_class_follows_from_what_columns_suggest_together(names: tuple[str, ...], expected: PersonalData) -> None:
    hints = [found for column in columns(*names) if (found := hint(column)) is not None]
    assert personal_data(hints) is expected


def test_the_entity_is_the_persons_identifier_before_any_other_and_never_a_float() -> None:
    def likely(*names: str, type_: str = "BIGINT") -> str | None:
        given = columns(*names, type_=type_)
        return entity(given, [found for column in given if (found := hint(column)) is not None])

    assert likely("visit_id", "patient_id") == "patient_id"
    assert likely("station_id", "value") == "station_id"
    assert likely("value", "price") is None
    assert likely("patient_id", type_="DOUBLE") is None


@pytest.mark.parametrize("value", ["yes", "null", "1", "a: b", "# no", '"', "ä\n", "- x", "", "\u2028", "@", "it's"])
def test_any_text_survives_as_yaml(value: str) -> None:
    assert load(f"x: {text(value)}", file="-")[0].value == {"x": value}


def test_hostile_column_names_stay_in_their_comment() -> None:
    inspected = Inspected(
        files=(),
        columns=(Column(name="x\nkind: policy", type="INTEGER"), Column(name="id\n---\nroles", type="INTEGER")),
        arrow_schema=b"",
        hive_partitioning=False,
    )
    storage = Storage(id="s", participant="p", kind=StorageKind.LOCAL, root="/srv")
    made = draft(storage, "", inspected, DraftNames(space="health", name="x", provider="p", lab="l"))
    documents = load(made, file="-")
    assert len(documents) == 2
