"""The column types that policies know, and the families in which they behave alike.

Owns the reading of DuckDB's type texts. A type that is not listed here is `OTHER`: it can be shown, nulled or dropped, and
nothing else; it must never be guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from policies.model import Op


class Family(StrEnum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    UUID = "uuid"
    BLOB = "blob"
    OTHER = "other"


NULL_OPS = frozenset({Op.IS_NULL, Op.NOT_NULL})
EQUAL_OPS = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN})
ORDER_OPS = frozenset({Op.LT, Op.LE, Op.GT, Op.GE})

OPS: dict[Family, frozenset[Op]] = dict.fromkeys(
    (
        Family.INTEGER,
        Family.DECIMAL,
        Family.FLOAT,
        Family.TEXT,
        Family.DATE,
        Family.TIME,
        Family.TIMESTAMP,
        Family.TIMESTAMPTZ,
    ),
    NULL_OPS | EQUAL_OPS | ORDER_OPS,
) | {
    Family.BOOLEAN: NULL_OPS | EQUAL_OPS,
    Family.UUID: NULL_OPS | EQUAL_OPS,
    Family.BLOB: NULL_OPS,
    Family.OTHER: NULL_OPS,
}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """sql: DuckDB's canonical type text. bits, signed: of integers. precision, scale: of decimals.

    fraction_digits: of a second, for times and timestamps.
    """

    sql: str
    family: Family
    bits: int = 0
    signed: bool = True
    precision: int = 0
    scale: int = 0
    fraction_digits: int = 6

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest integer of this type."""
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


_INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}

_SIMPLE: dict[str, ColumnType] = {
    "BOOLEAN": ColumnType("BOOLEAN", Family.BOOLEAN),
    "FLOAT": ColumnType("FLOAT", Family.FLOAT, bits=32),
    "DOUBLE": ColumnType("DOUBLE", Family.FLOAT, bits=64),
    "VARCHAR": ColumnType("VARCHAR", Family.TEXT),
    "DATE": ColumnType("DATE", Family.DATE),
    "TIME": ColumnType("TIME", Family.TIME),
    "TIMESTAMP": ColumnType("TIMESTAMP", Family.TIMESTAMP),
    "TIMESTAMP_S": ColumnType("TIMESTAMP_S", Family.TIMESTAMP, fraction_digits=0),
    "TIMESTAMP_MS": ColumnType("TIMESTAMP_MS", Family.TIMESTAMP, fraction_digits=3),
    "TIMESTAMP_NS": ColumnType("TIMESTAMP_NS", Family.TIMESTAMP, fraction_digits=9),
    "TIMESTAMP WITH TIME ZONE": ColumnType("TIMESTAMP WITH TIME ZONE", Family.TIMESTAMPTZ),
    "UUID": ColumnType("UUID", Family.UUID),
    "BLOB": ColumnType("BLOB", Family.BLOB),
} | {
    prefix + name: ColumnType(prefix + name, Family.INTEGER, bits=bits, signed=not prefix)
    for name, bits in _INTEGERS.items()
    for prefix in ("", "U")
}

_ALIASES = {
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "REAL": "FLOAT",
    "INT": "INTEGER",
    "BOOL": "BOOLEAN",
    "TEXT": "VARCHAR",
}

_DECIMAL = re.compile(r"DECIMAL\(([0-9]{1,2}), ?([0-9]{1,2})\)")

VARCHAR = _SIMPLE["VARCHAR"]


@cache
def column_type(text: str) -> ColumnType:
    """The type that DuckDB calls `text`, e.g. `BIGINT`, `DECIMAL(10,2)`; unknown ones are of the family OTHER."""
    name = text.strip().upper()
    known = _SIMPLE.get(_ALIASES.get(name, name))
    if known is not None:
        return known
    decimal = _DECIMAL.fullmatch(name)
    if decimal is None:
        return ColumnType(text, Family.OTHER)
    precision, scale = int(decimal[1]), int(decimal[2])
    return ColumnType(f"DECIMAL({precision},{scale})", Family.DECIMAL, precision=precision, scale=scale)
