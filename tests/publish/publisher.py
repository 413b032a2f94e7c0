"""A process that publishes for as long as it lives, for tests that kill it: `python -m tests.publish.publisher DIRECTORY HOW`.

It says on standard output what was acknowledged to it: `version NUMBER FILES`. HOW: `whole`, each publication with listing
and inspection; `commit`, many-file versions committed one after the other, so that a kill most likely meets a transaction.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from catalog.entities import Column, FileEntry
from datalab.db.database import Database, open_engine
from datalab.db.publishing import SqlVersions
from datalab.db.reader import Reader
from datalab.flow.authority import operator_principal
from datalab.flow.principal import Principal
from datalab.publish.ports import Draft
from datalab.publish.process import Limits
from datalab.publish.versions import Versions
from tests.publish.files import Sources, rules_of, write

FILES = 500


class NoJournal:
    """The trail has tests of its own that kill it."""

    @contextmanager
    def administrative(
        self, principal: Principal, *, verb: str, resource: str, detail: Mapping[str, object]
    ) -> Iterator[None]:
        yield


def now() -> datetime:
    return datetime.now(UTC)


def whole(directory: Path, database: Database) -> None:
    place = directory / "roots" / "lake"
    sources = Sources(rules_of(place, directory / "gateway"), {})
    versions = Versions(
        SqlVersions(database),
        Reader(database),
        sources,
        NoJournal(),
        clock=now,
        limits=Limits(temp_root=str(directory)),
    )
    count = len(list((place / "cohort").glob("*.parquet")))
    while True:
        count += 1
        write(place / "cohort" / f"{count:05}.parquet", {"id": [count]})
        record = versions.publish(operator_principal("test"), "health", "cohort").record
        print(f"version {record.version.number} {record.file_count}", flush=True)


def commit(_directory: Path, database: Database) -> None:
    reader = Reader(database)
    dataset, storage = reader.dataset("health", "cohort"), reader.storage("alpha_lake")
    assert dataset is not None
    assert storage is not None
    store = SqlVersions(database)
    while True:
        stamp = now().timestamp()
        files = tuple(
            FileEntry(path=f"{stamp}/{n}.parquet", size_bytes=n, rows=n, device=1, inode=n, mtime_ns=n)
            for n in range(FILES)
        )
        draft = Draft(
            dataset=dataset,
            storage=storage,
            files=files,
            columns=(Column(name="id", type="BIGINT"),),
            arrow_schema=b"",
            hive_partitioning=False,
            fingerprint=f"{stamp:064}",
            created_at=now(),
        )
        record = store.commit(draft)
        assert record is not None
        print(f"version {record.version.number} {record.file_count}", flush=True)


if __name__ == "__main__":
    {"whole": whole, "commit": commit}[sys.argv[2]](
        Path(sys.argv[1]), Database(open_engine(f"sqlite:///{sys.argv[1]}/datalab.db"))
    )
