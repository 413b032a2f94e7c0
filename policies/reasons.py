"""Why a decision is as it is: stable slugs, each with one plain sentence.

Owns the vocabulary that explain, audit and refusals share. Must never carry a claim's value or a literal of a policy: a
reason may be shown to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Slug(StrEnum):
    NO_PERMIT = "no_permit"
    PROVIDER_PERMITS_NOTHING = "provider_permits_nothing"
    LEVEL_CLOSED = "level_closed"
    FORBIDDEN = "forbidden"
    POLICY_ERROR = "policy_error"
    COLUMNS_NOT_LISTED = "columns_not_listed"
    NO_COLUMNS = "no_columns"
    CLAIM_MISSING = "claim_missing"
    CLAIM_TYPE = "claim_type"
    COLUMN_MISSING = "column_missing"
    ROLE_MISSING = "role_missing"
    OPERATOR_TYPE = "operator_type"
    LITERAL_TYPE = "literal_type"
    MASK_TYPE = "mask_type"


@dataclass(frozen=True, slots=True)
class Reason:
    """slug: stable. text: plain English. policy: id of the policy it is about, if one."""

    slug: Slug
    text: str
    policy: str | None = None

    def as_json(self) -> dict[str, str]:
        return {"slug": self.slug.value, "text": self.text} | ({"policy": self.policy} if self.policy else {})
