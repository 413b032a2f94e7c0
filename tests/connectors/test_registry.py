"""From a storage's record to its connector, under the operator's rules."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.entities import Storage, StorageKind
from connectors import errors
from connectors.addresses import AddressRules
from connectors.errors import AddressRefused, RootRefused, StorageError
from connectors.local import LocalConnector
from connectors.registry import StorageRules, connect, screen
from connectors.s3 import S3Connector

S3 = Storage(id="s", participant="p", kind=StorageKind.S3, endpoint="https://192.0.2.1", bucket="bucket")


def rules(directory: Path, *networks: str) -> StorageRules:
    (directory / "roots" / "data").mkdir(parents=True, exist_ok=True)
    return StorageRules(
        addresses=AddressRules(networks=tuple(ipaddress.ip_network(text) for text in networks)),
        local_roots=(directory / "roots",),
        home=directory / "home",
        ca_directory=directory / "ca",
    )


def local(directory: Path) -> Storage:
    return Storage(id="l", participant="p", kind=StorageKind.LOCAL, root=str(directory))


def test_each_kind_has_its_connector(tmp_path: Path) -> None:
    with connect(local(tmp_path / "roots" / "data"), None, rules(tmp_path)) as found:
        pass
    assert isinstance(found, LocalConnector)
    with connect(S3, None, rules(tmp_path)) as found:
        pass
    assert isinstance(found, S3Connector)


def test_the_screen_refuses_what_the_operator_does_not_allow(tmp_path: Path) -> None:
    with pytest.raises(AddressRefused):
        screen(S3, rules(tmp_path))
    screen(S3, rules(tmp_path, "192.0.2.0/24"))
    with pytest.raises(RootRefused):
        screen(local(tmp_path), rules(tmp_path))
    screen(local(tmp_path / "roots" / "data"), rules(tmp_path))


def test_a_record_without_its_place_is_refused(tmp_path: Path) -> None:
    for record in (
        Storage(id="l", participant="p", kind=StorageKind.LOCAL),
        Storage(id="s", participant="p", kind=StorageKind.S3),
        Storage(id="s", participant="p", kind=StorageKind.S3, endpoint="https://192.0.2.1"),
    ):
        with pytest.raises(StorageError):
            screen(record, rules(tmp_path, "192.0.2.0/24"))


def test_no_sdk_is_loaded_before_it_is_needed() -> None:
    code = "import sys, connectors.registry as r; sys.exit('minio' in sys.modules or 'urllib3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StorageError)]
    leaves = [kind for kind in kinds if not kind.__subclasses__()]
    codes = [kind.code for kind in leaves]
    assert len(set(codes)) == len(codes)
    assert all(code.startswith("storage.") and code in (errors.__doc__ or "") for code in codes)
