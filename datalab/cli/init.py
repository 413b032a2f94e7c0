"""`datalab init`: makes a gateway's home and shows the first admin client once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import typer

from catalog.entities import ParticipantKind
from datalab.app.operator import OPERATOR
from datalab.cli.home import HomeOption

app = typer.Typer(add_completion=False)


@app.command()
def init(
    home: HomeOption,
    legal_name: Annotated[
        str, typer.Option(help="Legal name of the organisation that operates it.")
    ] = OPERATOR.legal_name,
    country: Annotated[str, typer.Option(help="Its country, ISO 3166-1 alpha-2.")] = OPERATOR.country,
    kind: Annotated[ParticipantKind, typer.Option(help="What it is.")] = OPERATOR.kind,
    as_json: Annotated[bool, typer.Option("--json", help="Print the client as JSON.")] = False,
) -> None:
    """Make a gateway's home: keys, databases, the operator's participant and the first admin client.

    The client's secret is shown once and kept nowhere in clear.

    Example: datalab init --home ./home --legal-name "Example Institute" --country FI --kind research
    """
    # Imported here, so that `--help` does not wait for the databases' libraries.
    from datalab.app.init import initialise
    from datalab.app.settings import read_settings

    operator = replace(OPERATOR, legal_name=legal_name, country=country, kind=kind)
    issued = initialise(home, read_settings(), operator=operator)
    client = {"client_id": issued.client.client_id, "client_secret": issued.secret}
    if as_json:
        print(json.dumps(client))
        return
    print(f"The gateway's home is {home.absolute()}. Its operator is {legal_name!r} ({country}).")
    print("The first admin client; its secret is not shown again:")
    print(f"  client_id      {client['client_id']}")
    print(f"  client_secret  {client['client_secret']}")
    print(f"Start it with: datalab serve --home {home}")
