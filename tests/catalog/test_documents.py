"""Documents: the one form of everything that is registered, and what it tells about a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import entities
from catalog.documents import (
    AdmissionDocument,
    AiFactoryDocument,
    DataLabDocument,
    DatasetDocument,
    DataSpaceDocument,
    Document,
    ParticipantDocument,
    StorageDocument,
)
from catalog.entities import (
    AdmissionRole,
    DatasetStatus,
    FactoryType,
    ParticipantKind,
    ParticipantStatus,
    PersonalData,
    StorageKind,
    Supercomputer,
    SupercomputerStatus,
)
from catalog.errors import DocumentRefused

PARTICIPANT = {"id": "utrecht", "legal_name": "Universiteit Utrecht", "country": "NL", "kind": "research"}
FACTORY = {"id": "lumi", "name": "LUMI", "host": "CSC", "place": "Kajaani", "country": "FI"}
SPACE = {"id": "health", "title": {"en": "Health"}, "sector": "health"}
LAB = {"id": "north", "title": {"en": "North"}, "home": "lumi", "operator": "utrecht"}
S3 = {"id": "lake", "participant": "utrecht", "kind": "s3", "endpoint": "https://s3.example:9000", "bucket": "data-1"}
LOCAL = {"id": "disk", "participant": "utrecht", "kind": "local", "root": "/srv/data"}
ADMISSION = {"space": "health", "participant": "utrecht", "role": "provider"}
DATASET = {
    "space": "health",
    "name": "cohort",
    "provider": "utrecht",
    "lab": "north",
    "title": {"en": "Cohort"},
    "storage": "disk",
    "location": "cohort/",
}
KINDS: list[tuple[type[Document[Any]], dict[str, Any]]] = [
    (ParticipantDocument, PARTICIPANT),
    (AiFactoryDocument, FACTORY),
    (DataSpaceDocument, SPACE),
    (DataLabDocument, LAB),
    (StorageDocument, S3),
    (StorageDocument, LOCAL),
    (AdmissionDocument, ADMISSION),
    (DatasetDocument, DATASET),
]


def _problems(kind: type[Document[Any]], value: object) -> dict[str, str]:
    with pytest.raises(DocumentRefused) as refused:
        kind.parse(value)
    assert refused.value.code == "catalog.document"
    return {problem.field: problem.sentence for problem in refused.value.problems}


@pytest.mark.parametrize(("kind", "value"), KINDS)
def test_a_document_survives_the_way_to_an_entity_and_back(kind: type[Document[Any]], value: dict[str, Any]) -> None:
    document = kind.parse(value)
    entity = document.entity()
    assert isinstance(entity, entities.Resource)
    assert kind.of(entity).plain() == document.plain()
    assert kind.parse(document.plain()).entity() == entity
    for name, given in value.items():
        assert document.plain()[name] == given


@pytest.mark.parametrize(("kind", "value"), KINDS)
def test_each_required_field_is_asked_for(kind: type[Document[Any]], value: dict[str, Any]) -> None:
    required = {name for name, field in kind.model_fields.items() if field.is_required()}
    assert set(_problems(kind, {})) == required
    assert required <= set(value)


@pytest.mark.parametrize(("kind", "value"), KINDS)
def test_unknown_fields_are_refused(kind: type[Document[Any]], value: dict[str, Any]) -> None:
    assert _problems(kind, {**value, "uid": "x"})["uid"].startswith("There is no such field")
    assert _problems(kind, {**value, "revision": 1})["revision"].startswith("There is no such field")


@pytest.mark.parametrize("value", [None, [], "text", 3, True])
def test_a_document_is_a_mapping(value: object) -> None:
    assert _problems(ParticipantDocument, value) == {"": "This must be a mapping of fields to values."}


def test_every_field_of_an_entity_is_made() -> None:
    factory = AiFactoryDocument.parse(
        {
            **FACTORY,
            "consortium": ["FI", "NO"],
            "supercomputer": {"name": "LUMI-AI", "status": "new"},
            "sectors": ["health"],
            "homepage": "https://lumi.example",
        }
    ).entity()
    assert factory == entities.AiFactory(
        id="lumi",
        name="LUMI",
        host="CSC",
        place="Kajaani",
        country="FI",
        consortium=("FI", "NO"),
        supercomputer=Supercomputer(name="LUMI-AI", status=SupercomputerStatus.NEW),
        sectors=("health",),
        homepage="https://lumi.example",
    )
    assert factory.type is FactoryType.FACTORY
    participant = ParticipantDocument.parse({**PARTICIPANT, "status": "verified"}).entity()
    assert (participant.kind, participant.status) == (ParticipantKind.RESEARCH, ParticipantStatus.VERIFIED)
    assert StorageDocument.parse(S3).entity().kind is StorageKind.S3
    assert AdmissionDocument.parse(ADMISSION).entity().role is AdmissionRole.PROVIDER
    dataset = DatasetDocument.parse(
        {
            **DATASET,
            "personal_data": "special",
            "roles": {"person_id": "Patient No."},
            "licence": "cc-by-4.0",
            "theme": "HEAL",
        }
    ).entity()
    assert dataset.personal_data is PersonalData.SPECIAL
    assert dataset.status is DatasetStatus.DRAFT
    assert dataset.roles == {"person_id": "Patient No."}
    assert dataset.licence == "CC-BY-4.0"


def test_all_problems_are_told_at_once() -> None:
    found = _problems(
        DatasetDocument,
        {
            "space": "order",
            "nam": "cohort",
            "provider": 3,
            "title": {},
            "description": {"gr": "x", "en": "a\x00b"},
            "keywords": "one",
            "licence": "CC BY 4.0",
            "theme": "HEALTH",
            "tdm_reserved": "yes",
            "personal_data": "some",
            "roles": {"Person": "id"},
            "storage": "disk",
            "location": "../x",
        },
    )
    assert found == {
        "space": "A name must not be `order`, which means something else in SQL: try `order_data`.",
        "name": "This field is required.",
        "nam": "There is no such field; did you mean `name`?",
        "provider": "This must be text.",
        "lab": "This field is required.",
        "title": "This must not be empty.",
        "description.gr": "`gr` is a country's code, not a language's: use `el`.",
        "description.en": "This must be one line without control characters.",
        "keywords": "This must be a list.",
        "licence": "`CC BY 4.0` is neither an SPDX licence identifier nor an address; did you mean CC-BY-4.0?",
        "theme": "`HEALTH` is no EU data theme: one of AGRI, ECON, EDUC, ENER, ENVI, GOVE, HEAL, INTR, JUST, OP_DATPRO, "
        "REGI, SOCI, TECH, TRAN.",
        "tdm_reserved": "This must be true or false.",
        "personal_data": "This must be one of none, pseudonymised, personal, special.",
        "roles.Person": "A name must be 1 to 63 lower-case letters, digits and `_`, and start with a letter.",
        "location": "A file name must not contain `.` or `..` as a segment.",
    }


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("EL", "use GR"),
        ("UK", "use GB"),
        ("de", "use DE"),
        ("Germany", "use DE"),
        ("XX", "country code."),
        ("", "country"),
    ],
)
def test_countries_are_iso_codes_and_the_usual_slips_get_a_hint(written: str, hint: str) -> None:
    sentence = _problems(ParticipantDocument, {**PARTICIPANT, "country": written})["country"]
    assert hint in sentence


@pytest.mark.parametrize(
    "licence", ["CC0-1.0", "EUPL-1.2", "MIT OR Apache-2.0", "LicenseRef-own.1", "https://example.org/terms"]
)
def test_a_licence_is_spdx_or_an_address(licence: str) -> None:
    assert DatasetDocument.parse({**DATASET, "licence": licence}).licence == licence


@pytest.mark.parametrize(
    "licence", ["", "MIT OR", "OR", "MIT Apache-2.0", "free", "ftp://x/y", "javascript:alert(1)", "https://"]
)
def test_anything_else_is_no_licence(licence: str) -> None:
    assert "licence" in _problems(DatasetDocument, {**DATASET, "licence": licence})


@pytest.mark.parametrize(
    "address",
    ["http://[x", "https://u:p@host/", "//host", "https://host:99999/", "https://a b/", "https://h/\u2028", "x"],
)
def test_an_address_is_a_plain_http_address(address: str) -> None:
    assert "homepage" in _problems(ParticipantDocument, {**PARTICIPANT, "homepage": address})


@pytest.mark.parametrize("contact", ["x", "a@b", "a b@c.eu", "a@b..eu", "@b.eu"])
def test_a_contact_is_an_address_of_mail(contact: str) -> None:
    assert "contact" in _problems(ParticipantDocument, {**PARTICIPANT, "contact": contact})
    assert ParticipantDocument.parse({**PARTICIPANT, "contact": "data@uu.example.nl"}).contact


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"type": "antenna"}, "An antenna names the AI factory it belongs to in `factory`."),
        ({"factory": "bsc"}, "Only an antenna has a `factory` it belongs to."),
        ({"consortium": ["NO", "PL"]}, "The `consortium` includes the host country."),
    ],
)
def test_an_ai_factory_fits_together(change: dict[str, Any], problem: str) -> None:
    assert _problems(AiFactoryDocument, {**FACTORY, **change}) == {"": problem}


def test_a_lab_has_one_home_which_is_no_partner() -> None:
    assert _problems(DataLabDocument, {**LAB, "partners": ["bsc", "lumi"]}) == {
        "": "The `home` AI factory is not also a partner."
    }


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({**LOCAL, "bucket": "data-1"}, ""),
        ({**LOCAL, "credentials": {"access_key": "a", "secret_key": "b"}}, ""),
        ({**S3, "root": "/srv"}, ""),
        ({**S3, "bucket": None}, ""),
        ({**LOCAL, "root": None}, ""),
        ({**LOCAL, "root": "srv/data"}, "root"),
        ({**LOCAL, "root": "/srv/../etc"}, "root"),
        ({**LOCAL, "root": "//srv"}, "root"),
        ({**S3, "endpoint": "https://host/path"}, "endpoint"),
        ({**S3, "endpoint": "https://key:secret@host"}, "endpoint"),
        ({**S3, "endpoint": "host:9000"}, "endpoint"),
        ({**S3, "bucket": "Data_1"}, "bucket"),
        ({**S3, "bucket": "a..b"}, "bucket"),
        ({**S3, "bucket": "a?s3_endpoint=x"}, "bucket"),
        ({**S3, "prefix": "/x"}, "prefix"),
        ({**S3, "region": "eu central"}, "region"),
        ({**S3, "ca_pem": "hello"}, "ca_pem"),
        ({**S3, "credentials": {"access_key": "a b", "secret_key": "c"}}, "credentials.access_key"),
        ({**S3, "credentials": {"access_key": "a", "secret_key": ""}}, "credentials.secret_key"),
    ],
)
def test_a_storage_has_exactly_what_its_kind_needs(value: dict[str, Any], field: str) -> None:
    assert set(_problems(StorageDocument, value)) == {field}


def test_keys_are_kept_out_of_sight() -> None:
    document = StorageDocument.parse({**S3, "credentials": {"access_key": "AKIA", "secret_key": "hunter2"}})
    assert document.credentials is not None
    assert document.credentials.reveal() == {"access_key": "AKIA", "secret_key": "hunter2"}
    for shown in (repr(document), str(document.plain()), repr(document.entity()), document.model_dump_json()):
        assert "hunter2" not in shown
        assert "AKIA" not in shown


def test_a_refused_value_is_not_repeated() -> None:
    with pytest.raises(DocumentRefused) as refused:
        StorageDocument.parse(
            {**S3, "credentials": {"access_key": "hunter 2", "secret_key": 7, "hunter3": 1}, "id": ["hunter4"]}
        )
    assert not any(word in str(refused.value.detail["problems"]) for word in ("hunter 2", "hunter4"))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
