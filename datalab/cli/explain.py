"""`datalab explain`: shows what a query would be allowed to see, and why, without running it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from datalab.cli.session import AsOption, ClientOption, CredentialsOption, UrlOption, open_client

app = typer.Typer(add_completion=False)


@app.command()
def explain(
    sql: Annotated[str, typer.Argument(help="One SELECT, or just the name of a dataset: space.name.")],
    url: UrlOption = None,
    client_id: ClientOption = None,
    credentials: CredentialsOption = None,
    as_: AsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The gateway's answer as it came.")] = False,
) -> None:
    """Show what you would see of the datasets in a query, and why.

    Example: datalab explain health.cohort --url http://127.0.0.1:8080 --client-id acme_0123456789ab
    """
    text = sql if " " in sql.strip() else f"SELECT * FROM {sql}"
    with open_client(url, client_id, credentials, as_) as client:
        answer = client.explain(text)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(markup=False, highlight=False)
    for dataset in answer["datasets"]:
        _show(console, dataset)
    console.print(f"This query would be {'run as ' + answer['action'] if answer['action'] else 'refused'}.")


def _show(console: Console, dataset: Mapping[str, Any]) -> None:
    console.print(f"{dataset['dataset']}, version {dataset['version']}: you may {', '.join(dataset['actions'])}")
    for policy in dataset["policies"]:
        console.print(f"  by {policy['id']} ({policy['scope']}, revision {policy['revision']})")
    for sentence in dataset["rows"]:
        console.print(f"  {sentence}")
    if dataset["max_rows"] is not None:
        console.print(f"  at most {dataset['max_rows']} rows in one answer")
    for action, reasons in dataset["refusals"].items():
        for reason in reasons:
            console.print(f"  not {action}: {reason['text']}")
    if dataset["columns"]:
        table = Table("column", "type", "shown as")
        for column in dataset["columns"]:
            table.add_row(column["name"], column["type"], "; ".join(column["masks"]) or "stored")
        console.print(table)
