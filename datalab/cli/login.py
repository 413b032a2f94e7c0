"""`datalab login`: fetches an access token and keeps it for the next commands."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from datalab.cli.session import AsOption, ClientOption, CredentialsOption, UrlOption, find_credentials, keep_login

app = typer.Typer(add_completion=False)


@app.command()
def login(
    url: UrlOption = None,
    client_id: ClientOption = None,
    credentials: CredentialsOption = None,
    as_: AsOption = None,
    scope: Annotated[str | None, typer.Option(help="Ask for these scopes only, by spaces.")] = None,
) -> None:
    """Fetch an access token and keep it (in a file that only you read) for the next commands, until it expires.

    Example: DATALAB_CLIENT_SECRET=... datalab login --url https://data.example.org --client-id acme_0123456789ab
    """
    found = find_credentials(url, client_id, credentials, as_)
    with found.client(scope=scope) as client:
        token = client.token()
    path = keep_login(found, token)
    print(f"Logged in to {found.url} as {found.client_id} for {int(token.expires_at - time.time())} s ({path}).")
