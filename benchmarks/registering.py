"""Registering 10,000 files, against reading their footers with pyarrow in threads.

Owns that measurement: ours is the whole publication (listing, inspection, the second look, the commit), theirs the footers
alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measures import Row, taking_turns
from catalog.entities import (
    AiFactory,
    DataLab,
    Dataset,
    DataSpace,
    Participant,
    ParticipantKind,
    ParticipantStatus,
    Storage,
    StorageKind,
    VersionStatus,
)
from connectors.addresses import AddressRules
from connectors.registry import StorageRules
from datalab.db.base import Base
from datalab.db.database import Database, open_engine
from datalab.db.publishing import SqlVersions
from datalab.db.reader import Reader
from datalab.db.registry import SqlStore
from datalab.flow.authority import operator_principal
from datalab.flow.principal import Principal
from datalab.publish.process import Limits
from datalab.publish.source import Source
from datalab.publish.versions import Versions

FILES = 10_000
COLUMNS = 20
GOAL = 1.2


def registering(rounds: int = 3, files: int = FILES) -> Row:
    """The ratio of both, each the median of its rounds."""
    with tempfile.TemporaryDirectory(prefix="datalab-bench-") as directory:
        place = Path(directory) / "lake"
        paths = write_files(place, files)
        threads = os.cpu_count() or 1

        def footers() -> None:
            with ThreadPoolExecutor(threads) as pool:
                assert sum(found.num_rows for found in pool.map(pq.read_metadata, paths)) == 50 * files

        with publisher(Path(directory), place) as publish:
            ours, theirs = taking_turns(rounds, publish, footers)
    ratio = ours / theirs
    return Row(
        what=f"registering {files:,} files",
        against="reading their footers with pyarrow threads",
        measured=ratio,
        unit="x",
        goal=f"<= {GOAL} x",
        met=ratio <= GOAL,
        detail={"seconds": ours, "pyarrow_seconds": theirs, "files": files, "columns": COLUMNS, "threads": threads},
    )


def write_files(place: Path, files: int) -> list[Path]:
    """As many copies of one file of 20 columns and 50 rows."""
    place.mkdir()
    sink = pa.BufferOutputStream()
    columns = {
        f"column_{number}": [row / (number + 1) for row in range(50)]
        if number % 2
        else [f"value {row}" for row in range(50)]
        for number in range(COLUMNS)
    }
    pq.write_table(pa.table(columns), sink)
    content = bytes(sink.getvalue())
    paths = [place / f"part-{number:05}.parquet" for number in range(files)]
    for path in paths:
        path.write_bytes(content)
    return paths


@dataclass(frozen=True)
class _Sources:
    rules: StorageRules

    def source(self, storage: Storage) -> Source:
        return Source(storage=storage, rules=self.rules)


class _NoJournal:
    """The trail is measured with queries; here it would be one record."""

    @contextmanager
    def administrative(
        self, principal: Principal, *, verb: str, resource: str, detail: Mapping[str, object]
    ) -> Iterator[None]:
        yield


@contextmanager
def publisher(directory: Path, place: Path) -> Iterator[Callable[[], None]]:
    """Publishes what lies there, each time as a new version of one dataset."""
    engine = open_engine(f"sqlite:///{directory}/datalab.db")
    Base.metadata.create_all(engine)
    database = Database(engine)
    dataset = _furnish(SqlStore(database), place)
    home = directory / "home"
    home.mkdir()
    rules = StorageRules(addresses=AddressRules(), local_roots=(place,), home=home, ca_directory=home)
    store, principal = SqlVersions(database), operator_principal("benchmark")
    versions = Versions(
        store,
        Reader(database),
        _Sources(rules),
        _NoJournal(),
        clock=lambda: datetime.now(UTC),
        limits=Limits(temp_root=str(directory)),
    )

    def publish() -> None:
        record = versions.publish(principal, dataset.space, dataset.name).record
        store.set_status(dataset.uid, record.version.number, VersionStatus.WITHDRAWN, "measured")

    yield publish
    engine.dispose()


def _furnish(store: SqlStore, place: Path) -> Dataset:
    with store.write() as transaction:
        transaction.participants.add(
            Participant(
                id="provider",
                legal_name="Provider",
                country="FI",
                kind=ParticipantKind.SME,
                status=ParticipantStatus.VERIFIED,
            )
        )
        transaction.ai_factories.add(
            AiFactory(id="factory", name="Factory", host="Host", place="Kajaani", country="FI")
        )
        transaction.data_spaces.add(DataSpace(id="space", title={"en": "Space"}, sector="energy"))
        transaction.data_labs.add(
            DataLab(id="lab", title={"en": "Lab"}, home="factory", spaces=("space",), operator="provider")
        )
        transaction.storages.add(Storage(id="disk", participant="provider", kind=StorageKind.LOCAL, root=str(place)))
        return transaction.datasets.add(
            Dataset(
                space="space",
                name="many",
                provider="provider",
                lab="lab",
                title={"en": "Many files"},
                storage="disk",
                location="",
            )
        )
