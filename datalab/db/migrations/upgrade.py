"""Brings the main database to the newest form. Must never lose what is in it."""

from __future__ import annotations

from sqlalchemy import Engine

from datalab.db import catalogue, datasets, jobs, oauth, policies, versions
from datalab.db.base import Base

TABLES = (catalogue, datasets, jobs, oauth, policies, versions)
"""The modules whose tables make up the main database."""


def migrate(engine: Engine) -> None:
    """Makes what is missing."""
    Base.metadata.create_all(engine)
