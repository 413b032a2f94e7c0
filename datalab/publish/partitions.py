"""Hive partitions: the columns that a dataset's paths carry as `key=value` segments, and their types.

Owns which segments count and how values are typed. Must read paths as DuckDB 1.5.5 does, which cuts them again at query
time with the types we give it: a directory segment with exactly one `=` and a key is a partition, a file's own name never.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

MAX_KEYS: Final = 16
NULL_VALUES: Final = frozenset({"__hive_default_partition__", "null"})  # compared in lower case, as DuckDB does

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")


class PartitionsRefused(Exception):
    """path: the file at fault."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class PartitionKey:
    name: str
    type: str


def segments(path: str) -> tuple[tuple[str, str], ...]:
    """(key, value) of each partition segment of a path, in order."""
    found = []
    for segment in path.split("/")[:-1]:
        key, equals, value = segment.partition("=")
        if equals and key and "=" not in value:
            found.append((key, value))
    return tuple(found)


def detect(paths: Sequence[str]) -> tuple[PartitionKey, ...]:
    """The partition keys that all paths share, sorted by name, as DuckDB orders their columns; empty: there are none.

    Raises:
        PartitionsRefused: files do not agree on their keys, or a key repeats.
    """
    first = segments(paths[0])
    names = tuple(key for key, _value in first)
    values: dict[str, set[str]] = {name: set() for name in names}
    for path in paths:
        found = segments(path)
        keys = tuple(key for key, _value in found)
        if keys != names:
            raise PartitionsRefused(path, f"lies {_where(keys)}, elsewhere files lie {_where(names)}")
        for key, value in found:
            values[key].add(value)
    _check_names(paths[0], names)
    return tuple(PartitionKey(name, type_of(values[name])) for name in sorted(names))


def type_of(values: Iterable[str]) -> str:
    """BIGINT, DATE or TIMESTAMP where every value that is not NULL is one in its usual form, else VARCHAR."""
    known = [value for value in values if value.lower() not in NULL_VALUES]
    if not known:
        return "VARCHAR"
    if all(_INTEGER.fullmatch(value) and -(1 << 63) <= int(value) < 1 << 63 for value in known):
        return "BIGINT"
    if all(_DATE.fullmatch(value) and _parses(date, value) for value in known):
        return "DATE"
    if all(_TIMESTAMP.fullmatch(value) and _parses(datetime, value) for value in known):
        return "TIMESTAMP"
    return "VARCHAR"


def _parses(kind: type[date], value: str) -> bool:
    try:
        kind.fromisoformat(value)
    except ValueError:
        return False
    return True


def _where(keys: tuple[str, ...]) -> str:
    return "in no partition" if not keys else f"in partitions of {', '.join(keys)}"


def _check_names(path: str, names: tuple[str, ...]) -> None:
    if len(names) > MAX_KEYS:
        raise PartitionsRefused(path, f"lies in more than {MAX_KEYS} levels of partitions")
    if len({name.casefold() for name in names}) != len(names):
        raise PartitionsRefused(path, "lies in two partitions of one name")
