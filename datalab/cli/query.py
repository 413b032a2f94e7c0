"""`datalab query`: sends SQL to a gateway and shows the answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.table import Table

from datalab.cli.session import AsOption, ClientOption, CredentialsOption, UrlOption, open_client
from datalab.client import Client, Rows

app = typer.Typer(add_completion=False)


class Shape(StrEnum):
    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Shape.JSON: "application/json",
    Shape.NDJSON: "application/x-ndjson",
    Shape.CSV: "text/csv",
    Shape.ARROW: "application/vnd.apache.arrow.stream",
    Shape.PARQUET: "application/vnd.apache.parquet",
}
BINARY = frozenset({Shape.ARROW, Shape.PARQUET})


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(help="One SELECT; datasets are named space.name. `-` reads it from standard input.")
    ],
    url: UrlOption = None,
    client_id: ClientOption = None,
    credentials: CredentialsOption = None,
    as_: AsOption = None,
    shape: Annotated[Shape, typer.Option("--format", help="How to show the answer.")] = Shape.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead.")] = None,
    max_rows: Annotated[int | None, typer.Option(min=0, help="At most so many rows.")] = None,
) -> None:
    """Send SQL to a gateway and show the answer.

    Example: datalab query "SELECT country, count(*) FROM health.cohort GROUP BY country" --url http://127.0.0.1:8080 --client-id acme_0123456789ab
    """
    text = sys.stdin.read() if sql == "-" else sql
    chosen = Shape.JSON if as_json else shape
    if chosen in BINARY and output is None and sys.stdout.isatty():
        raise typer.BadParameter("a binary format needs --output FILE")
    with open_client(url, client_id, credentials, as_) as client:
        if chosen is Shape.TABLE:
            _show(client.query(text, max_rows=max_rows), output)
        elif output is None:
            _write(client, chosen, text, max_rows, sys.stdout.buffer)
        else:
            with _whole_file(output) as part, part.open("xb") as file:
                _write(client, chosen, text, max_rows, file)


def _write(client: Client, shape: Shape, sql: str, max_rows: int | None, file: BinaryIO) -> None:
    file.writelines(client.save(MEDIA_TYPES[shape], sql, max_rows=max_rows))
    file.flush()


def _cell(value: object) -> str:
    """The value as text; what could steer a terminal is replaced."""
    text = "" if value is None else str(value)
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it becomes `path` only if the block ends well, so that no half answer is kept."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _show(rows: Rows, output: Path | None) -> None:
    table = Table(*(name for name, _ in rows.columns))
    for row in rows.rows:
        table.add_row(*map(_cell, row))
    console = Console(markup=False, highlight=False)
    if output is None:
        console.print(table)
    else:
        with output.open("w") as file:
            Console(file=file, markup=False, highlight=False).print(table)
    note = f"{len(rows.rows)} rows" + (", and there were more" if rows.truncated else "")
    print(f"{note} (query {rows.query_id}, versions {rows.versions})", file=sys.stderr)
