"""A draft of the documents that register a dataset, from what its footers say.

Owns the text: YAML that `datalab apply` takes as it is, with our guesses and their reasons beside it as comments. Must never
contain a credential; where they are needed it says how they are given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog.entities import Column, Storage, StorageKind
from datalab.publish.hints import Hint, entity, hint, personal_data
from datalab.publish.inspection import Inspected


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftNames:
    """What footers cannot tell: ids of the dataset's space, of itself, its provider and its lab."""

    space: str
    name: str
    provider: str
    lab: str


def draft(
    storage: Storage, location: str, inspected: Inspected, names: DraftNames, variables: Mapping[str, str] | None = None
) -> str:
    """The storage's and the dataset's documents.

    location: relative to the storage. variables: field of the credentials -> the variable of the environment that holds it.
    """
    parts = [*_storage(storage, variables or {}), "---", *_dataset(storage, location, inspected, names), ""]
    return "\n".join(parts)


def _storage(storage: Storage, variables: Mapping[str, str]) -> Iterator[str]:
    yield "# Where the files lie. Leave it out if the storage is registered already."
    yield "kind: storage"
    yield f"id: {storage.id}"
    yield f"type: {storage.kind.value}"
    yield f"participant: {storage.participant}"
    if storage.kind is StorageKind.LOCAL:
        yield f"root: {text(storage.root or '')}"
        return
    yield f"endpoint: {text(storage.endpoint or '')}"
    yield f"bucket: {text(storage.bucket or '')}"
    if storage.prefix:
        yield f"prefix: {text(storage.prefix)}"
    yield f"region: {text(storage.region)}"
    yield f"path_style: {'true' if storage.path_style else 'false'}"
    if variables:
        yield "# Read from the environment of `datalab apply`; {file: PATH} reads a file. Use keys with the least rights only."
        pointers = ", ".join(f"{field}: {{env: {variable}}}" for field, variable in variables.items())
        yield f"credentials: {{{pointers}}}"


def _dataset(storage: Storage, location: str, inspected: Inspected, names: DraftNames) -> Iterator[str]:
    hints = [found for column in inspected.columns if (found := hint(column)) is not None]
    yield (
        f"# Drafted from {len(inspected.files)} file{'s' if len(inspected.files) != 1 else ''}, "
        f"{inspected.row_count:,} rows, {inspected.size_bytes:,} bytes. Check everything, above all what concerns persons."
    )
    yield "kind: dataset"
    yield f"space: {names.space}"
    yield f"name: {names.name}"
    yield f"provider: {names.provider}"
    yield f"lab: {names.lab}"
    yield "title:"
    yield f"  en: {text(names.name.replace('_', ' ').capitalize())}"
    yield "licence: null  # an SPDX identifier such as CC-BY-4.0, or the address of the terms"
    yield from _persons(inspected.columns, hints)
    yield f"storage: {storage.id}"
    yield f"location: {text(location)}"
    yield "status: draft"
    yield "# Columns:"
    by_name = {one.column: one for one in hints}
    for column in inspected.columns:
        yield f"#   {_column(column, by_name.get(column.name))}"


def _persons(columns: Sequence[Column], hints: Sequence[Hint]) -> Iterator[str]:
    suggested = personal_data(hints)
    reason = "a guess by the columns' names, see below" if hints else "no column's name suggests otherwise"
    yield f"personal_data: {suggested.value}  # none, pseudonymised, personal or special; {reason}"
    roles = {one.role: one.column for one in reversed(hints) if one.role is not None}
    likely = entity(columns, hints)
    if likely is not None:
        roles = {"entity": likely, **roles}
    if roles:
        yield "roles:"
        yield from (f"  {role}: {text(column)}" for role, column in roles.items())


def _column(column: Column, found: Hint | None) -> str:
    parts = [f"{text(column.name)} {column.type}"]
    if column.partition:
        parts.append("from the path")
    if found is not None:
        parts.append(f"{found.reason} ({found.weight.name.lower()})")
    return "; ".join(parts)


def text(value: str) -> str:
    """A YAML scalar that is this text and nothing else: JSON's form, in which every text is one line of a known type."""
    return json.dumps(value, ensure_ascii=False) if value.isprintable() else json.dumps(value)
