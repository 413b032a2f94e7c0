"""`datalab demo`: a complete gateway on real sector data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from datalab.app.demo import DemoHome, commands, prepare
from datalab.app.serve import serve
from datalab.app.settings import read_settings
from datalab.app.wiring import open_gateway
from datalab.cli.apply import ending_with_problems
from datalab.cli.home import HomeOption

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    home: HomeOption = Path("demo-home"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve, or only prepare the home.")] = True,
) -> None:
    """Run a complete gateway with real data of seven sectors, four data labs and four clients to try.

    Makes the home if it is absent or empty, otherwise uses it again. The clients are in credentials.json in the home.

    Example: datalab demo --home ./demo-home --port 8080
    """
    if port == 0 and not serving:
        raise typer.BadParameter("a free port can only be taken by a server: name one, or serve", param_hint="--port")
    settings = read_settings({"DATALAB_SERVER_PORT": str(port)})
    made: Counter[str] = Counter()
    print(f"Preparing {home.absolute()} ...", flush=True)
    with ending_with_problems():
        prepared = prepare(home, settings, lambda change: made.update([f"{change.verb} {change.kind}"]))
    for step, count in made.items():
        print(f"  {step}: {count}")
    if not serving:
        print(f"The demo is ready in {prepared.home.path}; serve it with: datalab demo --home {home} --port {port}")
        return
    serve(
        prepared.settings,
        lambda public_url: open_gateway(prepared.home, prepared.settings, public_url=public_url),
        ready=lambda public_url: _show(prepared, public_url),
    )


def _show(prepared: DemoHome, public_url: str) -> None:
    prepared.write_address(public_url)
    print(f"\ndatalab serves at {public_url}")
    print(f"Clients and their secrets: {prepared.credentials}")
    for number, command in enumerate(commands(public_url, prepared.home.path), 1):
        print(f"\n# {number}. {command.title}\n{command.text}", flush=True)
