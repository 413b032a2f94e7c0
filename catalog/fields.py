"""The types that documents' fields have: pydantic's way to say what `names`, `paths` and `words` check.

Owns the translation of a refusal into a pydantic error. Must never check anything itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from catalog.entities import (
    AdmissionRole,
    DatasetStatus,
    FactoryType,
    ParticipantKind,
    ParticipantStatus,
    PersonalData,
    StorageKind,
    SupercomputerStatus,
)
from catalog.errors import CatalogError
from catalog.names import check_id, check_sql_name
from catalog.paths import check_location
from catalog.words import (
    check_country,
    check_language,
    check_licence,
    check_line,
    check_mail,
    check_prose,
    check_theme,
    check_url,
)

Item = TypeVar("Item")


def checked(check: Callable[[str], str]) -> AfterValidator:
    """The check as a validator whose sentence becomes the error's message."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except CatalogError as error:
            raise PydanticCustomError("catalog", "{sentence}", {"sentence": error.sentence}) from None

    return AfterValidator(validate)


class Part(BaseModel):
    """What all documents and their parts have in common: nothing converted, nothing unknown, nothing changed later."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


_FROM_TEXT = Field(strict=False)  # JSON and YAML have texts and lists where we have enumerations and tuples

Id = Annotated[str, checked(check_id)]
SqlName = Annotated[str, checked(check_sql_name)]
Country = Annotated[str, checked(check_country)]
Language = Annotated[str, checked(check_language)]
Line = Annotated[str, Field(max_length=500), checked(check_line)]
Prose = Annotated[str, Field(max_length=20_000), checked(check_prose)]
Licence = Annotated[str, Field(max_length=2_000), checked(check_licence)]
Theme = Annotated[str, checked(check_theme)]
Url = Annotated[str, checked(check_url)]
Mail = Annotated[str, Field(max_length=320), checked(check_mail)]
Location = Annotated[str, checked(check_location)]
Title = Annotated[dict[Language, Line], Field(min_length=1)]
Description = dict[Language, Prose]
Several = Annotated[tuple[Item, ...], Field(strict=False, max_length=1_000)]

FactoryTypeField = Annotated[FactoryType, _FROM_TEXT]
ParticipantKindField = Annotated[ParticipantKind, _FROM_TEXT]
ParticipantStatusField = Annotated[ParticipantStatus, _FROM_TEXT]
SupercomputerStatusField = Annotated[SupercomputerStatus, _FROM_TEXT]
StorageKindField = Annotated[StorageKind, _FROM_TEXT]
AdmissionRoleField = Annotated[AdmissionRole, _FROM_TEXT]
PersonalDataField = Annotated[PersonalData, _FROM_TEXT]
DatasetStatusField = Annotated[DatasetStatus, _FROM_TEXT]
