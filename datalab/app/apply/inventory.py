"""What earlier runs applied, by the path they read: so that `--prune` deletes what a directory named once and no longer does.

Owns `applied.json` in the gateway's home. Losing it loses nothing but the memory: then nothing is pruned. Must never hold
a secret: of credentials it keeps a salted, slow hash, to know whether they changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from datalab.app.apply.kinds import Kind
from datalab.app.apply.secrets import replace_private

FILE = "applied.json"
_FORMAT = 1
Key = tuple[Kind, str]


class InventoryBusy(Exception):
    def __init__(self) -> None:
        super().__init__("Another apply is running on this home.")


class InventoryUnreadable(Exception):
    def __init__(self) -> None:
        super().__init__(
            f"{FILE} in the home is not what apply wrote there: move it away; nothing will be pruned then."
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """uid: of the thing, empty until it is known. credentials: `salt:digest` in hexadecimal digits, if it has any."""

    uid: str = ""
    credentials: str = ""


@dataclass(slots=True)
class Inventory:
    """things: by resolved path of a source, then by kind and key."""

    path: Path
    things: dict[str, dict[Key, Applied]] = field(default_factory=dict)

    def of(self, source: str) -> dict[Key, Applied]:
        return self.things.setdefault(source, {})

    def save(self) -> None:
        """On disk when this returns."""
        sources = {
            source: [
                [kind.value, key, applied.uid, applied.credentials] for (kind, key), applied in sorted(known.items())
            ]
            for source, known in sorted(self.things.items())
            if known
        }
        replace_private(self.path, json.dumps({"format": _FORMAT, "sources": sources}, ensure_ascii=False))


@contextmanager
def opened(home: Path) -> Iterator[Inventory]:
    """The home's inventory, for this process alone. Raises InventoryBusy, InventoryUnreadable."""
    descriptor = os.open(home / f"{FILE}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InventoryBusy from None
        yield _read(home / FILE)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Inventory:
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise InventoryUnreadable
        things = {
            str(source): {(Kind(kind), str(key)): Applied(str(uid), str(digest)) for kind, key, uid, digest in known}
            for source, known in content["sources"].items()
        }
    except FileNotFoundError:
        return Inventory(path)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InventoryUnreadable from None
    return Inventory(path, things)


def fingerprint(credentials: Mapping[str, str]) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_digest(credentials, salt)}"


def is_fingerprint_of(known: str, credentials: Mapping[str, str]) -> bool:
    salt, _, digest = known.partition(":")
    return bool(digest) and hmac.compare_digest(digest, _digest(credentials, bytes.fromhex(salt)))


def _digest(credentials: Mapping[str, str], salt: bytes) -> str:
    text = json.dumps(sorted(credentials.items()))
    return hashlib.scrypt(text.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()
