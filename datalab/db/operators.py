"""Which data spaces a participant operates, for the reach of its readers of the audit trail. Must never write."""

from __future__ import annotations

from sqlalchemy import select

from datalab.db.catalogue import DataSpaceRow
from datalab.db.database import Database


class OperatedSpaces:
    """Implements `flow.inquiry.OperatedSpaces`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, participant: str) -> frozenset[str]:
        with self._database.read() as session:
            operated = select(DataSpaceRow.id).where(DataSpaceRow.operator == participant)
            return frozenset(session.execute(operated).scalars())
