"""The storage that an inspector reads, as a message through its standard input and back to a connector.

Owns the message's form. It carries a secret where the storage has one: must never be logged, nor passed as an argument or
in the environment, where other processes could read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.contract import Connector, FileIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """root: the storage's absolute directory. roots, home: as `connectors.local.LocalConnector` takes them."""

    root: str
    roots: tuple[str, ...]
    home: str

    def message(self) -> dict[str, object]:
        return {"kind": "local", "root": self.root, "roots": list(self.roots), "home": self.home}

    @property
    def directories(self) -> tuple[str, ...]:
        """What the inspector must be able to read."""
        return (self.root, *self.roots)

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the inspector must be able to connect."""
        return ()

    @property
    def remote(self) -> bool:
        return False

    @property
    def fixed_path(self) -> str:
        """The part of the engine's paths that precedes the files' own."""
        return self.root


Source = LocalSource


def source_of(message: Mapping[str, Any]) -> Source:
    return LocalSource(root=message["root"], roots=tuple(message["roots"]), home=message["home"])


def connect(source: Source) -> Connector:
    """A connector for the source; imports what that kind of storage needs, and nothing else.

    Raises:
        StorageError: the storage is not what the operator allows.
    """
    from connectors.local import LocalConnector

    return LocalConnector(source.root, roots=[Path(root) for root in source.roots], home=Path(source.home))


def file_message(file: FileIdentity) -> list[str | int | None]:
    return [file.path, file.size_bytes, file.etag, file.version_id, file.device, file.inode, file.mtime_ns]


def files_of(messages: Sequence[Sequence[Any]]) -> list[FileIdentity]:
    return [
        FileIdentity(
            path=path, size_bytes=size, etag=etag, version_id=version_id, device=device, inode=inode, mtime_ns=mtime
        )
        for path, size, etag, version_id, device, inode, mtime in messages
    ]
