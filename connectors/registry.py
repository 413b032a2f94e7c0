"""From a storage's record to its connector.

Owns which kinds there are. Must never import an SDK before a storage of its kind is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catalog.entities import Storage, StorageKind
from connectors.addresses import AddressRules
from connectors.contract import Connector
from connectors.credentials import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRules:
    """What the operator allows storages to be.

    addresses: for S3 endpoints. local_roots: directories below which local storages may lie; empty: none may. home: the
    gateway's own home, closed to all. ca_directory: where private authorities' certificates are written for the engine.
    """

    addresses: AddressRules
    local_roots: tuple[Path, ...]
    home: Path
    ca_directory: Path


def connect(storage: Storage, credentials: Credentials | None, rules: StorageRules) -> Connector:
    """The connector of a storage; nothing is asked of the place yet. Close it when done.

    Raises:
        StorageRefused: the record names a place that the operator does not allow, or that cannot be one.
    """
    if storage.kind is StorageKind.LOCAL:
        from connectors.local import LocalConnector

        return LocalConnector(storage.root or "", roots=rules.local_roots, home=rules.home)
    from connectors.s3 import S3Connector

    return S3Connector(storage, credentials, rules=rules.addresses, ca_directory=rules.ca_directory)


def screen(storage: Storage, rules: StorageRules) -> None:
    """Refuses a storage that the operator does not allow, before it is stored; resolves names, connects to nothing.

    Raises:
        StorageRefused, Unreachable.
    """
    with connect(storage, None, rules):
        if storage.kind is StorageKind.S3:
            rules.addresses.check(storage.endpoint or "")
