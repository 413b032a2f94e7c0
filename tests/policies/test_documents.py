"""The document's form: what is accepted, and what each mistake is told."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

import pytest

from policies.documents import parse
from policies.errors import PolicyInvalid, Problem
from policies.model import (
    Action,
    AllOf,
    AnyOf,
    Claim,
    Effect,
    Leaf,
    Level,
    Limits,
    Mask,
    MaskKind,
    Not,
    Obligations,
    Op,
    Policy,
    Ref,
    Scope,
    forbidden_by,
    permitted_by,
)

WHOLE: dict[str, Any] = {
    "id": "health_secondary_use",
    "title": "Secondary use of health data for research",
    "scope": "space:health",
    "effect": "permit",
    "actions": ["query"],
    "when": 'principal.country == "DE"',
    "obligations": {
        "columns": ["age", {"role": "person_id"}],
        "rows": {
            "all": [
                {"column": "year", "op": "ge", "value": 1980},
                {"any": [{"role": "location", "op": "in", "claim": "principal.spaces"}]},
                {"not": {"column": "age", "op": "is_null"}},
                {"column": "grade", "op": "in", "value": ["a", "b"]},
            ]
        },
        "masks": [
            {"role": "person_id", "with": "hash"},
            {"column": "birth", "with": "year", "if_present": True},
            {"column": "name", "with": "fixed", "value": "x"},
            {"column": "note", "with": None},
        ],
        "limits": {"max_rows": 100_000, "queries_per_day": 500},
    },
}


def test_a_document_with_everything_says_everything() -> None:
    assert parse(WHOLE) == Policy(
        id="health_secondary_use",
        title="Secondary use of health data for research",
        scope=Scope(Level.SPACE, "health"),
        effect=Effect.PERMIT,
        actions=frozenset({Action.QUERY}),
        when='principal.country == "DE"',
        obligations=Obligations(
            columns=(Ref("age"), Ref("person_id", is_role=True)),
            rows=AllOf(
                (
                    Leaf(Ref("year"), Op.GE, 1980),
                    AnyOf((Leaf(Ref("location", is_role=True), Op.IN, Claim("principal.spaces")),)),
                    Not(Leaf(Ref("age"), Op.IS_NULL)),
                    Leaf(Ref("grade"), Op.IN, ("a", "b")),
                )
            ),
            masks=(
                Mask(ref=Ref("person_id", is_role=True), kind=MaskKind.HASH),
                Mask(ref=Ref("birth"), kind=MaskKind.YEAR, if_present=True),
                Mask(ref=Ref("name"), kind=MaskKind.FIXED, value="x"),
                Mask(ref=Ref("note"), kind=MaskKind.NULL),
            ),
            limits=Limits(max_rows=100_000, queries_per_day=500),
        ),
    )


def test_a_minimum_group_belongs_to_aggregate() -> None:
    document = WHOLE | {"actions": ["aggregate"], "obligations": {"aggregate": {"min_group_size": 10}}}
    assert parse(document).obligations.min_group_size == 10


@pytest.mark.parametrize(
    ("scope", "level"),
    [("federation", "federation"), ("space:a", "space"), ("lab:a_1", "lab"), ("dataset:a/b", "dataset")],
)
def test_scopes(scope: str, level: str) -> None:
    parsed = parse(WHOLE | {"scope": scope}).scope
    assert (parsed.level, str(parsed)) == (level, scope)


def test_dates_that_a_reader_of_yaml_made_are_text_again() -> None:
    rows: dict[str, Any] = {"column": "day", "op": "in", "value": [dt.date(2024, 1, 31)]}
    document = WHOLE | {"obligations": {"rows": rows}}
    assert parse(document).obligations.rows == Leaf(Ref("day"), Op.IN, ("2024-01-31",))
    rows = {"column": "day", "op": "eq", "value": dt.datetime(2024, 1, 31, 1, 2, 3, tzinfo=dt.UTC)}
    document = WHOLE | {"obligations": {"rows": rows}}
    assert parse(document).obligations.rows == Leaf(Ref("day"), Op.EQ, "2024-01-31T01:02:03+00:00")


LEAF = ("obligations", "rows", "all", 0)
DELETE = object()

# what is changed, to what, the path that is told, a part of what is told
MISTAKES: list[tuple[tuple[str | int, ...], object, str, str]] = [
    (("id",), DELETE, "id", "this key is missing"),
    (("id",), "Health", "id", "lower-case letter"),
    (("id",), "a" * 64, "id", "lower-case letter"),
    (("id",), 5, "id", "string"),
    (("title",), "", "title", "at least 1 character"),
    (("title",), " ", "title", "blank"),
    (("title",), "a\0", "title", "NUL"),
    (("scope",), "space:Health", "scope", "a scope is"),
    (("scope",), "dataset:health", "scope", "a scope is"),
    (("scope",), "federation:x", "scope", "a scope is"),
    (("effect",), "allow", "effect", "'permit' or 'forbid'"),
    (("actions",), [], "actions", "at least 1 item"),
    (("actions",), ["read"], "actions", "no action `read` (there are discover, aggregate, query, export)"),
    (("actions",), ["querry"], "actions", "did you mean `query`?"),
    (("when",), "", "when", "at least 1 character"),
    (("when",), "\n", "when", "blank"),
    (("when",), "x" * 10_001, "when", "at most 10000"),
    (("wen",), "true", "wen", "unknown key `wen` (did you mean `when`?)"),
    (("obligations", "row"), {}, "obligations.row", "did you mean `rows`?"),
    (("obligations", "columns"), [], "obligations.columns", "at least 1 item"),
    (("obligations", "columns"), [5], "obligations.columns.0", "string"),
    (("obligations", "columns"), [{"rol": "x"}], "obligations.columns.0.rol", "unknown key"),
    (("obligations", "rows"), {"all": []}, "obligations.rows.all", "at least 1 item"),
    (("obligations", "rows"), {"any": []}, "obligations.rows.any", "at least 1 item"),
    (("obligations", "rows"), {"all": [], "any": []}, "obligations.rows.any", "unknown key `any`"),
    (("obligations", "rows"), [], "obligations.rows", "dictionary"),
    ((*LEAF, "op"), "gte", "obligations.rows.all.0.op", "did you mean `gt`?"),
    ((*LEAF, "op"), DELETE, "obligations.rows.all.0.op", "this key is missing"),
    ((*LEAF, "role"), "x", "obligations.rows.all.0", "exactly one of `column` and `role`"),
    ((*LEAF, "column"), DELETE, "obligations.rows.all.0", "exactly one of `column` and `role`"),
    ((*LEAF, "value"), DELETE, "obligations.rows.all.0", "`ge` takes exactly one of `value` and `claim`"),
    ((*LEAF, "value"), None, "obligations.rows.all.0", "`ge` takes exactly one of `value` and `claim`"),
    ((*LEAF, "claim"), "principal.country", "obligations.rows.all.0", "exactly one of `value` and `claim`"),
    ((*LEAF, "value"), [1], "obligations.rows.all.0", "`ge` takes one value"),
    ((*LEAF, "value"), {"a": 1}, "obligations.rows.all.0.value", "a text, a number, true or false"),
    ((*LEAF, "value"), float("nan"), "obligations.rows.all.0.value", "finite"),
    ((*LEAF, "value"), "a\0", "obligations.rows.all.0.value", "NUL"),
    ((*LEAF, "value"), "a" * 4001, "obligations.rows.all.0.value", "4000"),
    (("obligations", "rows", "all", 3, "value"), "a", "obligations.rows.all.3", "`in` takes a list of values"),
    (("obligations", "rows", "all", 3, "value"), [], "obligations.rows.all.3.value", "1 to 1000"),
    (("obligations", "rows", "all", 3, "value"), ["a"] * 1001, "obligations.rows.all.3.value", "1 to 1000"),
    (
        ("obligations", "rows", "all", 3, "value"),
        ["SE", False],
        "obligations.rows.all.3.value",
        "quote words such as NO",
    ),
    (("obligations", "rows", "all", 3, "value"), ["SE", None], "obligations.rows.all.3.value", "a text, a number"),
    (("obligations", "rows", "all", 2, "not", "value"), 1, "obligations.rows.all.2.not", "neither `value` nor `claim`"),
    (
        ("obligations", "rows", "all", 1, "any", 0, "claim"),
        "principal.contry",
        "obligations.rows.all.1.any.0.claim",
        "did you mean `principal.country`?",
    ),
    (
        ("obligations", "rows", "all", 1, "any", 0, "claim"),
        "principal.claims.",
        "obligations.rows.all.1.any.0.claim",
        "no claim",
    ),
    (("obligations", "masks", 0, "with"), "hsh", "obligations.masks.0.with", "did you mean `hash`?"),
    (("obligations", "masks", 0, "with"), "clear", "obligations.masks.0.with", "leave the mask out"),
    (("obligations", "masks", 0, "with"), "bucket", "obligations.masks.0.with", "not supported yet"),
    (("obligations", "masks", 0, "with"), DELETE, "obligations.masks.0.with", "this key is missing"),
    (("obligations", "masks", 0, "value"), "x", "obligations.masks.0", "the other masks take none"),
    (("obligations", "masks", 2, "value"), DELETE, "obligations.masks.2", "`fixed` needs a `value`"),
    (("obligations", "masks", 2, "value"), [1], "obligations.masks.2.value", "a text, a number"),
    (("obligations", "masks", 1, "if_present"), "yes", "obligations.masks.1.if_present", "boolean"),
    (("obligations", "masks", 1, "column"), DELETE, "obligations.masks.1", "exactly one of `column` and `role`"),
    (("obligations", "limits", "max_rows"), 0, "obligations.limits.max_rows", "greater than or equal to 1"),
    (("obligations", "limits", "max_rows"), "5", "obligations.limits.max_rows", "integer"),
    (("obligations", "limits", "max_rows"), True, "obligations.limits.max_rows", "integer"),
    (("obligations", "limits", "queries_per_day"), -1, "obligations.limits.queries_per_day", "greater than"),
    (("obligations", "limits", "max_row"), 5, "obligations.limits.max_row", "did you mean `max_rows`?"),
    (("obligations", "aggregate"), {"min_group_size": 5}, "", "split the permit"),
    (("obligations", "aggregate"), {"min_group_size": 0}, "obligations.aggregate.min_group_size", "greater than"),
    (("actions",), ["discover"], "", "of the obligations it can only have `columns`"),
    (("actions",), ["aggregate"], "", "needs `obligations.aggregate.min_group_size`"),
    (("effect",), "forbid", "", "a forbid has no obligations"),
]


@pytest.mark.parametrize(("path", "value", "told", "part"), MISTAKES)
def test_a_mistake_is_told_where_it_is(path: tuple[str | int, ...], value: object, told: str, part: str) -> None:
    document: Any = copy.deepcopy(WHOLE)
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(PolicyInvalid) as invalid:
        parse(document)
    assert any(problem.where == told and part in str(problem) for problem in invalid.value.problems), invalid.value


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(PolicyInvalid) as invalid:
        parse(WHOLE | {"id": "A", "scope": "x", "efect": "permit"})
    assert [problem.where for problem in invalid.value.problems] == ["id", "scope", "efect"]
    assert invalid.value.code == "policy.invalid"
    problems = invalid.value.detail["problems"]
    assert isinstance(problems, list)
    assert problems[2] == {
        "path": "efect",
        "line": None,
        "message": "unknown key `efect`",
        "hint": "did you mean `effect`?",
    }


def _deep(levels: int) -> dict[str, Any]:
    rows: dict[str, Any] = {"column": "a", "op": "is_null"}
    for _ in range(levels):
        rows = {"not": rows}
    return WHOLE | {"obligations": {"rows": rows}}


def test_depth_and_size_are_bounded() -> None:
    assert parse(_deep(13))
    for document in (_deep(14), _deep(100_000), WHOLE | {"x": [0] * 5001}):
        with pytest.raises(PolicyInvalid, match="too deeply or too large"):
            parse(document)


@pytest.mark.parametrize("document", [[], "x", None, 5, {1: 2}, {None: {}}])
def test_what_is_no_mapping_of_names_is_refused(document: Any) -> None:
    with pytest.raises(PolicyInvalid):
        parse(document)


def test_a_permit_reaches_down_and_a_forbid_up() -> None:
    assert permitted_by([Action.AGGREGATE]) == {Action.DISCOVER, Action.AGGREGATE}
    assert permitted_by([Action.DISCOVER, Action.QUERY]) == {Action.DISCOVER, Action.AGGREGATE, Action.QUERY}
    assert forbidden_by([Action.QUERY]) == {Action.QUERY, Action.EXPORT}
    assert forbidden_by([Action.AGGREGATE, Action.EXPORT]) == {Action.AGGREGATE, Action.QUERY, Action.EXPORT}


def test_masks_are_in_the_order_of_their_strictness() -> None:
    assert [kind.value for kind in MaskKind] == (
        ["drop", "null", "fixed", "hash", "bucket", "round", "year", "month", "last4", "clear"]
    )
    assert MaskKind.DROP.leniency < MaskKind.NULL.leniency < MaskKind.CLEAR.leniency


def test_a_problem_reads_as_a_sentence() -> None:
    assert str(Problem(path=("when",), message="no", hint="yes", line=2)) == "when line 2: no (yes)"
    assert str(Problem(path=(), message="no")) == "no"
