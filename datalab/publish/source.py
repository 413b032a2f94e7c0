"""The storage that an inspector reads, as a message through its standard input and back to a connector.

Owns the message's form. It carries a secret where the storage has one: must never be logged, nor passed as an argument or
in the environment, where other processes could read it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from catalog.entities import Storage, StorageKind
from connectors.addresses import AddressRules
from connectors.contract import Connector, FileIdentity
from connectors.credentials import Credentials
from connectors.registry import StorageRules
from connectors.registry import connect as connector_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A storage, its opened credentials, and what the operator allows; all that a connector is made of."""

    storage: Storage
    credentials: Credentials | None = field(default=None, repr=False)
    rules: StorageRules

    @property
    def remote(self) -> bool:
        return self.storage.kind is StorageKind.S3

    @property
    def directories(self) -> tuple[str, ...]:
        """What an inspector must be able to read."""
        return () if self.remote else (self.storage.root or "", *map(str, self.rules.local_roots))

    @property
    def ports(self) -> tuple[int, ...]:
        """Where an inspector must be able to connect: the endpoint, and DNS when an answer needs TCP."""
        return (53, self.rules.addresses.endpoint(self.storage.endpoint or "").port) if self.remote else ()

    @property
    def fixed_path(self) -> str:
        """The part of the engine's paths that precedes the files' own."""
        return f"{self.storage.bucket}/{self.storage.prefix}" if self.remote else self.storage.root or ""

    def message(self) -> dict[str, object]:
        addresses = self.rules.addresses
        return {
            "storage": asdict(self.storage),
            "credentials": None if self.credentials is None else self.credentials.document(),
            "schemes": sorted(addresses.schemes),
            "hosts": list(addresses.hosts),
            "networks": [str(network) for network in addresses.networks],
            "public": addresses.public,
            "local_roots": [str(root) for root in self.rules.local_roots],
            "home": str(self.rules.home),
        }


def source_of(message: Mapping[str, Any], directory: Path) -> Source:
    """directory: the inspector's own, in place of the gateway's directory of certificates."""
    storage = dict(message["storage"])
    return Source(
        storage=Storage(**{**storage, "kind": StorageKind(storage["kind"])}),
        credentials=None if message["credentials"] is None else Credentials.parse(message["credentials"]),
        rules=StorageRules(
            addresses=AddressRules(
                schemes=frozenset(message["schemes"]),
                hosts=tuple(message["hosts"]),
                networks=tuple(ipaddress.ip_network(network) for network in message["networks"]),
                public=message["public"],
            ),
            local_roots=tuple(Path(root) for root in message["local_roots"]),
            home=Path(message["home"]),
            ca_directory=directory,
        ),
    )


def connect(source: Source) -> Connector:
    """The source's connector, to be closed. Raises StorageError: the storage is not what the operator allows."""
    return connector_of(source.storage, source.credentials, source.rules)


def file_message(file: FileIdentity) -> list[str | int | None]:
    return [file.path, file.size_bytes, file.etag, file.version_id, file.device, file.inode, file.mtime_ns]


def files_of(messages: Sequence[Sequence[Any]]) -> list[FileIdentity]:
    return [
        FileIdentity(
            path=path, size_bytes=size, etag=etag, version_id=version_id, device=device, inode=inode, mtime_ns=mtime
        )
        for path, size, etag, version_id, device, inode, mtime in messages
    ]
