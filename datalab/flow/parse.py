"""The second gate, inside the worker: the engine's own parse of a statement must say what the first gate said.

Owns the reading of `json_serialize_sql`'s answer: one query, exactly the expected tables, functions and types from the
allow-lists, and no node that is not described here. Must never import the engine, run anything, or skip a field.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NoReturn

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import fold, load
from datalab.flow.sql.names import refuse_unqualified
from datalab.flow.sql.nodes import read_query
from datalab.flow.sql.tree import Found, Json

__all__ = ["SERIALIZE", "Tables", "check"]

SERIALIZE = "SELECT json_serialize_sql(?::VARCHAR)"
"""What the worker asks its engine, with the statement bound as the one parameter; the answer goes to `check`."""

Tables = Collection[tuple[str, str, str]]
"""(catalogue, schema, name), folded, the catalogue '' where none is written: `Statement.tables`."""

_TOO_DEEP = "The statement is nested too deeply. Name its parts with WITH, one after the other."


def check(serialized: str, tables: Tables) -> None:
    """Refuse unless the engine's parser sees one query over exactly `tables`, made of known parts only.

    serialized: the text that `SERIALIZE` gave for the very text that will run. Raises StatementRefused: what the first
    gate would have said where only this one saw it, `statement.disagreement` if the two see different tables.
    """
    try:
        answer = json.loads(serialized)
        found = read_query(_one_query(answer))
    except RecursionError:
        raise StatementRefused("statement.too_deep", _TOO_DEEP) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        # The shape is the pinned engine's; anything else is a release that this gate was not written for.
        raise StatementRefused(
            "statement.unsupported", "The statement has a part that is not supported here."
        ) from None
    _require_agreement(found, frozenset(tables))


def _one_query(answer: Json) -> Json:
    if answer["error"]:
        if "expression depth" in str(answer.get("error_message")):
            raise StatementRefused("statement.too_deep", _TOO_DEEP)
        _refuse_error(str(answer.get("error_type")), str(answer.get("position", "")))
    statements = answer["statements"]
    if len(statements) != 1 or answer.keys() != {"error", "statements"}:
        raise StatementRefused("statement.several", "Send one statement at a time; this text holds several.")
    return statements[0]


def _refuse_error(kind: str, position: str) -> NoReturn:
    if kind == "serialization":
        raise StatementRefused("statement.unsupported", "A part of the statement is not supported here.")
    if kind == "not implemented":
        raise StatementRefused("statement.not_select", "Only a SELECT is allowed. Datasets are read-only here.")
    where = f" near character {int(position) + 1}" if position.isdecimal() else ""
    raise StatementRefused("statement.syntax", f"The statement could not be parsed{where}.")


def _require_agreement(found: Found, tables: frozenset[tuple[str, str, str]]) -> None:
    catalogue = load()
    for name in sorted(found.functions - catalogue.expressions):
        catalogue.refuse(name, relation=False)
    for name in sorted(found.relations - catalogue.relations):
        catalogue.refuse(name, relation=True)
    for catalog, schema, name in sorted(found.tables):
        if not catalog and not schema:
            refuse_unqualified(name)
    seen = frozenset((fold(catalog), fold(schema), fold(name)) for catalog, schema, name in found.tables)
    if seen != tables:
        raise StatementRefused(
            "statement.disagreement",
            "The statement can be read in two ways, so it is not run. Write it more plainly: "
            "name each dataset as space.name, without comments or odd quotes around it.",
        )
