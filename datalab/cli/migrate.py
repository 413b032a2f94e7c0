"""`datalab migrate`: brings a gateway's databases to the form that this version needs."""

from __future__ import annotations

import typer

from datalab.cli.home import HomeOption

app = typer.Typer(add_completion=False)


@app.command()
def migrate(home: HomeOption) -> None:
    """Bring the databases to the form that this version needs. Stop the gateway and make a backup first.

    Example: datalab migrate --home ./home
    """
    # Imported here, so that `--help` does not wait for the databases' libraries.
    from datalab.app.databases import open_engines
    from datalab.app.home import open_home
    from datalab.app.settings import read_settings

    with open_engines(open_home(home), read_settings()) as engines:
        engines.migrate()
    print("The databases are up to date.")
