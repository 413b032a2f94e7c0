"""How the command line knows its gateway and its client: options, environment, a credentials file, or a kept login.

Owns the file of the kept login (0600, token only, never a secret). Must never take a secret as an option, where every
process of the machine could read it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from datalab.client import Client, Token

UrlOption = Annotated[str | None, typer.Option("--url", envvar="DATALAB_URL", help="The gateway's address.")]
ClientOption = Annotated[
    str | None,
    typer.Option(
        "--client-id", envvar="DATALAB_CLIENT_ID", help="The client; its secret comes from DATALAB_CLIENT_SECRET."
    ),
]
CredentialsOption = Annotated[
    Path | None, typer.Option("--credentials", help="JSON file (mode 0600) with url, client_id and client_secret.")
]
AsOption = Annotated[str | None, typer.Option("--as", help="Which of the credentials file's clients, e.g. developer.")]


class LoginRefused(Exception):
    """It is not known where to go or who goes; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Credentials:
    url: str
    client_id: str
    secret: str = field(repr=False)

    def client(self, *, scope: str | None = None) -> Client:
        return Client(self.url, self.client_id, self.secret, scope=scope)


def find_credentials(url: str | None, client_id: str | None, file: Path | None, chosen: str | None) -> Credentials:
    """From the file if one is given, else from options and environment. Raises LoginRefused."""
    if file is not None:
        return _of_file(file, chosen, url)
    secret = os.environ.get("DATALAB_CLIENT_SECRET")
    if not (url and client_id and secret):
        raise LoginRefused(
            "Give --url and --client-id with the secret in DATALAB_CLIENT_SECRET, or --credentials FILE, or log in first."
        )
    return Credentials(url, client_id, secret)


def open_client(url: str | None, client_id: str | None, file: Path | None, chosen: str | None) -> Client:
    """A client with those credentials, or with the kept login where none are given. Raises LoginRefused."""
    if file is None and not (client_id and os.environ.get("DATALAB_CLIENT_SECRET")):
        kept = _kept_login()
        if kept is not None and url in {None, kept["url"]}:
            token = Token(kept["access_token"], float(kept["expires_at"]))
            if not token.is_fresh:
                raise LoginRefused("The login has expired: run `datalab login` again.")
            return Client(kept["url"], kept["client_id"], "", token=token)
    return find_credentials(url, client_id, file, chosen).client()


def keep_login(credentials: Credentials, token: Token) -> Path:
    """Writes the token, not the secret, where `open_client` finds it."""
    path = _login_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {
        "url": credentials.url,
        "client_id": credentials.client_id,
        "access_token": token.text,
        "expires_at": token.expires_at,
    }
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor, because the mode must hold from the first byte
        json.dump(document, file)
    fresh.rename(path)
    return path


def _login_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "datalab" / "login.json"


def _kept_login() -> Mapping[str, Any] | None:
    path = _login_path()
    return _read_private(path) if path.exists() else None


def _of_file(path: Path, chosen: str | None, url: str | None) -> Credentials:
    document = _read_private(path)
    clients = document.get("clients")
    client: Any = document
    if isinstance(clients, dict):
        if chosen not in clients:
            raise LoginRefused(f"{path} has several clients: choose one with --as {' | '.join(clients)}.")
        client = clients[chosen]
    base = url or document.get("url") or document.get("base_url")
    id_, secret = (client.get("client_id"), client.get("client_secret")) if isinstance(client, dict) else (None, None)
    if not (isinstance(base, str) and isinstance(id_, str) and isinstance(secret, str)):
        raise LoginRefused(f"{path} must hold url, client_id and client_secret.")
    return Credentials(base, id_, secret)


def _read_private(path: Path) -> Mapping[str, Any]:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise LoginRefused(f"{path} is open to others: chmod 600 {path}")
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LoginRefused(f"{path} cannot be read: {type(error).__name__}.") from None
    if not isinstance(document, dict):
        raise LoginRefused(f"{path} must hold a JSON object.")
    return document
