"""The canonical text of a value, once as Python and once as SQL, and the values that the evaluator compares.

Owns what `hash` digests and what a cell shows in a column that became VARCHAR. The two halves must agree for every type;
docs/policies.md prints the table.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from policies.columntypes import ColumnType, Family
from policies.literals import time_ns, timestamp_ns
from policies.quoting import sql_text

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def comparable(value: object) -> object:
    """A cell as DuckDB's Python client yields it -> what literals of its type are compared with."""
    if isinstance(value, dt.datetime):
        return timestamp_ns(value)
    return time_ns(value) if isinstance(value, dt.time) else value


def plain(value: object, type_: ColumnType) -> object:
    """The inverse of `comparable`; what is finer than a microsecond is cut, as Python's types cannot carry it."""
    if not isinstance(value, int) or type_.family not in {Family.TIME, Family.TIMESTAMP, Family.TIMESTAMPTZ}:
        return value
    moment = _EPOCH + dt.timedelta(microseconds=value // 1000)
    if type_.family is Family.TIME:
        return moment.time()
    return moment if type_.family is Family.TIMESTAMPTZ else moment.replace(tzinfo=None)


def canonical_text(value: object, type_: ColumnType) -> str:
    """The text of a comparable value that is not null. ValueError for types that have none."""
    family = type_.family
    if family is Family.BOOLEAN:
        return "true" if value else "false"
    if family is Family.DECIMAL and isinstance(value, Decimal):
        text = f"{value:.{type_.scale}f}"
        # DuckDB writes no zero before the point of a type that has no digit there.
        return text.replace("0.", ".", 1) if type_.precision == type_.scale else text
    if family is Family.FLOAT and isinstance(value, float):
        return repr(value)
    if isinstance(value, int) and family in {Family.TIME, Family.TIMESTAMP, Family.TIMESTAMPTZ}:
        return _moment_text(value, family)
    if family is Family.BLOB and isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.date):
        return value.isoformat()
    if family is Family.OTHER:
        raise ValueError(f"a {type_.sql} has no canonical text")
    return str(value)


def _moment_text(value_ns: int, family: Family) -> str:
    seconds, fraction_ns = divmod(value_ns, 1_000_000_000)
    moment = (_EPOCH + dt.timedelta(seconds=seconds)).replace(tzinfo=None)
    text = moment.time().isoformat() if family is Family.TIME else moment.isoformat(sep=" ")
    fraction = f".{fraction_ns:09d}".rstrip("0") if fraction_ns else ""
    return text + fraction + ("+00" if family is Family.TIMESTAMPTZ else "")


def canonical_sql(expression: str, type_: ColumnType) -> str:
    """SQL of the canonical text of `expression`, which has the type `type_`; NULL stays NULL."""
    family = type_.family
    if family is Family.TEXT:
        return expression
    if family is Family.FLOAT:
        return f"CAST(CAST({expression} AS DOUBLE) AS VARCHAR)"
    if family is Family.TIMESTAMPTZ:
        # Through UTC, so that the session's time zone has no say.
        return f"(CAST(timezone({sql_text('UTC')}, {expression}) AS VARCHAR) || {sql_text('+00')})"
    if family is Family.BLOB:
        return f"lower(hex({expression}))"
    if family is Family.OTHER:
        raise ValueError(f"a {type_.sql} has no canonical text")
    return f"CAST({expression} AS VARCHAR)"
