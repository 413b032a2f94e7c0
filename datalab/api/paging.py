"""Pages: `limit` and `cursor` in, `items` and `next_cursor` out.

A cursor holds the key of the last item that its reader was shown, and nothing else: it says nothing about what lies
behind it. It is checked, not trusted: a made-up one can only start a list of visible things elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from datalab.api.errors import BadRequest
from datalab.registry.ports import Page

MAX_LIMIT = 500
DEFAULT_LIMIT = 100
_KEY = re.compile(r"[a-z0-9_/]{1,127}")

Item = TypeVar("Item")
Shown = TypeVar("Shown")

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[str | None, Query(max_length=300, description="`next_cursor` of the page before.")]


class Paged(BaseModel, Generic[Shown]):
    items: list[Shown]
    next_cursor: str | None = None


def asked(limit: int, cursor: str | None) -> Page:
    """The page to read: one item more than asked, which says whether there is a next page."""
    return Page(after=None if cursor is None else key_of(cursor), limit=limit + 1)


def paged(
    found: Sequence[Item], limit: int, *, show: Callable[[Item], Shown], key: Callable[[Item], str]
) -> Paged[Shown]:
    """found: what `asked(limit, ...)` yielded."""
    shown = found[:limit]
    more = len(found) > limit
    return Paged(items=[show(one) for one in shown], next_cursor=cursor_of(key(shown[-1])) if more else None)


def cursor_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """Raises BadRequest for what cannot be a cursor of ours."""
    try:
        key = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        key = ""
    if not _KEY.fullmatch(key):
        raise BadRequest("request.cursor", "This is not a cursor of this gateway: start again without one.")
    return key
