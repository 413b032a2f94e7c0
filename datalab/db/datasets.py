"""The table of datasets, and the text that a search looks through.

Owns the dataset rows. Must never read or write versions: `datalab.db.versions` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from catalog import entities
from catalog.entities import Dataset, DatasetStatus, PersonalData
from datalab.db.base import Base, UtcDateTime
from datalab.db.catalogue import ResourceColumns
from datalab.db.columns import NAME_LENGTH, Document, EnumText, Texts


class DatasetRow(ResourceColumns, Base):
    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("space", "name"),)

    space: Mapped[str] = mapped_column(ForeignKey("data_spaces.id"))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    provider: Mapped[str] = mapped_column(ForeignKey("participants.id"), index=True)
    lab: Mapped[str] = mapped_column(ForeignKey("data_labs.id"), index=True)
    title: Mapped[entities.Text] = mapped_column(Document)
    description: Mapped[entities.Text] = mapped_column(Document)
    keywords: Mapped[tuple[str, ...]] = mapped_column(Texts)
    theme: Mapped[str | None] = mapped_column(String(20))
    licence: Mapped[str | None] = mapped_column(Text)
    attribution: Mapped[str | None] = mapped_column(Text)
    tdm_reserved: Mapped[bool] = mapped_column(default=False)
    personal_data: Mapped[PersonalData] = mapped_column(EnumText(PersonalData))
    roles: Mapped[Mapping[str, str]] = mapped_column(Document)
    storage: Mapped[str] = mapped_column(ForeignKey("storages.id"), index=True)
    location: Mapped[str] = mapped_column(Text)
    status: Mapped[DatasetStatus] = mapped_column(EnumText(DatasetStatus))
    created_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    search_text: Mapped[str] = mapped_column(Text)


def search_text(dataset: Dataset) -> str:
    """What a search for a word looks through: name, titles, descriptions and keywords, case-folded."""
    parts = (dataset.name, *dataset.title.values(), *dataset.description.values(), *dataset.keywords)
    return "\n".join(parts).casefold()
