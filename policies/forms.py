"""The form of policy documents: which keys there are, and what each may hold.

Owns the rules of the form; `documents` reads it into a `Policy`. Must never accept a key it does not know: a misspelt
obligation would silently not oblige.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from policies import model
from policies.brackets import objection
from policies.claims import FACTS, names_claim
from policies.model import SUPPORTED_MASKS, Action, MaskKind, Op
from policies.quoting import writable

ID = r"[a-z][a-z0-9_]{0,62}"
_SCOPE = re.compile(rf"federation|(space|lab):({ID})|dataset:({ID}/{ID})")
_MAX_LIST = 1000

Name = Annotated[str, Field(min_length=1, max_length=255)]


def _scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("a value is a text, a number, true or false")  # noqa: TRY004 - pydantic collects ValueErrors
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number must be finite")
    if isinstance(value, str) and (len(value) > 4000 or not writable(value)):
        raise ValueError("a text has at most 4000 characters, no NUL and no unpaired surrogates")
    return value


Scalar = Annotated[Any, AfterValidator(_scalar)]
"""Checked by hand: a union of strict types would report one error for each."""


class _Border(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class RoleRef(_Border):
    role: Name


class _Target(_Border):
    """What names a column: exactly one of its name and a role."""

    column: Name | None = None
    role: Name | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.column is None) is (self.role is None):
            raise ValueError("name exactly one of `column` and `role`")
        return self

    def ref(self) -> model.Ref:
        return model.Ref(self.column) if self.column is not None else model.Ref(self.role or "", is_role=True)


class LeafDocument(_Target):
    op: str
    value: Any = None
    claim: str | None = None

    @field_validator("op")
    @classmethod
    def _known_op(cls, value: str) -> str:
        return _known(value, [op.value for op in Op], "operator")

    @field_validator("value")
    @classmethod
    def _scalars(cls, value: object) -> object:
        if not isinstance(value, list):
            return None if value is None else _scalar(value)
        if not 1 <= len(value) <= _MAX_LIST:
            raise ValueError(f"a list of values has 1 to {_MAX_LIST} of them")
        if len({_kind(_scalar(item)) for item in value}) > 1:
            raise ValueError("the values are not all of one kind; in YAML quote words such as NO, yes, 012 or 1e3")
        return value

    @field_validator("claim")
    @classmethod
    def _known_claim(cls, value: str | None) -> str | None:
        if value is None or names_claim(value):
            return value
        raise ValueError(f"no claim `{value}`{did_you_mean(value, [*FACTS, 'principal.claims.NAME'])}")

    @model_validator(mode="after")
    def _operand(self) -> Self:
        op = Op(self.op)
        given = (self.value is not None) + (self.claim is not None)
        if op.takes_nothing and given:
            raise ValueError(f"`{op}` takes neither `value` nor `claim`")
        if not op.takes_nothing and given != 1:
            raise ValueError(f"`{op}` takes exactly one of `value` and `claim`")
        if self.value is not None and isinstance(self.value, list) is not op.takes_list:
            raise ValueError(f"`{op}` takes {'a list of values' if op.takes_list else 'one value'}")
        return self


class AllDocument(_Border):
    all: Annotated[list[RowsDocument], Field(min_length=1, max_length=100)]


class AnyDocument(_Border):
    any: Annotated[list[RowsDocument], Field(min_length=1, max_length=100)]


class NotDocument(_Border):
    not_: Annotated[RowsDocument, Field(alias="not")]


def _node(value: object) -> str:
    """Which of the forms a node takes; the tags are cut from error paths."""
    if isinstance(value, Mapping):
        return next((f"<{key}>" for key in ("all", "any", "not") if key in value), "<leaf>")
    return "<leaf>"


RowsDocument = Annotated[
    Annotated[AllDocument, Tag("<all>")]
    | Annotated[AnyDocument, Tag("<any>")]
    | Annotated[NotDocument, Tag("<not>")]
    | Annotated[LeafDocument, Tag("<leaf>")],
    Discriminator(_node),
]


class MaskDocument(_Target):
    with_: Annotated[str, BeforeValidator(lambda value: "null" if value is None else value), Field(alias="with")]
    value: Scalar = None
    if_present: bool = False

    @field_validator("with_")
    @classmethod
    def _known_mask(cls, value: str) -> str:
        if value == MaskKind.CLEAR:
            raise ValueError("a column without a mask is clear; leave the mask out")
        kind = _known(value, [kind.value for kind in MaskKind], "mask")
        if kind not in SUPPORTED_MASKS:
            raise ValueError(f"mask `{value}` is not supported yet; there are {', '.join(SUPPORTED_MASKS)}")
        return value

    @model_validator(mode="after")
    def _value(self) -> Self:
        if (self.with_ == MaskKind.FIXED) is not (self.value is not None):
            raise ValueError("`fixed` needs a `value`, the other masks take none")
        return self


class AggregateDocument(_Border):
    min_group_size: Annotated[int, Field(ge=1, le=1_000_000)]


class LimitsDocument(_Border):
    max_rows: Annotated[int, Field(ge=1, le=2**53)] | None = None
    queries_per_day: Annotated[int, Field(ge=1, le=2**53)] | None = None


def _column_node(value: object) -> str:
    return "<role>" if isinstance(value, Mapping | RoleRef) else "<name>"


ColumnDocument = Annotated[
    Annotated[Name, Tag("<name>")] | Annotated[RoleRef, Tag("<role>")], Discriminator(_column_node)
]


class ObligationsDocument(_Border):
    columns: Annotated[list[ColumnDocument], Field(min_length=1, max_length=10_000)] | None = None
    rows: RowsDocument | None = None
    masks: Annotated[list[MaskDocument], Field(max_length=10_000)] = []
    aggregate: AggregateDocument | None = None
    limits: LimitsDocument | None = None


class PolicyDocument(_Border):
    """The form of DESIGN's policy document; `obligations` only in permits."""

    id: str
    title: Annotated[str, Field(min_length=1, max_length=300)]
    scope: str
    effect: Literal["permit", "forbid"]
    actions: Annotated[list[str], Field(min_length=1, max_length=4)]
    when: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    obligations: ObligationsDocument | None = None

    @field_validator("id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if not re.fullmatch(ID, value):
            raise ValueError("an id is a lower-case letter, then up to 62 lower-case letters, digits and _")
        return value

    @field_validator("scope")
    @classmethod
    def _is_scope(cls, value: str) -> str:
        if not _SCOPE.fullmatch(value):
            raise ValueError("a scope is `federation`, `space:ID`, `lab:ID` or `dataset:SPACE/NAME`")
        return value

    @field_validator("actions")
    @classmethod
    def _are_actions(cls, value: list[str]) -> list[str]:
        for action in value:
            _known(action, [known.value for known in Action], "action")
        return value

    @field_validator("title", "when")
    @classmethod
    def _is_text(cls, value: str | None) -> str | None:
        _check_text(value)
        if value is not None and not value.strip():
            raise ValueError("it must not be blank")
        return value

    @field_validator("when")
    @classmethod
    def _is_bounded(cls, value: str | None) -> str | None:
        told = objection(value) if value is not None else None
        if told is not None:
            raise ValueError(told)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        obligations = self.obligations
        if self.effect == "forbid" and obligations is not None:
            raise ValueError("a forbid has no obligations: it forbids the actions for everyone it matches")
        groups = obligations is not None and obligations.aggregate is not None
        if self.effect == "forbid":
            return self
        rows = bool({Action.QUERY, Action.EXPORT} & set(self.actions))
        if groups and rows:
            raise ValueError("a permit of query or export shows rows, so `aggregate` would not hold; split the permit")
        if Action.AGGREGATE in self.actions and not rows and not groups:
            raise ValueError("a permit of aggregate needs `obligations.aggregate.min_group_size`")
        if Action.AGGREGATE not in self.actions and not rows and _obliges_data(obligations):
            raise ValueError("a permit of discover alone shows no data: of the obligations it can only have `columns`")
        return self


def _obliges_data(obligations: ObligationsDocument | None) -> bool:
    return obligations is not None and bool(
        obligations.rows or obligations.masks or obligations.aggregate or obligations.limits
    )


def _known(value: str, known: Sequence[str], noun: str) -> str:
    if value not in known:
        raise ValueError(f"no {noun} `{value}`{did_you_mean(value, known) or '; there are ' + ', '.join(known)}")
    return value


def did_you_mean(value: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(value, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _check_text(value: object) -> None:
    if isinstance(value, str) and not writable(value):
        raise ValueError("text must not hold NUL or unpaired surrogates")
