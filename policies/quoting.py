"""Names and texts as DuckDB's SQL writes them, and the equality of names.

The only place that puts quotes around what others wrote. Must never be bypassed.
"""

from __future__ import annotations

import string

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def folded(name: str) -> str:
    """What two names share that DuckDB takes for one: it folds ASCII letters and nothing else."""
    return name.translate(_LOWER)


def sql_name(name: str) -> str:
    """A quoted identifier. A NUL would end the text early somewhere below: ValueError."""
    return '"' + _checked(name).replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """A quoted VARCHAR literal; no character but the quote is special in DuckDB's standard strings."""
    return "'" + _checked(text).replace("'", "''") + "'"


def writable(text: str) -> bool:
    """Whether `text` can stand in SQL: no NUL, and UTF-8 can carry it."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _checked(text: str) -> str:
    if not writable(text):
        raise ValueError("a name or text with NUL or unpaired surrogates cannot be written as SQL")
    return text
