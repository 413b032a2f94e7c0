"""`datalab init`: a new home with keys, databases, the operator's participant and the first admin client.

Owns the order that leaves nothing half-made: everything is built in a hidden sibling directory and renamed; a database
elsewhere is written last, and a second run completes it. Must never touch a directory that is not a gateway's.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.entities import Participant
from datalab.app.foundation import now, open_foundation
from datalab.app.home import Home, HomeRefused, make_home, open_home
from datalab.app.operator import OPERATOR
from datalab.app.settings import Settings
from datalab.db.oauth import OAuthStore
from datalab.flow.authority import operator_principal
from datalab.flow.jwks import Clock
from datalab.flow.principal import Role
from datalab.flow.token import Scope
from datalab.oauth.clients import Clients, Issued
from datalab.registry.participants import Participants

FIRST_CLIENT = "First administrator"
FIRST_ROLES = (Role.MEMBER, Role.PARTICIPANT_ADMIN, Role.AUDITOR, Role.GATEWAY_OPERATOR)


def initialise(path: Path, settings: Settings, *, operator: Participant = OPERATOR, clock: Clock = now) -> Issued:
    """Makes a home in `path`, which must be empty or absent, and returns the first admin client with its secret.

    A home whose database was not written to its end is completed. Raises HomeRefused for a directory that is in use, a
    database that belongs to another gateway, or a home that is complete.
    """
    path = path.absolute()
    if (path / "home.json").exists():
        return _furnish(open_home(path), settings, operator, clock)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise HomeRefused(f"{path} is not empty and no gateway home; choose another directory.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _staging(path) as staging:
        home = make_home(staging)
        if settings.database.url is not None:
            _publish(staging, path)
            return _furnish(Home(path), settings, operator, clock)
        issued = _furnish(home, settings, operator, clock)
        _publish(staging, path)
        return issued


def _furnish(home: Home, settings: Settings, operator: Participant, clock: Clock) -> Issued:
    machine = operator_principal(f"os-user:{os.getuid()}")
    with open_foundation(home, settings, migrate=True, clock=clock) as base:
        clients = OAuthStore(base.database)
        if clients.holds(Role.GATEWAY_OPERATOR):
            raise HomeRefused("The database already has an operator: this gateway is initialised.")
        base.catalogue.revision()
        if base.catalogue.participant(operator.id) is None:
            Participants(base.registrar, base.catalogue).create(machine, operator)
        return Clients(clients, base.catalogue, base.journal, clock).create(
            machine, operator.id, name=FIRST_CLIENT, roles=FIRST_ROLES, scopes=tuple(Scope)
        )


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """A sibling's name to build under, locked; what crashed attempts left behind is removed."""
    prefix = f".{path.name}.init-"
    for left in path.parent.iterdir():
        if not (left.name.startswith(prefix) and left.suffix == ".lock"):
            continue
        with left.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink(missing_ok=True)
    staging = path.parent / f"{prefix}{secrets.token_hex(6)}"
    lock_file = staging.with_name(staging.name + ".lock")
    with lock_file.open("xb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            lock_file.unlink(missing_ok=True)


def _publish(staging: Path, path: Path) -> None:
    """Gives the finished directory its name; after a power cut it is there whole or not at all."""
    for directory in (staging / "keys", staging):
        _sync(directory)
    staging.rename(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
