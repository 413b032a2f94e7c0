"""The storages' places: what the operator allows, and a storage's connector with its credentials opened.

Owns the translation of settings into the connectors' rules, and the key that seals. Must never show a credential.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from catalog.entities import Storage
from connectors.addresses import AddressRules
from connectors.contract import Connector
from connectors.credentials import Credentials, CredentialSealer
from connectors.registry import StorageRules, connect, screen
from datalab.app.home import Home, Keys
from datalab.app.settings import StorageSettings
from datalab.db.database import Database
from datalab.db.sealed import sealed_credentials
from datalab.publish.source import Source

SEALING_KEY = "home"
"""The id of the home's key in what it seals."""


def storage_rules(home: Home, settings: StorageSettings) -> StorageRules:
    """What storages may be on this gateway. An allowed endpoint with a `/` is a network, any other a host name."""
    networks = tuple(ipaddress.ip_network(one) for one in settings.allowed_endpoints if "/" in one)
    return StorageRules(
        addresses=AddressRules(
            schemes=frozenset({"http", "https"} if settings.allow_http else {"https"}),
            hosts=tuple(one for one in settings.allowed_endpoints if "/" not in one),
            networks=networks,
        ),
        local_roots=settings.local_roots,
        home=home.path,
        ca_directory=_ca_directory(home),
    )


def _ca_directory(home: Home) -> Path:
    directory = home.path / "authorities"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def sealer(keys: Keys) -> CredentialSealer:
    return CredentialSealer({SEALING_KEY: keys.credentials}, current=SEALING_KEY)


class Places:
    """Connectors of this gateway's storages."""

    def __init__(self, rules: StorageRules, sealer: CredentialSealer, database: Database) -> None:
        self.rules = rules
        self._sealer = sealer
        self._database = database

    def screen(self, storage: Storage) -> None:
        """Raises StorageError for a place that the operator does not allow; connects to nothing."""
        screen(storage, self.rules)

    def credentials(self, storage: Storage) -> Credentials | None:
        """Those it is registered with, opened. Raises SealBroken."""
        sealed = sealed_credentials(self._database, storage.id) if storage.uid else None
        return None if sealed is None else self._sealer.open(storage.uid, sealed)

    def connect(self, storage: Storage, credentials: Mapping[str, str] | None = None) -> Connector:
        """The storage's connector, to be closed. credentials: None takes those it is registered with.

        Raises StorageError.
        """
        opened = self.credentials(storage) if credentials is None else Credentials.parse(credentials)
        return connect(storage, opened, self.rules)

    def source(self, storage: Storage) -> Source:
        """All that an inspector process needs to reach it. Raises SealBroken."""
        return Source(storage=storage, credentials=self.credentials(storage), rules=self.rules)
