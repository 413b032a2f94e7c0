"""The types that a statement may cast to: the engine's own, by their plain names.

Owns the allow-list. Must never let a type be looked up in a catalogue (`regclass`, user-defined enumerations), nor
VARIANT, which this engine release lets reach files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import fold

_WORDS = """
    array bigint bignum binary bit bitstring blob bool boolean bpchar bytea char date datetime dec decimal double enum
    float float4 float8 geometry guid hugeint int int1 int128 int16 int2 int32 int4 int64 int8 integer integral interval
    json list logical long map null numeric nvarchar oid real row short signed smallint string struct text time time_ns
    timestamp timestamp_ms timestamp_ns timestamp_s timestamp_us timestamptz timetz tinyint ubigint uhugeint uint128
    uint16 uint32 uint64 uint8 uinteger union usmallint utinyint uuid varbinary varchar varint
"""
ALLOWED = frozenset([*_WORDS.split(), "time with time zone", "timestamp with time zone"])
REFUSED = frozenset({"type", "variant"})
_INFOS: Mapping[str, frozenset[str]] = {
    "ARRAY_TYPE_INFO": frozenset({"type", "alias", "extension_info", "child_type", "size"}),
    "DECIMAL_TYPE_INFO": frozenset({"type", "alias", "extension_info", "width", "scale"}),
    "GENERIC_TYPE_INFO": frozenset({"type", "alias", "extension_info"}),
    "LIST_TYPE_INFO": frozenset({"type", "alias", "extension_info", "child_type"}),
    "STRUCT_TYPE_INFO": frozenset({"type", "alias", "extension_info", "child_types"}),
    "UNBOUND_TYPE_INFO": frozenset(
        {"type", "alias", "extension_info", "name", "catalog", "schema", "user_type_modifiers"}
    ),
}


def require_name(name: str) -> None:
    """Refuse a type that is not on the list, by the name it is written with."""
    if fold(name) not in ALLOWED:
        _refuse(name)


def require_type(type_: Any) -> None:
    """Refuse unless a type of the engine's parse tree, and each type inside it, is on the list."""
    pending = [type_]
    while pending:
        current = pending.pop()
        info = current["type_info"]
        if current.keys() != {"id", "type_info"}:
            _refuse(str(current["id"]))
        if current["id"] != "UNBOUND":
            require_name(current["id"])
        if info is None:
            continue
        if info.keys() != _INFOS.get(info["type"]) or info["extension_info"] is not None:
            _refuse(str(current["id"]))
        if info["alias"]:
            require_name(info["alias"])
        if info["type"] == "UNBOUND_TYPE_INFO":
            if info["catalog"] or info["schema"]:
                _refuse(f"{info['schema']}.{info['name']}")
            require_name(info["name"])
            pending.extend(_inner(info["user_type_modifiers"], "type", {"is_null", "value"}))
        elif "child_type" in info:
            pending.append(info["child_type"])
        else:
            pending.extend(_inner(info.get("child_types", ()), "second", {"first"}))


def _inner(entries: Any, key: str, others: set[str]) -> list[Any]:
    for entry in entries:
        if entry.keys() != others | {key}:
            _refuse("of an unknown form")
    return [entry[key] for entry in entries]


def _refuse(name: str) -> NoReturn:
    shown = name[:63]
    raise StatementRefused("statement.type", f"{shown} is no type that a value may be cast to here.", type=shown)
