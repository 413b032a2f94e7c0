"""What tests publish: files as careful writers put them there, and storages of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.entities import Storage
from connectors.addresses import AddressRules
from connectors.credentials import Credentials
from connectors.registry import StorageRules
from datalab.publish.source import Source


def write(path: Path, table: pa.Table | Mapping[str, list[Any]], **options: Any) -> Path:
    """A Parquet file, as a careful writer puts it there: a new file in the old one's place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(dict(table)), beside, **options)
    beside.rename(path)
    return path


@dataclass
class Sources:
    """Storages of this machine, and credentials by storage id."""

    rules: StorageRules
    credentials: Mapping[str, Credentials]

    def source(self, storage: Storage) -> Source:
        return Source(storage=storage, credentials=self.credentials.get(storage.id), rules=self.rules)


def rules_of(place: Path, home: Path) -> StorageRules:
    return StorageRules(addresses=AddressRules(), local_roots=(place.parent,), home=home, ca_directory=home)
