"""The gateway's home directory: its keys and, by default, its databases.

Owns the layout and the modes (0700 for directories, 0600 for keys). Must never open a home that others can read, and never
mistakes a foreign directory for one.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from datalab.oauth.keys import SigningKeys, new_signing_key, read_signing_keys

FORMAT = 1
KEY_BYTES = 32
MARKER = "home.json"
SECRET_KEYS = ("credentials", "audit", "hash", "checkpoint")


class HomeRefused(Exception):
    """The directory cannot be used as a home; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """signing: of access tokens. credentials: seals storage credentials. audit: authenticates the trail. hash: HKDF master
    key of the hash mask. checkpoint: Ed25519 key that signs the trail's checkpoints. The last four are 32 bytes each.
    """

    signing: SigningKeys = field(repr=False)
    credentials: bytes = field(repr=False)
    audit: bytes = field(repr=False)
    hash: bytes = field(repr=False)
    checkpoint: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Home:
    """Where things lie; see `open_home` for a checked one."""

    path: Path

    @property
    def marker(self) -> Path:
        return self.path / MARKER

    @property
    def keys_dir(self) -> Path:
        return self.path / "keys"

    @property
    def database(self) -> Path:
        """The main database, unless a URL is configured."""
        return self.path / "database.sqlite"

    @property
    def audit_database(self) -> Path:
        """The audit trail, unless a URL is configured."""
        return self.path / "audit.sqlite"

    @property
    def checkpoints(self) -> Path:
        """Signed heads of the audit trail, unless a file elsewhere is configured (as it should be)."""
        return self.path / "checkpoints.jsonl"

    @property
    def temp(self) -> Path:
        """Temporary files of workers; emptied at start."""
        return self.path / "temp"

    def key_file(self, name: str) -> Path:
        return self.keys_dir / f"{name}.key"

    @property
    def signing_key_files(self) -> tuple[Path, ...]:
        """The active one first, then retired ones by name."""
        retired = sorted(self.keys_dir.glob("signing-retired-*.jwk"))
        return (self.keys_dir / "signing.jwk", *retired)


def make_home(path: Path) -> Home:
    """A new home with fresh keys in `path`, which must not exist yet."""
    path.mkdir(mode=0o700)
    home = Home(path)
    home.keys_dir.mkdir(mode=0o700)
    home.temp.mkdir(mode=0o700)
    write_private(home.signing_key_files[0], new_signing_key().encode())
    for name in SECRET_KEYS:
        write_private(home.key_file(name), secrets.token_bytes(KEY_BYTES))
    write_private(home.marker, json.dumps({"datalab_home": FORMAT}).encode() + b"\n")
    return home


def open_home(path: Path) -> Home:
    """The home in `path`. Raises HomeRefused if it is none, of another format, or open to others."""
    home = Home(path.resolve())
    try:
        marker = json.loads(home.marker.read_bytes())
    except FileNotFoundError:
        raise HomeRefused(f"{path} is no gateway home: make one with `datalab init --home {path}`.") from None
    except (OSError, ValueError) as error:
        raise HomeRefused(f"{home.marker} cannot be read: {type(error).__name__}.") from error
    if not isinstance(marker, dict) or marker.get("datalab_home") != FORMAT:
        raise HomeRefused(f"{path} was made by another version of datalab.")
    for private in (home.path, home.keys_dir, *home.signing_key_files, *map(home.key_file, SECRET_KEYS)):
        _require_private(private)
    return home


def read_keys(home: Home) -> Keys:
    """The keys. Raises HomeRefused if one is missing or malformed."""
    try:
        signing = read_signing_keys([file.read_text() for file in home.signing_key_files])
        credentials, audit, hash_, checkpoint = (home.key_file(name).read_bytes() for name in SECRET_KEYS)
    except (OSError, ValueError) as error:
        raise HomeRefused(f"A key in {home.keys_dir} cannot be read: {error}.") from error
    if any(len(key) != KEY_BYTES for key in (credentials, audit, hash_, checkpoint)):
        raise HomeRefused(f"A key in {home.keys_dir} has not {KEY_BYTES} bytes.")
    return Keys(signing=signing, credentials=credentials, audit=audit, hash=hash_, checkpoint=checkpoint)


def write_private(path: Path, content: bytes) -> None:
    """A new file that only its owner reads, on disk when this returns. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, because the mode must hold from the first byte
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _require_private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise HomeRefused(f"{path} cannot be read: {type(error).__name__}.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise HomeRefused(f"{path} is open to others: chmod go= {path}")
