"""The page about errors: every code of the code base is on it, no other, and each with the status that it is answered with."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.errors import StorageError
from datalab.api.errors import STATUS, status_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
PACKAGES = ("datalab", "connectors", "catalog", "policies")

FAMILIES = frozenset(
    [
        "request",
        "token",
        "principal",
        "statement",
        "decision",
        "plan",
        "engine",
        "stream",
        "audit",
        "registry",
        "catalog",
        "policy",
        "oauth",
        "publish",
        "storage",
    ]
)
CODE = re.compile(r"[a-z]+\.[a-z_]+")

NO_CODES = {
    "datalab/flow/trail.py": "kinds of audit records, such as token.issued",
    "policies/claims.py": "facts that a policy may name, such as principal.country",
}
NAMES_OF_FILES = {"audit.sqlite"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def codes_in_the_code() -> set[str]:
    found = {
        text
        for path, tree in sources()
        if path not in NO_CODES
        for text in texts(tree)
        if CODE.fullmatch(text) and text.partition(".")[0] in FAMILIES
    }
    return (found - NAMES_OF_FILES) | {"internal"}


def raised() -> Iterator[tuple[str, type[Exception]]]:
    """Each code that stands in the call of an error class of the house, with that class."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            first = node.args[0]
            if not isinstance(first, ast.Constant) or not CODE.fullmatch(str(first.value)):
                continue
            module = importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
            kind = getattr(module, node.func.id, None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                yield str(first.value), kind


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    """Code -> status, as the page has them."""
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|.*\|.*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    twice = [code for code, count in Counter(code for code, _ in found).items() if count > 1]
    assert twice == []
    return dict(found)


def test_every_code_is_on_the_page_and_no_other(rows: dict[str, str]) -> None:
    in_code = codes_in_the_code()
    assert sorted(in_code - rows.keys()) == []
    assert sorted(rows.keys() - in_code) == []


def test_no_error_begins_with_a_stage_that_the_page_does_not_know() -> None:
    pairs = [(code, kind) for code, kind in raised() if any(base in STATUS for base in kind.__mro__)]
    assert len(pairs) > 50
    assert {code for code, _ in pairs if code.partition(".")[0] not in FAMILIES} == set()


def test_each_status_is_the_one_that_its_class_is_answered_with(rows: dict[str, str]) -> None:
    wrong = {
        code: (rows.get(code), status_of(kind.__new__(kind)))
        for code, kind in raised()
        if any(base in STATUS for base in kind.__mro__)
        and rows.get(code) not in {"cut", str(status_of(kind.__new__(kind)))}
    }
    assert wrong == {}


def test_codes_of_classes_have_their_class_s_status(rows: dict[str, str]) -> None:
    """Storages name their code in the class."""
    coded = [kind for kind in below(StorageError) if "code" in vars(kind)]
    assert len(coded) > 10
    assert {kind.code: str(status_of(kind(""))) for kind in coded} == {kind.code: rows[kind.code] for kind in coded}


def below(kind: type[StorageError]) -> Iterator[type[StorageError]]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)
