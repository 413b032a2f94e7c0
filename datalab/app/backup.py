"""Backups: a gateway's databases, audit trail, checkpoints and keys in one tar file, taken while it runs; and their restoring.

Owns what belongs into a backup and in which order it is copied: the main database first and the trail after it, so that no
write is in the copy without its record; the checkpoint file under its lock, so that it fits the trail. Must never leave a
half-written backup under its name, restore into a directory in use, or write a key into a file that others can read.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import make_url

from datalab.app.databases import audit_url, database_url
from datalab.app.examination import checkpoint_file, verify_home
from datalab.app.home import Home, open_home
from datalab.app.settings import Settings, shown
from datalab.flow.verification import Report

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
MEMBER = re.compile(
    r"home\.json|settings\.json|database\.sqlite|audit\.sqlite|checkpoints\.jsonl|keys/[A-Za-z0-9_-]+\.(jwk|key)"
)


class BackupRefused(Exception):
    """There is no such backup to be made or restored; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup holds. files: name -> (size in bytes, SHA-256 in hex)."""

    created_at: str
    made_by: str
    keys: bool
    databases: bool
    files: Mapping[str, tuple[int, str]]


def back_up(home: Home, settings: Settings, out: Path, *, keys: bool = True, databases: bool = True) -> Backup:
    """Writes the backup to `out`, which must not exist, with mode 0600. The gateway may be running.

    keys: include them; then whoever holds the file holds the gateway. databases: False leaves them out, for PostgreSQL.
    Raises BackupRefused, OSError.
    """
    if out.exists():
        raise BackupRefused(f"{out} exists already.")
    with _scratch(out) as scratch:
        if databases:
            main, audit = (_sqlite_file(url) for url in (database_url(home, settings), audit_url(home, settings)))
            _copy_database(main, scratch / "database.sqlite")
        with _locked(checkpoint_file(home, settings)) as checkpoints:
            if databases:
                _copy_database(audit, scratch / "audit.sqlite")
            if checkpoints is not None:
                shutil.copyfile(checkpoints, scratch / "checkpoints.jsonl")
        shutil.copyfile(home.marker, scratch / "home.json")
        (scratch / "settings.json").write_text(json.dumps(dict(shown(settings)), indent=2))
        if keys:
            shutil.copytree(home.keys_dir, scratch / "keys")
        return _pack(scratch, out, keys=keys, databases=databases)


def _pack(scratch: Path, out: Path, *, keys: bool, databases: bool) -> Backup:
    names = sorted(str(path.relative_to(scratch)) for path in scratch.rglob("*") if path.is_file())
    backup = Backup(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        made_by=version("datalab-gateway"),
        keys=keys,
        databases=databases,
        files={name: _measure(scratch / name) for name in names},
    )
    manifest = {
        "datalab_backup": FORMAT,
        "created_at": backup.created_at,
        "made_by": backup.made_by,
        "keys": keys,
        "databases": databases,
        "files": {name: {"size_bytes": size, "sha256": digest} for name, (size, digest) in backup.files.items()},
    }
    (scratch / MANIFEST).write_text(json.dumps(manifest, indent=2))
    packed = scratch / "packed.tar"
    with packed.open("xb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in (MANIFEST, *names):
                tar.add(scratch / name, arcname=name, filter=_anonymous)
        file.flush()
        os.fsync(file.fileno())
    packed.chmod(0o600)
    try:
        out.hardlink_to(packed)  # unlike a rename it never replaces a file that appeared meanwhile
    except FileExistsError:
        raise BackupRefused(f"{out} exists already.") from None
    _sync(out.parent)
    return backup


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Only the content counts: neither owner nor mode is taken over."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def restore(source: Path, path: Path, settings: Settings) -> tuple[Backup, Report | None]:
    """Makes a home in `path`, absent or empty, from a backup, and examines its trail if the backup holds it and the keys.

    Raises BackupRefused for a damaged or foreign backup, a directory in use, or settings that name databases elsewhere.
    """
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BackupRefused(f"{path} is not empty: choose a new directory.")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.restore-", dir=path.parent))
    try:
        with source.open("rb") as file, _opened_tar(file.fileno(), source) as tar:
            backup = _read_manifest(tar, source)
            if backup.databases:
                _require_databases_in(staging, settings)
            _unpack(tar, backup, staging)
        (staging / "temp").mkdir(mode=0o700)
        (staging / "keys").mkdir(mode=0o700, exist_ok=True)
        _sync(staging / "keys")
        _sync(staging)
        staging.rename(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if not (backup.databases and backup.keys):
        return backup, None
    own = settings.model_copy(update={"audit": settings.audit.model_copy(update={"checkpoint_file": None})})
    return backup, verify_home(open_home(path), own)


def _require_databases_in(home: Path, settings: Settings) -> None:
    for url in (database_url(Home(home), settings), audit_url(Home(home), settings)):
        if not url.startswith(f"sqlite:///{home}/"):
            raise BackupRefused(
                "The settings name a database elsewhere, but this backup's lie in the home: unset them first."
            )


@contextlib.contextmanager
def _opened_tar(descriptor: int, source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    except tarfile.TarError:
        raise BackupRefused(f"{source} is damaged, or no backup.") from None


def _read_manifest(tar: tarfile.TarFile, source: Path) -> Backup:
    first = tar.next()
    content = tar.extractfile(first) if first is not None and first.isreg() and first.name == MANIFEST else None
    if content is None or first is None or first.size > MAX_MANIFEST_BYTES:
        raise BackupRefused(f"{source} is no backup of a gateway.")
    try:
        manifest = json.loads(content.read())
        if manifest["datalab_backup"] != FORMAT:
            raise BackupRefused(f"{source} was made by another version of datalab.")
        return Backup(
            created_at=str(manifest["created_at"]),
            made_by=str(manifest["made_by"]),
            keys=bool(manifest["keys"]),
            databases=bool(manifest["databases"]),
            files={str(name): (int(one["size_bytes"]), str(one["sha256"])) for name, one in manifest["files"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BackupRefused(f"{source} has a damaged manifest.") from None


def _unpack(tar: tarfile.TarFile, backup: Backup, staging: Path) -> None:
    """Writes exactly the files that the manifest lists, each checked against its hash."""
    missing = dict(backup.files)
    while (member := tar.next()) is not None:
        expected = missing.pop(member.name, None)
        content = tar.extractfile(member) if member.isreg() else None
        if expected is None or content is None or not MEMBER.fullmatch(member.name) or member.size != expected[0]:
            raise BackupRefused(f"The backup holds something it should not: {member.name!r}.")
        target = staging / member.name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        if _measure(target) != expected:
            raise BackupRefused(f"{member.name} in the backup is damaged: its hash does not fit.")
    if missing:
        raise BackupRefused(f"The backup is incomplete: {', '.join(sorted(missing))} missing.")


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, file_digest(file, "sha256").hexdigest()


def _sqlite_file(url: str) -> Path:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        raise BackupRefused(
            "A database of this gateway is in PostgreSQL: back it up with pg_dump, and keys and checkpoints with "
            "`datalab backup --without-databases`. Take the pg_dump first."
        )
    return Path(parsed.database)


def _copy_database(source: Path, target: Path) -> None:
    """One consistent snapshot, without disturbing whoever writes."""
    if not source.is_file():
        raise BackupRefused(f"There is no database {source}.")
    target.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Path | None]:
    """The checkpoint file while nobody appends to it; None: there is none yet."""
    if not path.exists():
        yield None
        return
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A private directory beside the backup, gone at the end."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as directory:
        yield Path(directory)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
