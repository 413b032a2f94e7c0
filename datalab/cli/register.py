"""`datalab register`: drafts a dataset's YAML from the footers of its files, and says which rights the storage needs.

Owns the reading of LOCATION and of the environment's credentials. Changes nothing anywhere, and needs no gateway.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from catalog.entities import Storage, StorageKind
from catalog.names import check_id, check_sql_name
from connectors.addresses import AddressRules
from connectors.credentials import Credentials
from connectors.registry import StorageRules
from datalab.publish.draft import DraftNames, draft
from datalab.publish.inspection import inspect
from datalab.publish.process import Limits
from datalab.publish.source import Source, connect

app = typer.Typer(add_completion=False)

VARIABLES = {
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}


class LocationRefused(Exception):
    """A mistake in what the caller typed; the command ends with its sentence."""


@app.command()
def register(
    location: Annotated[str, typer.Argument(help="A directory, a file, or s3://BUCKET/PREFIX.")],
    dataset: Annotated[str, typer.Argument(metavar="SPACE.NAME", help="What it will be called.")],
    provider: Annotated[str, typer.Option("--provider", help="Id of the providing participant.")] = "my_organisation",
    lab: Annotated[str, typer.Option("--lab", help="Id of the data lab.")] = "my_lab",
    storage: Annotated[str | None, typer.Option("--storage", help="Id of the storage; by default NAME_files.")] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", envvar="AWS_ENDPOINT_URL", help="The S3 server, https://HOST[:PORT].")
    ] = None,
    region: Annotated[str, typer.Option("--region", envvar="AWS_REGION", help="The bucket's region.")] = "us-east-1",
) -> None:
    """Draft the YAML that registers a dataset, from its files' footers; print the least rights that are needed.

    Nothing is registered. S3 keys are taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.

    Example: datalab register /srv/data/cohort health.cohort > cohort.yaml
    """
    space, _, name = dataset.partition(".")
    check_sql_name(space)
    check_sql_name(name)
    names = DraftNames(space=space, name=name, provider=check_id(provider), lab=check_id(lab))
    storage_id = check_id(storage or f"{name}_files"[:63])
    with tempfile.TemporaryDirectory(prefix="datalab-register-") as directory:
        if location.startswith("s3://"):
            source = _remote(location, storage_id, provider, endpoint, region, Path(directory))
            place = ""
        else:
            source, place = _local(location, storage_id, provider, Path(directory))
        with connect(source) as connector:
            files = list(connector.list(place))
            inspected = inspect(source, files, Limits(temp_root=directory), _say_progress)
            least = connector.check().least
    variables = _variables() if source.remote else {}
    print(draft(source.storage, place, inspected, names, variables), end="")
    print(f"\nThe least rights that the gateway needs:\n{least}", file=sys.stderr)


def _local(location: str, storage_id: str, provider: str, scratch: Path) -> tuple[Source, str]:
    """The directory as a storage, or the directory that holds the file; and the location in it."""
    path = Path(location).resolve()
    if not path.exists():
        raise LocationRefused(f"There is no {location}.")
    root, place = (path, "") if path.is_dir() else (path.parent, path.name)
    record = Storage(id=storage_id, participant=provider, kind=StorageKind.LOCAL, root=str(root))
    rules = StorageRules(addresses=AddressRules(), local_roots=(root,), home=scratch, ca_directory=scratch)
    return Source(storage=record, rules=rules), place


def _remote(location: str, storage_id: str, provider: str, endpoint: str | None, region: str, scratch: Path) -> Source:
    """The bucket and prefix as a storage. The caller's own machine reaches whatever the caller names."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    server = endpoint or f"https://s3.{region}.amazonaws.com"
    record = Storage(
        id=storage_id,
        participant=provider,
        kind=StorageKind.S3,
        endpoint=server,
        bucket=bucket,
        prefix=prefix.rstrip("/"),
        region=region,
        path_style=endpoint is not None,
    )
    given = {field: os.environ[variable] for field, variable in _variables().items()}
    host = urlsplit(server).hostname or ""
    rules = StorageRules(
        addresses=AddressRules(schemes=frozenset({"http", "https"}), hosts=(host,)),
        local_roots=(),
        home=scratch,
        ca_directory=scratch,
    )
    return Source(storage=record, credentials=Credentials.parse(given) if given else None, rules=rules)


def _variables() -> dict[str, str]:
    """The fields of the credentials that the environment holds, and the variables that hold them."""
    return {field: variable for field, variable in VARIABLES.items() if os.environ.get(variable)}


def _say_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} files", end="\n" if done == total else "", file=sys.stderr, flush=True)
