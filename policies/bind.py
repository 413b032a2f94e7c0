"""Binding: a permit that matches becomes an alternative on one version's columns, or is void with its reasons.

Owns the rule that anything unresolved voids the whole permit and never just its leaf: under `not`, a leaf that quietly
became false would open rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policies.claims import resolve
from policies.columntypes import OPS, ColumnType, Family, column_type
from policies.inputs import DatasetInput, PrincipalInput
from policies.literals import Literal, literal
from policies.model import AllOf, AnyOf, Claim, Leaf, Mask, MaskKind, Not, Op, Policy, Ref, Rows
from policies.quoting import folded
from policies.reasons import Reason, Slug
from policies.shape import DROP, Alternative, CellMask, Condition, Every, Inverse, Some, Test, strictest

_DATED = {Family.DATE, Family.TIMESTAMP, Family.TIMESTAMPTZ}


class Void(Exception):
    def __init__(self, slug: Slug, text: str) -> None:
        super().__init__(text)
        self.slug = slug


class Frame:
    """A dataset's columns and roles as policies name them, and the caller whose claims they use."""

    def __init__(self, dataset: DatasetInput, principal: PrincipalInput) -> None:
        self.principal = principal
        self.known = dataset.columns is not None
        self.types: dict[str, ColumnType] = {c.name: column_type(c.type) for c in dataset.columns or ()}
        self._names: dict[str, str] = {folded(name): name for name in self.types}
        self._roles: Mapping[str, str] = dataset.roles

    def column(self, ref: Ref) -> str | None:
        """The exact name of the column that `ref` means, None if this version has none."""
        name = self._roles.get(ref.name) if ref.is_role else ref.name
        return None if name is None else self._names.get(folded(name))

    def required(self, ref: Ref) -> str:
        name = self.column(ref)
        if name is None:
            raise Void(
                Slug.ROLE_MISSING if ref.is_role else Slug.COLUMN_MISSING, f"this version of the dataset has no {ref}"
            )
        return name


def bind(policy: Policy, frame: Frame) -> Alternative | Reason:
    """The alternative that `policy`, a permit that matches, adds to its level; the reason if it is void.

    Without a version only the claims can be checked; the alternative then covers no column and must not be compiled.
    """
    obligations = policy.obligations
    try:
        if not frame.known:
            if obligations.rows is not None:
                _check_claims(obligations.rows, frame.principal)
            return Alternative(policy=policy.id, masks={})
        rows = _condition(obligations.rows, frame) if obligations.rows is not None else None
        return Alternative(policy=policy.id, rows=rows, masks=_masks(policy, frame))
    except Void as void:
        return Reason(void.slug, f"permit {policy.id} is void: {void}", policy.id)


def unmet(policy: Policy, dataset: DatasetInput) -> list[tuple[tuple[str | int, ...], str]]:
    """What the obligations ask that this dataset lacks, each with its path below `obligations`. Claims are not looked at."""
    frame = Frame(dataset, _NOBODY)
    found: list[tuple[tuple[str | int, ...], str]] = []
    for path, leaf in _leaves(policy.obligations.rows, ("rows",)):
        try:
            _test(leaf if not isinstance(leaf.operand, Claim) else Leaf(leaf.ref, Op.NOT_NULL), frame)
        except Void as void:
            found.append((path, str(void)))
    for index, mask in enumerate(policy.obligations.masks):
        try:
            name = frame.column(mask.ref) if mask.if_present else frame.required(mask.ref)
            if name is not None:
                _cell_mask(mask, frame.types[name])
        except Void as void:
            found.append((("masks", index), str(void)))
    return found


_NOBODY = PrincipalInput(issuer="", subject="", participant="", country="", kind="")


def _leaves(rows: Rows | None, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Leaf]]:
    if isinstance(rows, AllOf | AnyOf):
        key = "all" if isinstance(rows, AllOf) else "any"
        for index, item in enumerate(rows.items):
            yield from _leaves(item, (*path, key, index))
    elif isinstance(rows, Not):
        yield from _leaves(rows.item, (*path, "not"))
    elif rows is not None:
        yield path, rows


def _condition(rows: Rows, frame: Frame) -> Condition:
    if isinstance(rows, AllOf):
        return Every(tuple(_condition(item, frame) for item in rows.items))
    if isinstance(rows, AnyOf):
        return Some(tuple(_condition(item, frame) for item in rows.items))
    if isinstance(rows, Not):
        return Inverse(_condition(rows.item, frame))
    return _test(rows, frame)


def _test(leaf: Leaf, frame: Frame) -> Test:
    name = frame.required(leaf.ref)
    type_ = frame.types[name]
    if leaf.op not in OPS[type_.family]:
        raise Void(Slug.OPERATOR_TYPE, f"operator {leaf.op} is not defined for {leaf.ref}, a {type_.sql}")
    return Test(name, type_, leaf.op, tuple(_literal(value, leaf, type_) for value in _values(leaf, frame.principal)))


def _values(leaf: Leaf, principal: PrincipalInput) -> tuple[object, ...]:
    """The values that the leaf compares with: one, several for `in` and `not_in`, none for the null tests."""
    if leaf.op.takes_nothing:
        return ()
    if not isinstance(leaf.operand, Claim):
        return leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)
    value = resolve(leaf.operand.path, principal)
    if value is None or value in ([], ()):
        raise Void(Slug.CLAIM_MISSING, f"the caller has no {leaf.operand.path}")
    if isinstance(value, list | tuple) is not leaf.op.takes_list:
        raise Void(Slug.CLAIM_TYPE, f"operator {leaf.op} does not take {leaf.operand.path} as the caller has it")
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _literal(value: object, leaf: Leaf, type_: ColumnType) -> Literal:
    found = literal(value, type_)
    if found is not None:
        return found
    if isinstance(leaf.operand, Claim):
        raise Void(Slug.CLAIM_TYPE, f"{leaf.operand.path} is not a value for {leaf.ref}, a {type_.sql}")
    raise Void(Slug.LITERAL_TYPE, f"the value compared with {leaf.ref} is not one for a {type_.sql}")


def _check_claims(rows: Rows, principal: PrincipalInput) -> None:
    if isinstance(rows, AllOf | AnyOf):
        for item in rows.items:
            _check_claims(item, principal)
    elif isinstance(rows, Not):
        _check_claims(rows.item, principal)
    else:
        _values(rows, principal)


def _masks(policy: Policy, frame: Frame) -> dict[str, CellMask]:
    masks: dict[str, CellMask] = {}
    for mask in policy.obligations.masks:
        name = frame.column(mask.ref) if mask.if_present else frame.required(mask.ref)
        if name is not None:
            wanted = _cell_mask(mask, frame.types[name])
            masks[name] = strictest(masks[name], wanted) if name in masks else wanted
    if policy.obligations.columns is not None:
        listed = {frame.column(ref) for ref in policy.obligations.columns}
        masks |= {name: DROP for name in frame.types if name not in listed}
    return masks


def _cell_mask(mask: Mask, type_: ColumnType) -> CellMask:
    if mask.kind is MaskKind.FIXED:
        typed = literal(mask.value, type_)
        text = mask.value if isinstance(mask.value, str) else None
        if typed is None and (text is None or type_.family is Family.OTHER):
            raise Void(Slug.MASK_TYPE, f"the fixed value for {mask.ref} is not one for a {type_.sql}")
        return CellMask(mask.kind, text, typed)
    if mask.kind is MaskKind.HASH and type_.family is Family.OTHER:
        raise Void(Slug.MASK_TYPE, f"hash is not defined for {mask.ref}, a {type_.sql}")
    if mask.kind is MaskKind.YEAR and type_.family not in _DATED:
        raise Void(Slug.MASK_TYPE, f"year is not defined for {mask.ref}, a {type_.sql}")
    return CellMask(mask.kind)
