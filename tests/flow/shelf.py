"""A catalogue in memory that counts what is read of it, for the decision stage alone; storage has its own tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from catalog.entities import (
    Admission,
    AiFactory,
    Column,
    DataLab,
    Dataset,
    DatasetStatus,
    DataSpace,
    FileEntry,
    Participant,
    ParticipantKind,
    ParticipantStatus,
    PolicyRecord,
    Storage,
    Version,
)
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal, Role

Answer = TypeVar("Answer")


@dataclass
class Shelf:
    """datasets: by `space/name`; versions: by dataset uid and number; documents: in force."""

    datasets: dict[str, Dataset] = field(default_factory=dict)
    versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    records: list[PolicyRecord] = field(default_factory=list)
    number: int = 1
    reads: list[str] = field(default_factory=list)
    kept: dict[str, tuple[PolicyRecord, ...]] = field(default_factory=dict)

    def put(self, *documents: Mapping[str, Any]) -> None:
        """In force from now on, in place of those of the same ids."""
        ids = {document["id"] for document in documents}
        self.records = [record for record in self.records if record.id not in ids]
        self.records += [
            PolicyRecord(
                uid=f"uid-{document['id']}", revision=7, id=document["id"], scope=document["scope"], document=document
            )
            for document in documents
        ]
        self.moved()

    def moved(self) -> None:
        self.number += 1
        self.kept.clear()

    def add(self, dataset: Dataset, *versions: Version) -> None:
        self.datasets[dataset.key] = dataset
        self.versions |= {(dataset.uid, version.number): version for version in versions}
        self.moved()

    def consistently(self, work: Callable[[Catalogue], Answer]) -> Answer:
        return work(self)

    def prefetch(self, datasets: Sequence[Dataset]) -> None:
        self.reads.append("prefetch")

    def revision(self) -> int:
        return self.number

    def ai_factory(self, id_: str) -> AiFactory | None:
        raise AssertionError("decisions need no factory")

    def participant(self, id_: str) -> Participant | None:
        raise AssertionError("decisions need no other participant")

    def storage(self, id_: str) -> Storage | None:
        raise AssertionError("decisions need no storage")

    def admissions(self, participant: str) -> tuple[Admission, ...]:
        raise AssertionError("the principal carries its admissions")

    def data_space(self, id_: str) -> DataSpace | None:
        self.reads.append("data_space")
        return DataSpace(id=id_, title={"en": id_}, sector="health")

    def data_lab(self, id_: str) -> DataLab | None:
        self.reads.append("data_lab")
        return DataLab(id=id_, title={"en": id_}, home="lumi", operator="labco") if id_ else None

    def dataset(self, space: str, name: str) -> Dataset | None:
        self.reads.append("dataset")
        return self.datasets.get(f"{space}/{name}")

    def version(self, dataset_uid: str, number: int | None = None, *, files: bool = True) -> Version | None:
        self.reads.append(f"version files={files}")
        if number is None:
            found = [v for (uid, _), v in self.versions.items() if uid == dataset_uid and v.status == "published"]
            version = max(found, key=lambda v: v.number, default=None)
        else:
            version = self.versions.get((dataset_uid, number))
        return version if version is None or files else replace(version, files=())

    def policy_scopes(self) -> tuple[str, ...]:
        self.reads.append("policy_scopes")
        return tuple(sorted({one.scope for one in self.records if not one.scope.startswith("dataset:")}))

    def policies(self, scope: str) -> tuple[PolicyRecord, ...]:
        self.reads.append(f"policies {scope.partition(':')[0]}")
        if scope not in self.kept:
            self.kept[scope] = tuple(record for record in self.records if record.scope == scope)
        return self.kept[scope]


def dataset_of(name: str, **more: Any) -> Dataset:
    values: dict[str, Any] = {
        "uid": f"uid-{name}",
        "space": "health",
        "name": name,
        "provider": "clinic",
        "lab": "lab",
        "title": {"en": name},
        "storage": "disk",
        "location": "",
        "status": DatasetStatus.PUBLISHED,
    }
    return Dataset(**(values | more))


def version_of(name: str, number: int = 1, **more: Any) -> Version:
    values: dict[str, Any] = {
        "dataset_uid": f"uid-{name}",
        "number": number,
        "files": (FileEntry(path="a.parquet", size_bytes=1, rows=1),),
        "columns": (Column(name="id", type="INTEGER"), Column(name="Name", type="VARCHAR")),
        "arrow_schema": b"",
        "row_count": 1,
        "size_bytes": 1,
    }
    return Version(**(values | more))


def member(participant: str = "uni", country: str = "DE", **more: Any) -> Principal:
    organisation = Participant(
        id=participant,
        legal_name=participant,
        country=country,
        kind=ParticipantKind.RESEARCH,
        status=ParticipantStatus.VERIFIED,
    )
    values: dict[str, Any] = {
        "issuer": "local:",
        "subject": "ada",
        "client_id": None,
        "participant": organisation,
        "roles": frozenset({Role.MEMBER}),
        "scopes": frozenset(),
        "spaces": frozenset({"health"}),
        "token_id": "t",
    }
    return Principal(**(values | more))
