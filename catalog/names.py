"""What a thing may be called: the one rule for ids, and the words that the SQL engine keeps for itself.

Owns the rule and the list. Must never ask the engine at run time: a test compares `reserved.txt` with it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from catalog.errors import NameRefused

_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RULE = "must be 1 to 63 lower-case letters, digits and `_`, and start with a letter"


@cache
def reserved_words() -> frozenset[str]:
    """The words that data spaces, peers and datasets may not be called."""
    lines = Path(__file__).with_name("reserved.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def name_problem(value: str, *, is_sql_name: bool = False) -> str | None:
    """What is wrong with an id, as the end of a sentence that begins with its name; None: nothing.

    is_sql_name: it also names a space, a peer or a dataset, and so stands unquoted in SQL.
    """
    if not _ID.fullmatch(value):
        return _RULE
    if is_sql_name and value in reserved_words():
        return f"must not be `{value}`, which means something else in SQL: try `{value}_data`"
    return None


def check_id(value: str) -> str:
    """The value itself if it is an id; raises NameRefused otherwise."""
    return _checked(value, name_problem(value))


def check_sql_name(value: str) -> str:
    """The value itself if a space, a peer or a dataset may be called so; raises NameRefused otherwise."""
    return _checked(value, name_problem(value, is_sql_name=True))


def _checked(value: str, problem: str | None) -> str:
    if problem is not None:
        raise NameRefused(f"A name {problem}.")
    return value
