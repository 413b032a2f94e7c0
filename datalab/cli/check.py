"""`datalab check`: the effective settings with secrets masked, and whether the gateway could start with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def check(
    home: Annotated[
        Path | None, typer.Option(envvar="DATALAB_HOME", help="Also check this home directory and its databases.")
    ] = None,
) -> None:
    """Show the effective settings, secrets masked, and everything that is wrong with them.

    Exits with 1 if the gateway would not start.

    Example: DATALAB_ENGINE_ACTIVE=4 datalab check --home ./home
    """
    # Imported here, so that `--help` does not wait for the databases' libraries.
    from datalab.app.check import problems_of
    from datalab.app.settings import read_settings, shown

    settings = read_settings()
    for variable, value in shown(settings).items():
        print(f"{variable}={value}")
    problems = problems_of(settings, home)
    for problem in problems:
        print(f"wrong: {problem}")
    if problems:
        raise typer.Exit(1)
    print("All settings are fine.")
