"""A gateway's registry with a local storage in it, the services that publish from it, and files to publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.entities import Dataset, Storage, StorageKind
from datalab.db.jobs import SqlJobs
from datalab.db.publishing import SqlVersions
from datalab.flow.principal import Principal
from datalab.publish.process import Limits
from datalab.publish.versions import Versions
from tests.publish.files import Sources, rules_of, write
from tests.registry.world import MACHINE, World, dataset


class Lake:
    """alpha provides `health/cohort` from the directory `place`."""

    def __init__(self, world: World, place: Path, home: Path) -> None:
        self.world = world
        self.place = place
        self.rules = rules_of(place, home)
        self.store = SqlVersions(world.database)
        self.jobs_store = SqlJobs(world.database)
        self.versions = self.service()
        world.storages.create(
            MACHINE, Storage(id="alpha_lake", participant="alpha", kind=StorageKind.LOCAL, root=str(place))
        )
        self.cohort = self.register("cohort", "cohort")
        self.alpha = world.principal("alpha")
        self.beta = world.principal("beta")

    def service(self, **limits: Any) -> Versions:
        return Versions(
            self.store,
            self.world.reader,
            Sources(self.rules, {}),
            self.world.notebook,
            clock=self.world.clock,
            limits=Limits(**limits),
        )

    def register(self, name: str, location: str, **more: Any) -> Dataset:
        return self.world.datasets.create(MACHINE, dataset(name, storage="alpha_lake", location=location, **more))

    def file(self, path: str, columns: pa.Table | Mapping[str, list[Any]] | None = None) -> Path:
        return write(self.place / path, {"id": [1, 2], "age": [30, 40]} if columns is None else columns)

    def numbers(self, principal: Principal | None = None) -> list[int]:
        """The numbers of the dataset's versions, newest first."""
        found = self.versions.page(self.cohort, below=None, limit=100, published_only=False)
        return [record.version.number for record in found]


@contextmanager
def lake(world: World, directory: Path) -> Iterator[Lake]:
    place, home = directory / "roots" / "lake", directory / "gateway"
    place.mkdir(parents=True)
    home.mkdir()
    yield Lake(world, place, home)
