"""`datalab restore`: a home from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datalab.app.backup import restore as restore_home
from datalab.app.settings import read_settings
from datalab.cli.home import HomeOption

app = typer.Typer(add_completion=False)


@app.command()
def restore(
    home: HomeOption, source: Annotated[Path, typer.Argument(help="A tar file made by `datalab backup`.")]
) -> None:
    """Make a home from a backup, in a directory that is empty or absent, and examine its audit trail.

    Whatever was revoked after the backup was made is valid again: revoke it anew. Exits with 1 if the trail is not intact.

    Example: datalab restore --home ./restored /var/backups/datalab-2026-03-01.tar
    """
    if not source.is_file():
        raise typer.BadParameter(f"there is no file {source}")
    made, report = restore_home(source, home, read_settings())
    print(f"Restored to {home.absolute()}: the gateway as of {made.created_at}, saved by datalab {made.made_by}.")
    if not made.keys:
        print("The backup holds no keys: put them into the keys directory, readable by the owner only.")
    if not made.databases:
        print("The backup holds no databases: restore them from your pg_dump.")
    if report is None:
        return
    for finding in report.findings:
        print(f"{finding.code}: {finding.sentence}")
    print("Its audit trail is intact." if report.intact else "Its audit trail is NOT intact.")
    if not report.intact:
        raise typer.Exit(1)
