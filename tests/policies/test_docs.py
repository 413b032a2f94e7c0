"""docs/policies.md says what the code does: its tables, its conditions and its documents are checked here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.yaml import load
from policies.canonical import canonical_text
from policies.cedar import SCHEMA_TEXT
from policies.claims import FACTS
from policies.columntypes import OPS, Family, column_type
from policies.literals import literal
from policies.model import SUPPORTED_MASKS, MaskKind, Op
from policies.reasons import Slug
from policies.validation import validate
from tests.policies.world import permit

DOCS = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")

FAMILIES = {
    "BOOLEAN": Family.BOOLEAN,
    "TINYINT ... HUGEINT, UTINYINT ... UHUGEINT": Family.INTEGER,
    "integers": Family.INTEGER,
    "DECIMAL": Family.DECIMAL,
    "DOUBLE, FLOAT": Family.FLOAT,
    "VARCHAR": Family.TEXT,
    "DATE": Family.DATE,
    "TIME": Family.TIME,
    "TIMESTAMP, TIMESTAMP_S, TIMESTAMP_MS, TIMESTAMP_NS": Family.TIMESTAMP,
    "TIMESTAMP...": Family.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": Family.TIMESTAMPTZ,
    "UUID": Family.UUID,
    "BLOB": Family.BLOB,
    "all others (lists, structs, intervals ...)": Family.OTHER,
}

TYPES = {
    Family.INTEGER: "INTEGER",
    Family.DECIMAL: "DECIMAL(10,2)",
    Family.FLOAT: "DOUBLE",
    Family.TEXT: "VARCHAR",
    Family.TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE",
}


def _table(first: str) -> list[list[str]]:
    """The rows of the table whose first header is `first`."""
    lines = iter(DOCS.split("\n"))
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    assert rows
    return rows


def _blocks(language: str) -> Iterator[str]:
    yield from re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


def _type(family: Family) -> str:
    return TYPES.get(family, family.value.upper())


@pytest.mark.parametrize("condition", list(_blocks("cedar")))
def test_a_condition_in_the_docs_is_valid(condition: str) -> None:
    assert validate(permit(when=condition)) == []


@pytest.mark.parametrize("text", list(_blocks("yaml")))
def test_a_document_in_the_docs_is_valid(text: str) -> None:
    (document,) = load(text, file="policies.md")
    assert isinstance(document.value, dict)
    assert validate(document.value) == []


def test_there_are_conditions_and_documents_to_check() -> None:
    assert len(list(_blocks("cedar"))) >= 4
    assert len(list(_blocks("yaml"))) >= 1


def test_the_operators_of_each_type() -> None:
    told = {FAMILIES[row[0]]: {Op(op) for op in row[1].strip("`").split()} for row in _table("column type")}
    assert told == OPS


def test_the_examples_of_values_are_values() -> None:
    for row in _table("column type"):
        examples = re.findall(r"`([^`]*)`", row[3]) if len(row) > 3 else []
        family = FAMILIES[row[0]]
        assert bool(examples) is (family not in {Family.BLOB, Family.OTHER})
        for example in examples:
            assert literal(json.loads(example), column_type(_type(family))) is not None, example


def test_the_canonical_texts() -> None:
    rows = _table("type")
    assert {FAMILIES[row[0]] for row in rows} == set(Family) - {Family.OTHER}
    values = {
        "true": True,
        "-5": -5,
        "12.50": "12.50",
        "0.1": 0.1,
        "1e+300": 1e300,
        "DE": "DE",
        "2024-01-31": "2024-01-31",
        "23:59:59.5": "23:59:59.500",
        "2024-01-31 12:00:00": "2024-01-31T12:00:00",
        "2024-01-31 11:00:00.25+00": "2024-01-31T12:00:00.250+01:00",
        "0f0e0d0c-0b0a-0908-0706-050403020100": "0F0E0D0C-0B0A-0908-0706-050403020100",
    }
    for row in rows:
        type_ = column_type(_type(FAMILIES[row[0]]))
        for example in re.findall(r"`([^`]*)`", row[2]):
            if example == "nan":
                assert canonical_text(float("nan"), type_) == example
            elif type_.family is Family.BLOB:
                assert canonical_text(b"\0\xff", type_) == example
            else:
                known = literal(values[example], type_)
                assert known is not None
                assert canonical_text(known.value, type_) == example


def test_the_masks_in_the_order_of_their_strictness() -> None:
    assert [MaskKind(row[0].strip("`")) for row in _table("mask")] == list(SUPPORTED_MASKS)
    for kind in set(MaskKind) - set(SUPPORTED_MASKS):
        assert f"`{kind}`" in DOCS or kind is MaskKind.CLEAR


def test_every_reason_is_told() -> None:
    assert [row[0].strip("`") for row in _table("reason")] == [slug.value for slug in Slug]


def test_every_claim_is_told() -> None:
    for fact in FACTS:
        assert f"`{fact}`" in DOCS


def test_every_name_of_the_schema_is_told_and_no_other() -> None:
    told = {row[0].strip("`") for row in _table("name")} - {'principal.getTag("x")'}
    groups = {
        "principal": "entity Principal = {(.*?)}",
        "resource": "entity Dataset = {(.*?)}",
        "context.agreement": "type Agreement = {(.*?)}",
    }
    known = {"context.now"}
    for prefix, pattern in groups.items():
        found = re.search(pattern, SCHEMA_TEXT, re.DOTALL)
        assert found is not None
        known |= {f"{prefix}.{name}" for name in re.findall(r"^\s+(\w+)\??:", found[1], re.MULTILINE)}
    assert told == known


@pytest.mark.parametrize("name", [row[0].strip("`") for row in _table("name")])
def test_every_name_that_is_told_can_be_used(name: str) -> None:
    guard = "context has agreement && " if "agreement" in name else ""
    guard += "principal has client_id && " if "client_id" in name else ""
    guard += 'principal.hasTag("x") && ' if "getTag" in name else ""
    assert validate(permit(when=f"{guard}{name} == {name}")) == []
