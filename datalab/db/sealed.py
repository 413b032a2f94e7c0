"""The sealed credentials of storages, read for the one who opens them.

Owns that single read; everything else about storages leaves the blob out. Must never open a seal.
"""

from __future__ import annotations

from sqlalchemy import select

from datalab.db.catalogue import StorageRow
from datalab.db.database import Database


def sealed_credentials(database: Database, storage: str) -> bytes | None:
    """storage: its id. None: it has no credentials, or there is no such storage."""
    with database.read() as session:
        return session.execute(select(StorageRow.credentials).where(StorageRow.id == storage)).scalar_one_or_none()
