"""What would keep the gateway from starting, found without starting it.

Owns that list of looks: issuers file, storage roots, home, keys, databases. Must never change anything, and never names a
secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from datalab.app.databases import open_engines
from datalab.app.home import HomeRefused, open_home, read_keys
from datalab.app.issuers import read_issuers
from datalab.app.settings import Settings, SettingsRefused
from datalab.flow.sandbox import landlock_abi


def problems_of(settings: Settings, home: Path | None) -> list[str]:
    """One sentence per problem; none if the gateway can start. home: None leaves it out."""
    return [
        *_of_issuers(settings),
        *_of_storages(settings),
        *confinement_problems(settings),
        *(_of_home(settings, home) if home else ()),
    ]


def confinement_problems(settings: Settings) -> list[str]:
    """Whether the kernel lacks the Landlock that the settings ask for."""
    if settings.engine.require_landlock and landlock_abi() == 0:
        return ["DATALAB_ENGINE_REQUIRE_LANDLOCK: this kernel has no Landlock to confine the workers with"]
    return []


def _of_issuers(settings: Settings) -> Iterator[str]:
    try:
        read_issuers(settings.token.issuers_file, audience="https://localhost", clock=lambda: datetime.now(UTC))
    except SettingsRefused as error:
        yield from error.problems


def _of_storages(settings: Settings) -> Iterator[str]:
    for root in settings.storage.local_roots:
        if not root.is_dir():
            yield f"DATALAB_STORAGE_LOCAL_ROOTS: {root} is no directory"


def _of_home(settings: Settings, path: Path) -> Iterator[str]:
    try:
        home = open_home(path)
        read_keys(home)
    except HomeRefused as error:
        yield str(error)
        return
    for root in settings.storage.local_roots:
        if home.path.is_relative_to(root.resolve()) or root.resolve().is_relative_to(home.path):
            yield f"DATALAB_STORAGE_LOCAL_ROOTS: {root} and the home must not contain each other"
    try:
        with open_engines(home, settings) as engines:
            for engine in (engines.main, engines.audit):
                with engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        yield f"A database cannot be opened: {type(error).__name__}"
