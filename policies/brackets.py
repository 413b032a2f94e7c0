"""How deep and how long a condition is, before the policy engine sees it.

Owns the bounds. The engine descends recursively, and a text of a few thousand opening brackets ends its whole process: so no
condition may reach it that was not measured here.
"""

from __future__ import annotations

import re

MAX_NESTING = 32
MAX_OPERATIONS = 300

_TOKEN = re.compile(
    r"""
    (?P<skipped> //[^\n\r]* | "(?:[^"\\]|\\.)*" )
    | (?P<open> [(\[{] )
    | (?P<close> [)\]}] )
    | (?P<operation> && | \|\| | [=!<>]= | [-+*<>!.] | \b(?:if|in|is|has|like)\b )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def objection(condition: str) -> str | None:
    """Why a condition must not be handed to the engine; None if it may. Whether it is right is not looked at."""
    expected: list[str] = []
    operations = 0
    for token in _TOKEN.finditer(condition):
        if token["open"]:
            expected.append(_CLOSING[token["open"]])
        elif token["close"] and (not expected or expected.pop() != token["close"]):
            return f"`{token['close']}` closes what was not opened; a condition cannot end itself early"
        operations += token["operation"] is not None
        if len(expected) > MAX_NESTING:
            return f"brackets are nested more than {MAX_NESTING} deep"
        if operations > MAX_OPERATIONS:
            return f"there are more than {MAX_OPERATIONS} operations; a list with contains() may say the same"
    return f"`{expected[-1]}` is missing" if expected else None
