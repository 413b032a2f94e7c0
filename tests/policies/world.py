"""What the tests of policies share: a dataset with a column of every family, random values for it, and real DuckDB."""

from __future__ import annotations

import datetime as dt
import math
import struct
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb
from hypothesis import strategies as st

from policies.cedar import NO_POLICIES, Slice
from policies.columntypes import column_type
from policies.decide import Levels, decide
from policies.documents import parse
from policies.inputs import ColumnInput, ContextInput, DatasetInput, PrincipalInput
from policies.model import Action, Level
from policies.quoting import sql_name
from policies.ruling import Ruling
from policies.shape import Shape, ShapeColumn

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
KEY = bytes(range(32))

COLUMNS: dict[str, str] = {
    "id": "INTEGER",
    "Größe in €": "DOUBLE",
    'quo"ted': "VARCHAR",
    "Flag": "BOOLEAN",
    "price": "DECIMAL(10,2)",
    "ratio": "FLOAT",
    "day": "DATE",
    "seen": "TIMESTAMP",
    "seen_s": "TIMESTAMP_S",
    "at": "TIMESTAMP WITH TIME ZONE",
    "clock": "TIME",
    "key": "UUID",
    "raw": "BLOB",
    "big": "HUGEINT",
    "tags": "VARCHAR[]",
    "source": "STRUCT(id INTEGER)",
}

PRINCIPAL = PrincipalInput(
    issuer="local:",
    subject="ada",
    participant="uni",
    country="DE",
    kind="research",
    spaces=frozenset({"health"}),
    claims={"level": 3, "groups": ["a", "b"], "empty": [], "nothing": None, "words": "DE", "nested": {"a": 1}},
)

TEXTS = ("", "DE", "d'e", "ß€", "secret-1", '"', "\\", "a\nb", "NaN", "%", "😀")
DAYS = (dt.date(1, 1, 1), dt.date(1970, 1, 1), dt.date(1980, 2, 29), dt.date(2026, 12, 31), dt.date(9999, 12, 31))
MOMENTS = (
    dt.datetime(1900, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
    dt.datetime(2020, 2, 29, 1, 2, 3, 450_000),
    dt.datetime(2026, 1, 1),
)
CLOCKS = (dt.time(0), dt.time(1, 2, 3), dt.time(23, 59, 59, 999_999), dt.time(5, 0, 0, 500_000))
KEYS = (uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=5))
FLOATS = (0.0, -0.0, 1.5, -2.0, 1e300, 5e-324, math.inf, -math.inf, math.nan, 0.1)

VALUES: dict[str, Sequence[object]] = {
    "INTEGER": (-(2**31), -1, 0, 1, 2, 3, 7, 2**31 - 1),
    "DOUBLE": FLOATS,
    "VARCHAR": TEXTS,
    "BOOLEAN": (True, False),
    "DECIMAL(10,2)": (Decimal("0.00"), Decimal("-1.50"), Decimal("12.34"), Decimal("99999999.99")),
    "FLOAT": tuple(struct.unpack("f", struct.pack("f", v))[0] for v in FLOATS if v != 1e300),
    "DATE": DAYS,
    "TIMESTAMP": MOMENTS,
    "TIMESTAMP_S": tuple(moment.replace(microsecond=0) for moment in MOMENTS),
    "TIMESTAMP WITH TIME ZONE": tuple(moment.replace(tzinfo=dt.UTC) for moment in MOMENTS),
    "TIME": CLOCKS,
    "UUID": KEYS,
    "BLOB": (b"", b"\0\xff'"),
    "HUGEINT": (-(2**127), 0, 2**100),
    "VARCHAR[]": ([], ["a", None]),
    "STRUCT(id INTEGER)": ({"id": 1}, {"id": None}),
}


def rows_of(columns: Mapping[str, str], values: int | None = None) -> st.SearchStrategy[list[Mapping[str, object]]]:
    """Random rows. values: how many different ones a column has at most, beside NULL."""
    return st.lists(
        st.fixed_dictionaries(
            {name: st.none() | st.sampled_from(VALUES[type_][:values]) for name, type_ in columns.items()}
        ),
        max_size=6,
    )


def written(value: object) -> object:
    """A value as a document writes it."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | uuid.UUID) else value


def dataset(columns: Mapping[str, str] | None = None, **facts: Any) -> DatasetInput:
    known = COLUMNS if columns is None else columns
    given = {"uid": "u", "space": "health", "name": "cohort", "lab": "lab", "provider": "clinic"} | facts
    return DatasetInput(columns=tuple(ColumnInput(name, type_) for name, type_ in known.items()), **given)


def ruling(
    documents: Sequence[Mapping[str, Any]],
    *,
    principal: PrincipalInput = PRINCIPAL,
    about: DatasetInput | None = None,
    context: ContextInput | None = None,
) -> Ruling:
    """What these documents, each at the level of its scope, decide."""
    policies = [parse(document) for document in documents]
    slices = {level: Slice(policy for policy in policies if policy.scope.level is level) for level in Level}
    levels = Levels(**{level.value: slices.get(level, NO_POLICIES) for level in Level})
    return decide(levels, principal, about or dataset(), context or ContextInput(now=NOW))


def permit(id_: str = "p", scope: str = "dataset:health/cohort", **more: Any) -> dict[str, Any]:
    return {"id": id_, "title": "t", "scope": scope, "effect": "permit", "actions": ["query"]} | more


def forbid(id_: str = "f", scope: str = "dataset:health/cohort", **more: Any) -> dict[str, Any]:
    return permit(id_, scope, effect="forbid") | more


def shape_of(documents: Sequence[Mapping[str, Any]], **facts: Any) -> Shape:
    grant = ruling(documents, **facts).grants[Action.QUERY]
    assert grant.shape is not None
    return grant.shape


def table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    columns: Sequence[ShapeColumn] | Mapping[str, str],
    rows: Sequence[Mapping[str, object]],
) -> None:
    """A real table with these rows."""
    if isinstance(columns, Mapping):
        columns = [ShapeColumn(column, column_type(type_), column_type(type_)) for column, type_ in columns.items()]
    declared = ", ".join(f"{sql_name(column.name)} {column.result.sql}" for column in columns)
    connection.execute(f"CREATE OR REPLACE TABLE {name} ({declared})")
    for row in rows:
        marks = ", ".join("?" for _ in columns)
        connection.execute(f"INSERT INTO {name} VALUES ({marks})", [row[column.name] for column in columns])


def texts(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """Column types and rows of a query, every cell as text, in a stable order."""
    types = [str(column[1]) for column in connection.execute(f"DESCRIBE {query}").fetchall()]
    rows = connection.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({query})").fetchall()
    return types, sorted(rows, key=lambda row: [(cell is None, cell or "") for cell in row])
