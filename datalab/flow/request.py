"""The request stage's value: what a caller asks for, free of HTTP. Built by `datalab/api/query.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Scalar = str | int | float | bool | None


class Format(StrEnum):
    """Result encodings, by media type."""

    ARROW = "application/vnd.apache.arrow.stream"
    PARQUET = "application/vnd.apache.parquet"
    CSV = "text/csv"
    NDJSON = "application/x-ndjson"
    JSON = "application/json"


class Mode(StrEnum):
    QUERY = "query"
    AGGREGATE = "aggregate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement to run.

    params: bound to `?`/`$n` (list) or `$name` (mapping), never spliced. versions: `space.name` -> version number.
    agreements: ids the caller wants to rely on. mode: ask for the lower action. max_rows: the caller's own limit; it
    truncates, and the answer says so.
    """

    sql: str
    params: Sequence[Scalar] | Mapping[str, Scalar] = ()
    versions: Mapping[str, int] = field(default_factory=dict)
    agreements: tuple[str, ...] = ()
    mode: Mode | None = None
    max_rows: int | None = None
    format: Format = Format.JSON
