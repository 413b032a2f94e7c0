"""`datalab serve`: runs the gateway in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from datalab.cli.home import HomeOption

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    home: HomeOption,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of DATALAB_SERVER_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one and prints it.")] = None,
) -> None:
    """Run the gateway until it is told to stop.

    Example: datalab serve --home ./home --port 8080
    """
    # Imported here, so that `--help` does not wait for the whole gateway.
    from datalab.app.home import open_home
    from datalab.app.serve import serve as serve_gateway
    from datalab.app.settings import read_settings
    from datalab.app.wiring import open_gateway

    given = {"DATALAB_SERVER_HOST": host, "DATALAB_SERVER_PORT": None if port is None else str(port)}
    settings = read_settings({name: value for name, value in given.items() if value is not None})
    opened = open_home(home)
    serve_gateway(
        settings,
        lambda public_url: open_gateway(opened, settings, public_url=public_url),
        ready=lambda public_url: print(f"datalab serves at {public_url}", flush=True),
    )
