"""Where the secrets of new clients go: a file that only its owner reads.

Owns that file: JSON, `participant/name` -> client id and secret. Each secret is on disk before the next step begins; must
never print one.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from datalab.app.home import write_private
from datalab.oauth.clients import Issued


class SecretsRefused(Exception):
    """The file cannot take secrets; the message says why."""


class SecretsFile:
    """path: is made with mode 0600, or extended if it is such a file already."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clients = self._read()

    def keep(self, key: str, issued: Issued) -> None:
        """A `Keeper`."""
        self._clients[key] = {"client_id": issued.client.client_id, "client_secret": issued.secret}
        replace_private(self._path, json.dumps({"clients": self._clients}, indent=2) + "\n")

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_bytes())
            mode = self._path.stat().st_mode
        except FileNotFoundError:
            if not self._path.absolute().parent.is_dir():
                raise SecretsRefused(f"The directory of {self._path} does not exist.") from None
            return {}
        except (OSError, ValueError):
            raise SecretsRefused(f"{self._path} is there already and holds no clients.") from None
        if not isinstance(content, dict) or not isinstance(content.get("clients"), dict):
            raise SecretsRefused(f"{self._path} is there already and holds no clients.")
        if mode & 0o077:
            raise SecretsRefused(f"{self._path} is open to others: chmod go= {self._path}")
        return dict(content["clients"])


def replace_private(path: Path, content: str) -> None:
    """Replaces the file, mode 0600, on disk when this returns."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_private(beside, content.encode())
    beside.replace(path)
