"""`datalab audit`: verify the trail, report from it, erase literals, show the key that signs checkpoints."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from datalab.app.checkpoints import public_key_of
from datalab.app.databases import audit_url
from datalab.app.examination import Use, audit_engine, uses, verify_copy, verify_home
from datalab.app.examination import erase as erase_literals
from datalab.app.home import open_home, read_keys
from datalab.app.settings import read_settings
from datalab.cli.home import HomeOption
from datalab.db.audit_reads import SqlTrail
from datalab.flow.authority import operator_principal
from datalab.flow.trail import Actor
from datalab.flow.verification import Report

app = typer.Typer(add_completion=False, no_args_is_help=True)

DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
OptionalHome = Annotated[
    Path | None, typer.Option("--home", envvar="DATALAB_HOME", help="The gateway's home directory.")
]


@app.command()
def verify(
    home: OptionalHome = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            help="A copy of the checkpoint file kept elsewhere, taken instead of the gateway's own. Repeatable."
        ),
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="The key that must have signed the checkpoints: see `datalab audit key`.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="A copy of the trail to examine without a home: a file, or a database URL.")
    ] = None,
) -> None:
    """Find what was altered, moved or removed in the audit trail. The gateway may be running.

    A tail that was cut off is found up to the last checkpoint, so keep copies of the checkpoint file where the gateway's
    host cannot change them. Exits with 1 if anything was found.

    Example: datalab audit verify --home ./home --checkpoints /mnt/worm/checkpoints.jsonl
    """
    if (home is None) == (database is None):
        raise typer.BadParameter("give either --home or --database")
    if database is not None:
        url = database if "://" in database else f"sqlite:///{Path(database).absolute()}"
        report = verify_copy(url, checkpoints or (), public_key)
    else:
        assert home is not None
        report = verify_home(open_home(home), read_settings(), checkpoints or (), public_key)
    _show(report, pinned=public_key is not None or home is not None)
    if not report.intact:
        raise typer.Exit(1)


def _show(report: Report, *, pinned: bool) -> None:
    for finding in report.findings:
        print(f"{finding.code}: {finding.sentence}")
    print(f"Examined {report.records} records of {report.chains} chains and {report.checkpoints} checkpoints.")
    if not report.keyed:
        print("Without the audit key: whether the gateway itself wrote the records was not examined.")
    if report.checkpoints and not pinned:
        print("Without --public-key: whether this gateway signed the checkpoints was not examined.")
    if report.covered_until_us is None:
        print("There is no checkpoint: a tail or a whole chain that was cut off may have gone unnoticed.")
    else:
        until = datetime.fromtimestamp(report.covered_until_us / 1_000_000, UTC).isoformat(timespec="seconds")
        print(f"The last checkpoint is of {until}: what was cut off after it may have gone unnoticed.")
    print("The trail is intact." if report.intact else f"The trail is NOT intact: {len(report.findings)} findings.")


@app.command()
def report(
    home: HomeOption,
    dataset: Annotated[str, typer.Option(help="The dataset, as space.name.")],
    since: Annotated[
        datetime | None, typer.Option("--from", formats=DATES, help="At or after; UTC unless it says.")
    ] = None,
    until: Annotated[datetime | None, typer.Option("--to", formats=DATES, help="Before; UTC unless it says.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
) -> None:
    """Who queried a dataset, in which version and under which policies; newest first.

    Example: datalab audit report --home ./home --dataset health.cohort --from 2026-01-01 --to 2026-04-01 --csv
    """
    space, dot, name = dataset.replace("/", ".").partition(".")
    if not dot:
        raise typer.BadParameter("write the dataset as space.name", param_hint="--dataset")
    if as_json and as_csv:
        raise typer.BadParameter("give either --json or --csv")
    opened = open_home(home)
    with audit_engine(audit_url(opened, read_settings())) as engine:
        found = uses(SqlTrail(engine), space, name, _aware(since), _aware(until))
        if as_json:
            for use in found:
                print(json.dumps(asdict(use)))
        elif as_csv:
            _write_csv(found)
        else:
            _write_table(found)


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _write_csv(found: Iterable[Use]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(field.name for field in fields(Use))
    for use in found:
        writer.writerow(_unspreadable(value) for value in asdict(use).values())


def _unspreadable(value: object) -> object:
    """Spreadsheets must not take a text that a caller chose for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _write_table(found: Iterable[Use]) -> None:
    table = Table("at", "participant", "client", "version", "action", "policies", "outcome", "rows", "bytes", "query")
    for use in found:
        outcome = f"{use.outcome} {use.code}".strip()
        cells = (use.at[:19], use.participant, use.client, use.version, use.action, use.policies, outcome)
        table.add_row(*("" if cell is None else str(cell) for cell in (*cells, use.rows, use.bytes, use.query)))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@app.command()
def erase(
    home: HomeOption,
    query: Annotated[str, typer.Option(help="The query's id, or that of another operation.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the trail for good.")],
) -> None:
    """Erase SQL text and parameters of a query (or the detail of a write) from the trail, which stays verifiable.

    Copies of the database made before keep them. Under PostgreSQL they leave the disk with the next VACUUM.

    Example: datalab audit erase --home ./home --query 4f0c... --reason "request of the data subject, 2026-03-01"
    """
    actor = Actor.of(operator_principal(f"os-user:{os.getuid()}"))
    erase_literals(open_home(home), read_settings(), query, actor, reason)
    print(f"Erased. The trail records that it was done and why: {query}")


@app.command()
def key(home: HomeOption) -> None:
    """Show the public key that checks the signatures of checkpoints. Keep it where the gateway's host cannot change it.

    Example: datalab audit key --home ./home
    """
    print(public_key_of(read_keys(open_home(home)).checkpoint))
