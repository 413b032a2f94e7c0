"""How a statement names things: datasets in two parts, common table expressions in one, and nothing else.

Owns the rules for names that both gates share. Must never guess: a name that is neither is refused, because the engine
would look for it among files, its own catalogue or the host's variables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import fold

_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Schemas and catalogues of the engine and of its worker; `recurring.x` is the table of a recursive USING KEY.
ENGINE_SCHEMAS = frozenset(
    {"datalab_local", "information_schema", "main", "memory", "pg_catalog", "recurring", "system", "temp"}
)
# A common table expression may only have a name that can mean nothing else to the engine: no path, no view of its own.
_PLAIN = re.compile(r"[\w -]{1,128}")
_ENGINE_VIEWS = re.compile(r"duckdb_|pragma_|sqlite_|pg_|information_schema")
_FILE = re.compile(r"[/\\*?:\[~]|\.[a-z0-9]+$", re.IGNORECASE)

# Column names that the engine turns into calls where no such column exists.
VALUE_FUNCTIONS = {
    "current_catalog": "current_catalog",
    "current_database": "current_database",
    "current_date": "current_date",
    "current_role": "current_role",
    "current_schema": "current_schema",
    "current_time": "get_current_time",
    "current_timestamp": "get_current_timestamp",
    "current_user": "current_user",
    "localtime": "current_localtime",
    "localtimestamp": "current_localtimestamp",
    "session_user": "session_user",
    "user": "user",
}


@dataclass(frozen=True, slots=True, order=True)
class DatasetName:
    """`space.name`, or `peer.space.name` for a dataset of another gateway; folded to lower case."""

    space: str
    name: str
    peer: str | None = None

    def __str__(self) -> str:
        return ".".join(part for part in (self.peer, self.space, self.name) if part)


def dataset(catalog: str, schema: str, name: str) -> DatasetName:
    """The dataset that a qualified name means; '' where a part is not written. Refuses every other name."""
    shown = ".".join(part[:63] for part in (catalog, schema, name) if part)
    space, table = fold(schema), fold(name)
    if catalog:
        if fold(catalog) in ENGINE_SCHEMAS:
            _refuse_engine(shown)
        raise StatementRefused(
            "statement.remote",
            f"{shown} names a dataset of another gateway, and this gateway has no such peer. "
            "Datasets of this gateway are named space.name.",
            name=shown,
        )
    if space in ENGINE_SCHEMAS:
        _refuse_engine(shown)
    if not _ID.fullmatch(space) or not _ID.fullmatch(table):
        raise StatementRefused(
            "statement.name",
            f"{shown} cannot be a dataset: the names of data spaces and datasets consist of letters, digits and _.",
            name=shown,
        )
    return DatasetName(space=space, name=table)


def refuse_unqualified(name: str) -> NoReturn:
    """Refuse a table named in one part that is no common table expression where it stands."""
    shown = name[:63]
    if _FILE.search(name):
        raise StatementRefused(
            "statement.file",
            "Files cannot be queried by name or address. Query a dataset as space.name.",
        )
    if _ENGINE_VIEWS.match(fold(name)):
        _refuse_engine(shown)
    raise StatementRefused(
        "statement.unqualified",
        f"{shown} names no common table expression that can be seen here. Datasets are named space.name.",
        name=shown,
    )


def require_plain(name: str) -> None:
    """Refuse a name for a common table expression that the engine could take for a file or a view of its own."""
    if not _PLAIN.fullmatch(name) or _ENGINE_VIEWS.match(fold(name)) or fold(name) in ENGINE_SCHEMAS:
        raise StatementRefused(
            "statement.name",
            "A common table expression needs a plain name: letters, digits and _, and not a name of the engine's own.",
            name=name[:63],
        )


def _refuse_engine(shown: str) -> NoReturn:
    raise StatementRefused(
        "statement.engine_catalogue",
        f"{shown} belongs to the engine's own catalogue. The datasets you may query are listed at /api/v1/datasets.",
        name=shown,
    )
