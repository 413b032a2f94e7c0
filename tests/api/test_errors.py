"""Every error of the house has its status, and its form on the wire."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

import catalog
import connectors
import datalab
import policies
from datalab.api.errors import BASES, STATUS, status_of

INNER = {"Refusal", "Failure"}
"""Classes that only group others and are never raised themselves."""


def modules() -> Iterator[ModuleType]:
    """Every errors.py of the house: an error class elsewhere would be a slip that the second test shows."""
    for package in (catalog, connectors, policies, datalab):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith(".errors"):
                yield importlib.import_module(found.name)


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_class_is_in_the_table_or_below_one_that_is() -> None:
    list(modules())
    missing = [
        f"{kind.__module__}.{kind.__name__}"
        for base in BASES
        for kind in subclasses(base)
        if kind.__name__ not in INNER and not any(above in STATUS for above in kind.__mro__)
    ]
    assert missing == []


def test_every_package_that_has_errors_has_its_base_in_the_table() -> None:
    """A base is a class with a code, directly below Exception."""
    unknown = [
        f"{module.__name__}.{name}"
        for module in modules()
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and kind.__module__ == module.__name__
        and kind.__bases__ == (Exception,)
        and kind not in BASES
    ]
    assert [name for name in unknown if not name.startswith("datalab.app.")] == []


def test_an_error_that_nobody_foresaw_is_ours() -> None:
    assert status_of(ZeroDivisionError()) == 500


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_refusals_are_4xx_and_failures_5xx(kind: type[Exception]) -> None:
    failed = any(word in above.__name__ for above in kind.__mro__ for word in ("Fail", "Unavailable"))
    assert (STATUS[kind] >= 500) == failed
