"""Literals: what a document or a claim may write for a column of each type, and its value in Python and in SQL.

Owns the table of literal forms (docs/policies.md prints it). Nothing is coerced beyond it: what does not fit is None, and
the permit that asked is void. Both values must mean the same, or evaluator and compiler drift apart.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from policies.columntypes import ColumnType, Family
from policies.quoting import sql_text, writable

Comparable = bool | int | float | str | Decimal | dt.date | uuid.UUID
"""Times and timestamps compare as whole nanoseconds, since midnight and since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Literal:
    """value: as the evaluator compares it. sql: an expression of exactly the column's type."""

    value: Comparable
    sql: str


_DECIMAL = re.compile(r"(-?)(\d+)(?:\.(\d+))?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"(\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})?", re.ASCII
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND_NS = 1_000_000_000


def literal(value: object, type_: ColumnType) -> Literal | None:
    """`value` as a literal of `type_`, or None where the table has no such form or it does not fit exactly."""
    read = _READERS.get(type_.family)
    return read(value, type_) if read else None


def _boolean(value: object, _type: ColumnType) -> Literal | None:
    return Literal(value, "true" if value else "false") if isinstance(value, bool) else None


def _integer(value: object, type_: ColumnType) -> Literal | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    least, greatest = type_.bounds
    return Literal(value, f"CAST('{value}' AS {type_.sql})") if least <= value <= greatest else None


def _decimal(value: object, type_: ColumnType) -> Literal | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    match = _DECIMAL.fullmatch(str(value)) if len(str(value)) <= 80 else None
    if match is None or len((match[3] or "").rstrip("0")) > type_.scale:
        return None
    whole = match[2].lstrip("0")
    if len(whole) > type_.precision - type_.scale:
        return None
    number = Decimal(f"{match[1]}{match[2]}.{match[3] or '0'}")
    return Literal(number, f"CAST('{number:f}' AS {type_.sql})")


def _float(value: object, type_: ColumnType) -> Literal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
        if type_.bits == 32:
            number = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return None
    if not math.isfinite(number) or (isinstance(value, int) and int(number) != value):
        return None
    return Literal(number, f"CAST('{number!r}' AS {type_.sql})")


def _text(value: object, _type: ColumnType) -> Literal | None:
    return Literal(value, sql_text(value)) if isinstance(value, str) and writable(value) else None


def _date(value: object, _type: ColumnType) -> Literal | None:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        day = dt.date.fromisoformat(value)
    except ValueError:
        return None
    return Literal(day, f"CAST('{value}' AS DATE)")


def _time(value: object, _type: ColumnType) -> Literal | None:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    fraction = ((match[2] or "") if match else "").rstrip("0")
    if match is None or len(fraction) > 6:
        return None
    try:
        clock = dt.time.fromisoformat(match[1])
    except ValueError:
        return None
    value_ns = time_ns(clock) + int(fraction.ljust(9, "0"))
    return Literal(value_ns, f"CAST('{match[1]}.{fraction or '0'}' AS TIME)")


def _timestamp(value: object, type_: ColumnType) -> Literal | None:
    match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match[4] is not None) is not (type_.family is Family.TIMESTAMPTZ):
        return None
    fraction = (match[3] or "").rstrip("0")
    if len(fraction) > type_.fraction_digits:
        return None
    try:
        moment = dt.datetime.fromisoformat(f"{match[1]}T{match[2]}{match[4] or ''}")
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    value_ns = timestamp_ns(moment) + int(fraction.ljust(9, "0"))
    if type_.fraction_digits == 9 and not -(1 << 63) < value_ns < (1 << 63) - 1:
        return None
    zone = "+00" if type_.family is Family.TIMESTAMPTZ else ""
    written = moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    return Literal(value_ns, f"CAST('{written}.{fraction or '0'}{zone}' AS {type_.sql})")


def _uuid(value: object, _type: ColumnType) -> Literal | None:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        return None
    return Literal(uuid.UUID(value), f"CAST('{value.lower()}' AS UUID)")


_READERS: dict[Family, Callable[[object, ColumnType], Literal | None]] = {
    Family.BOOLEAN: _boolean,
    Family.INTEGER: _integer,
    Family.DECIMAL: _decimal,
    Family.FLOAT: _float,
    Family.TEXT: _text,
    Family.DATE: _date,
    Family.TIME: _time,
    Family.TIMESTAMP: _timestamp,
    Family.TIMESTAMPTZ: _timestamp,
    Family.UUID: _uuid,
}


def time_ns(clock: dt.time) -> int:
    """Nanoseconds since midnight."""
    return ((clock.hour * 60 + clock.minute) * 60 + clock.second) * _SECOND_NS + clock.microsecond * 1000


def timestamp_ns(moment: dt.datetime) -> int:
    """Nanoseconds since 1970-01-01; a moment without a zone is taken as written."""
    since = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND_NS + since.microseconds * 1000
