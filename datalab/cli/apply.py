"""`datalab apply`: registers what a directory of YAML files describes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from catalog.content import AI_FACTORIES, DATA_SPACES
from datalab.app.apply.errors import ApplyError
from datalab.app.apply.inventory import Inventory, InventoryBusy, InventoryUnreadable, opened
from datalab.app.apply.planning import Change, Plan, Planner, Verb
from datalab.app.apply.running import Runner
from datalab.app.apply.secrets import SecretsFile, SecretsRefused
from datalab.app.apply.workshop import Workshop, workshop_of
from datalab.app.foundation import open_foundation
from datalab.app.home import open_home
from datalab.app.settings import read_settings
from datalab.cli.home import HomeOption
from datalab.flow.authority import operator_principal

app = typer.Typer(add_completion=False)

_SIGNS = {Verb.CREATE: "+", Verb.UPDATE: "~", Verb.PUBLISH: ">", Verb.DELETE: "-"}


@app.command()
def apply(
    home: HomeOption,
    files: Annotated[
        list[Path], typer.Option("--file", "-f", help="A directory of YAML files, or one; may be repeated.")
    ],
    content: Annotated[
        bool,
        typer.Option("--content", help="Also the AI factories and data spaces that ship, where there are none yet."),
    ] = False,
    secrets: Annotated[
        Path | None,
        typer.Option("--secrets", help="File (0600) for the secrets of new clients, which nothing shows again."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what an earlier apply of these files named and they no longer name.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print changes and problems as one JSON object.")] = False,
) -> None:
    """Register participants, clients, AI factories, data spaces, admissions, data labs, storages, datasets and policies.

    Each file holds one or more YAML documents, each with its `kind`. Nothing is written unless all of them are in order;
    what is registered already is left alone, what differs is changed. Ends with 0 when all was done, 1 otherwise.

    Example: datalab apply --home ./home -f ./catalogue --dry-run
    """
    printer = Printer(as_json)
    settings = read_settings()
    with ending_with_problems(printer), open_foundation(open_home(home), settings) as base:
        with opened(base.home.path) as inventory:
            session = _Session(workshop_of(base), inventory)
            plan = session.planner.plan(files, defaults=(AI_FACTORIES, DATA_SPACES) if content else (), prune=prune)
            if not dry_run:
                _ask(plan, yes=yes or not plan.deletions, as_json=as_json)
                session.run(plan, secrets, printer.made)
        printer.end(plan, dry_run=dry_run)


class _Session:
    """Acts as the person at the machine."""

    def __init__(self, workshop: Workshop, inventory: Inventory) -> None:
        self._workshop = workshop
        self._inventory = inventory
        self._principal = operator_principal(f"os-user:{os.getuid()}")
        self.planner = Planner(workshop, workshop.places, self._principal, inventory)

    def run(self, plan: Plan, secrets: Path | None, told: Callable[[Change], None]) -> None:
        if plan.new_clients and secrets is None:
            names = ", ".join(change.key for change in plan.new_clients)
            raise SecretsRefused(f"There are new clients ({names}): name a file for their secrets with --secrets.")
        keep = SecretsFile(secrets).keep if secrets is not None else _no_client
        Runner(self._workshop, self._workshop.versions.publish, self._principal, self._inventory, keep).run(plan, told)


def _no_client(_key: str, _issued: object) -> None:
    raise AssertionError("the plan makes no client")


def _ask(plan: Plan, *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise SecretsRefused("This would delete things: say --yes, or look at them with --dry-run.")
    for change in plan.deletions:
        print(line_of(change))
    typer.confirm(f"Delete {len(plan.deletions)}?", abort=True)


def line_of(change: Change) -> str:
    """One change for people."""
    fields = f": {', '.join(change.fields)}" if change.fields else ""
    verb = " (publish)" if change.verb is Verb.PUBLISH else ""
    return f"{_SIGNS[change.verb]} {change.kind} {change.key}{fields}{verb}"


@contextmanager
def ending_with_problems(printer: Printer | None = None) -> Iterator[None]:
    """Tells what was wrong with the documents, or with the run, and ends with 1."""
    printer = printer or Printer(as_json=False)
    try:
        yield
    except ApplyError as error:
        printer.problems(error)
        raise typer.Exit(1) from None
    except (InventoryBusy, InventoryUnreadable, SecretsRefused) as error:
        printer.refuse(str(error))
        raise typer.Exit(1) from None


class Printer:
    """Lines for people as things happen, or one JSON object at the end."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._made: list[Change] = []

    def made(self, change: Change) -> None:
        self._made.append(change)
        if not self._as_json:
            print(line_of(change), flush=True)

    def end(self, plan: Plan, *, dry_run: bool) -> None:
        if self._as_json:
            print(
                json.dumps(
                    self._object(plan.changes if dry_run else self._made, unchanged=plan.unchanged, dry_run=dry_run)
                )
            )
            return
        if dry_run:
            for change in plan.changes:
                print(line_of(change))
        print(f"{len(plan.changes)} {'to change' if dry_run else 'changed'}, {plan.unchanged} as they are.")

    def problems(self, error: ApplyError) -> None:
        if self._as_json:
            print(json.dumps({**self._object(self._made), "problems": [one.plain() for one in error.found]}))
            return
        for one in error.found:
            print(one, file=sys.stderr)
        done = f"; {len(self._made)} changes were made before" if self._made else "; nothing was changed"
        print(f"datalab: {len(error.found)} problem{'s' if len(error.found) != 1 else ''}{done}.", file=sys.stderr)

    def refuse(self, sentence: str) -> None:
        if self._as_json:
            print(json.dumps({**self._object(self._made), "problems": [{"problem": sentence}]}))
        else:
            print(f"datalab: {sentence}", file=sys.stderr)

    @staticmethod
    def _object(changes: object, **more: object) -> dict[str, object]:
        return {"changes": [change.plain() for change in changes], "problems": [], **more}  # type: ignore[attr-defined]  # changes of a plan
