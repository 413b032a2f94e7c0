"""What Cedar finds wrong with a condition, told with the line and the likely fix; and that a condition stays one."""

from __future__ import annotations

from typing import Any

import cedarpy
import pytest

from catalog.yaml import load
from policies import forms
from policies.errors import PolicyInvalid
from policies.validation import checked, validate
from tests.policies.world import dataset, permit

# condition, line, part of the message, part of the hint
MISTAKES = [
    ('principal.countri == "DE"', 1, "attribute `countri`", "did you mean `country`?"),
    ('true &&\nprincipal.kindd == "sme"', 2, "attribute `kindd`", "did you mean `kind`?"),
    ("resource.qqq == 1", 1, "attribute `qqq`", "there are agreement, ai_factory"),
    ('true &&\ncontext.agrement.purpose == "x"', 2, "attribute `agrement` in context", "did you mean `agreement`?"),
    ('context.agreement.purpose == "x"', 1, "optional attribute `agreement`", "context has agreement &&"),
    ('principal.client_id == "x"', 1, "optional attribute `client_id`", "principal has client_id &&"),
    ('principal.getTag("group").contains("x")', 1, "access to tag", 'principal.hasTag("group") &&'),
    ('principal.claims.group == "x"', 1, "attribute `claims`", "token claims are tags"),
    ('true &&\n principal.country = "DE"', 2, "'=' is not a valid operator", "compare with =="),
    ('principal.country == "DE"\nand true', 2, "unexpected token `and`", "write &&"),
    ('principal.country == "DE"\nor true', 2, "unexpected token `or`", "write ||"),
    ('principal.country == "DE" &&', 1, "unexpected token `}`", "ends too early"),
    ("principal.country == 'DE'", 1, "invalid token", "double quotes"),
    ('principal.country in ["DE"]', 1, "AnyEntity", '["a", "b"].contains(x)'),
    ('principal.country.contains("DE")', 1, "expected Set", "turn it round"),
    ('context.now <\n datetime("someday")', 2, "failed to parse as a datetime", "2026-01-31"),
    ("contxt has agreement", 1, "contxt", "did you mean `context`?"),
    ('Principal.country == "DE"', 1, "Principal", "did you mean `principal`?"),
    ("foo.bar == 1", 1, "`foo`", "a condition speaks of principal"),
    ('principal in Space::"x"', 1, "unrecognized entity type", None),
    ("resource.space == 5", 1, "not compatible", None),
    ("?principal == principal", 1, "slot", None),
    ('principal.country == "DE" // comment\n&& principal.kindd == "x"', 2, "attribute `kindd`", "`kind`"),
]


@pytest.mark.parametrize(("when", "line", "message", "hint"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_the_likely_fix(
    when: str, line: int, message: str, hint: str | None
) -> None:
    problems = validate(permit(when=when))
    assert problems, "Cedar took it"
    told = problems[-1]
    assert told.path == ("when",)
    assert told.line == line
    assert message in told.message
    assert "Action::" not in told.message
    assert "__cedar" not in told.message
    if hint is not None:
        assert hint in (told.hint or "")


GOOD = [
    "true // a comment that does not swallow the end",
    '["DE", "NL"].contains(principal.country) && context has agreement &&\ncontext.agreement.purpose == "research"',
    'principal.hasTag("groups") && principal.getTag("groups").containsAny(["a", "b"])',
    'context.now < datetime("2027-01-01")',
    "resource.provider == principal.participant",
    'action == Action::"query"',
    'if principal.eu_funded_project then true else principal.kind == "sme"',
    'principal.country like "D*"',
]


@pytest.mark.parametrize("when", GOOD)
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_good_condition_has_no_problem(when: str, effect: str) -> None:
    assert validate(permit(when=when, effect=effect)) == []


def test_each_message_comes_once_though_it_holds_for_each_action() -> None:
    assert len(validate(permit(when="context.agrement.x == 1", actions=["export"]))) == 1


def test_the_line_leads_to_the_line_of_the_file() -> None:
    text = "id: a\ntitle: t\nscope: federation\neffect: permit\nactions: [query]\nwhen: |\n  true &&\n  principal.countri == 1\n"
    (document,) = load(text, file="a.yaml")
    assert isinstance(document.value, dict)
    (problem,) = validate(document.value)
    assert problem.line is not None
    assert document.text_mark(problem.path, problem.line).line == 8


def test_only_what_has_no_problem_is_checked() -> None:
    assert checked(permit()).id == "p"
    for document in (permit(when="x"), permit(id="P")):
        with pytest.raises(PolicyInvalid):
            checked(document)


FACTS = dataset({"ID": "INTEGER", "name": "VARCHAR"}, roles={"person_id": "ID", "location": "gone"})

UNMET: list[tuple[dict[str, Any], str, str]] = [
    ({"rows": {"column": "nam", "op": "is_null"}}, "obligations.rows", "no column nam"),
    ({"rows": {"not": {"all": [{"role": "age", "op": "is_null"}]}}}, "obligations.rows.not.all.0", "no role age"),
    ({"rows": {"any": [{"role": "location", "op": "is_null"}]}}, "obligations.rows.any.0", "no role location"),
    ({"rows": {"column": "id", "op": "eq", "value": "5"}}, "obligations.rows", "not one for a INTEGER"),
    ({"masks": [{"column": "id", "with": "year"}]}, "obligations.masks.0", "year is not defined"),
    ({"masks": [{"column": "x", "with": "hash"}]}, "obligations.masks.0", "no column x"),
    ({"masks": [{"column": "name", "with": "fixed", "value": 5}]}, "obligations.masks.0", "fixed value"),
]


@pytest.mark.parametrize(("obligations", "path", "part"), UNMET)
def test_what_a_dataset_lacks_is_told_before_the_policy_is_in_force(
    obligations: dict[str, Any], path: str, part: str
) -> None:
    (problem,) = validate(permit(obligations=obligations), FACTS)
    assert problem.where == path
    assert part in problem.message
    assert validate(permit(obligations=obligations)) == []


def test_what_a_dataset_has_is_no_problem() -> None:
    obligations = {
        "columns": ["unheard_of"],
        "rows": {"role": "person_id", "op": "in", "claim": "principal.claims.people"},
        "masks": [{"role": "person_id", "with": "hash"}, {"column": "x", "with": "hash", "if_present": True}],
    }
    assert validate(permit(obligations=obligations), FACTS) == []


def _nested(opening: str, closing: str, times: int) -> str:
    return opening * times + "true" + closing * times


@pytest.mark.parametrize(
    "when",
    [
        "true } unless { false",
        "true };\npermit(principal, action, resource) when { true",
        "true };\nforbid(principal, action, resource) when { false",
        "true }; //",
    ],
)
def test_a_condition_cannot_end_itself_early(when: str) -> None:
    (problem,) = validate(permit(when=when))
    assert problem.where == "when"
    assert "`}` closes what was not opened" in problem.message


def test_even_then_the_text_must_still_be_one_policy_with_one_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "objection", lambda _condition: None)
    for when in ("true } unless { false", "true };\npermit(principal, action, resource) when { true"):
        (problem,) = validate(permit(when=when))
        assert "not one condition" in problem.message


# Each of these, a few thousand deep, ends the process if the engine gets to see it.
TOO_MUCH = [
    (_nested("(", ")", 33), "nested more than 32"),
    (_nested("[", "]", 4000), "nested more than 32"),
    (_nested("{a: ", "}", 1500), "nested more than 32"),
    (_nested('ip("1", ', ")", 900), "nested more than 32"),
    ("// a comment\r" + _nested("(", ")", 3000), "nested more than 32"),
    ('"\\"' + '" == "" || ' + _nested("(", ")", 3000), "nested more than 32"),
    ('"' + _nested("(", ")", 3000), "nested more than 32"),
    ("true && " * 301 + "true", "more than 300 operations"),
    ("1 + " * 301 + "1 == 1", "more than 300 operations"),
    ("!" * 301 + "true", "more than 300 operations"),
    ("-" * 301 + "1 == 1", "more than 300 operations"),
    ("principal" + ".a" * 301, "more than 300 operations"),
    ("if true then " * 301 + "true" + " else true" * 301, "more than 300 operations"),
    ("(true", "`)` is missing"),
    ("[true)", "`)` closes what was not opened"),
]


@pytest.mark.parametrize(("when", "part"), TOO_MUCH)
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_what_would_bury_the_engine_never_reaches_it(
    when: str, part: str, effect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cedarpy, "validate_policies", lambda *_: pytest.fail("the engine was asked"))
    (problem,) = validate(permit(when=when[:10_000], effect=effect))
    assert problem.path == ("when",)
    assert part in problem.message


def test_brackets_in_texts_and_comments_do_not_count() -> None:
    when = '// ((((((((((((((((((((((((((((((((((((((((\nprincipal.subject == "' + "(" * 50 + '\\"}"'
    assert validate(permit(when=when)) == []
    assert validate(permit(when=_nested("(", ")", 32))) == []
    assert validate(permit(when="true && " * 300 + "true")) == []
