"""Names of files and locations, checked with the storages' own refusal. Must never touch a file."""

from __future__ import annotations

from catalog.errors import PathRefused as NameRefused
from catalog.paths import check_location, check_relative_path
from connectors.errors import PathRefused


def checked_path(path: str) -> str:
    """The path itself, if it is plain and relative. Raises PathRefused."""
    try:
        return check_relative_path(path)
    except NameRefused as refusal:
        raise PathRefused(refusal.sentence, path=shown(path)) from refusal


def checked_location(location: str) -> str:
    """The location without a trailing `/`, if it is plain and relative; "" is the whole storage. Raises PathRefused."""
    try:
        return check_location(location).removesuffix("/")
    except NameRefused as refusal:
        raise PathRefused(refusal.sentence, path=shown(location)) from refusal


def shown(name: str) -> str:
    """A name as an error may show it: bounded, and with nothing that a terminal or a log would obey."""
    return ascii(name)[1:-1][:200]
