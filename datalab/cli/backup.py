"""`datalab backup`: databases, audit trail, checkpoints and keys of a gateway in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datalab.app.backup import back_up
from datalab.app.home import open_home
from datalab.app.settings import read_settings
from datalab.cli.home import HomeOption

app = typer.Typer(add_completion=False)


@app.command()
def backup(
    home: HomeOption,
    out: Annotated[Path, typer.Argument(help="The tar file to write; it must not exist.")],
    exclude_keys: Annotated[
        bool, typer.Option("--exclude-keys", help="Leave the keys out; without them a restored home does not start.")
    ] = False,
    without_databases: Annotated[
        bool,
        typer.Option("--without-databases", help="Leave the databases out: for PostgreSQL, which pg_dump backs up."),
    ] = False,
) -> None:
    """Copy databases, audit trail, checkpoints and keys of a gateway, which may be running.

    The file is not encrypted and readable by its owner only: unless you exclude the keys, whoever gets it can sign tokens,
    read storage credentials and write audit records. Files of datasets and of external issuers are not part of it.

    Example: datalab backup --home ./home /var/backups/datalab-2026-03-01.tar
    """
    made = back_up(open_home(home), read_settings(), out, keys=not exclude_keys, databases=not without_databases)
    print(f"{out}: {len(made.files)} files, {sum(size for size, _ in made.files.values())} bytes.")
    if made.keys:
        print("It holds the gateway's keys in clear: keep it as you keep the keys.")
