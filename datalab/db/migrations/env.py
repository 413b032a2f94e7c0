"""What alembic runs: the migrations of one line on the connection it is given. Must never open a connection itself."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.types import TypeDecorator


def render_item(kind: str, item: Any, _autogen: AutogenContext) -> str | Literal[False]:
    """Writes our own column types as the plain types that they are stored as: a migration outlives our code."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    return False


attributes = context.config.attributes
line = attributes["line"]
context.configure(
    connection=attributes["connection"],
    target_metadata=line.metadata,
    version_table=line.version_table,
    render_item=render_item,
    render_as_batch=True,
    include_object=lambda _object, name, kind, reflected, _to: (
        not (kind == "table" and reflected and name not in line.metadata.tables)
    ),
)
with context.begin_transaction():
    context.run_migrations()
