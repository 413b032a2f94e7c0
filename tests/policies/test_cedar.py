"""Asking Cedar: only of what concerns, never trusting an answer with an error, and compiled once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cedarpy
import pytest

from policies import cedar
from policies.cedar import Question, Slice, compose
from policies.documents import parse
from policies.inputs import ContextInput
from policies.model import Action
from tests.policies.world import NOW, PRINCIPAL, dataset, forbid, permit


def question(**principal: Any) -> Question:
    return Question(replace(PRINCIPAL, **principal), dataset(), ContextInput(now=NOW))


def test_the_composed_text_names_the_actions_in_their_order() -> None:
    assert compose(parse(permit(when="true // x"))) == (
        '@id("p")\npermit(principal, action in [Action::"discover", Action::"aggregate", Action::"query"], resource)'
        " when {\ntrue // x\n};\n"
    )
    assert compose(parse(forbid())) == (
        '@id("f")\nforbid(principal, action in [Action::"query", Action::"export"], resource);\n'
    )


def test_matching_policies_come_in_their_order_whatever_their_ids() -> None:
    ids = [f"p{number}" for number in range(12)]
    policies = Slice(parse(permit(id_, when="true" if id_ != "p3" else "false")) for id_ in ids)
    answer = policies.ask(Action.QUERY, question())
    assert [policy.id for policy in answer.permits] == [id_ for id_ in ids if id_ != "p3"]
    assert (answer.forbids, answer.error) == ((), False)


def test_an_action_that_no_policy_concerns_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: pytest.fail("asked"))
    assert Slice([parse(permit())]).ask(Action.EXPORT, question()) == cedar.Answer()
    assert Slice([]).ask(Action.DISCOVER, question()) == cedar.Answer()


def test_policies_are_compiled_once_per_action(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def compile_(text: str) -> cedarpy.PolicySet:
        compiled.append(text)
        return original(text)

    original = cedarpy.PolicySet.from_str
    monkeypatch.setattr(cedarpy, "PolicySet", SimpleNamespace(from_str=compile_))
    policies = Slice([parse(permit())])
    for _ in range(3):
        assert policies.ask(Action.QUERY, question()).permits
    assert len(compiled) == 1


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(("Allow", ["an error"]), id="allowed with an error"),
        pytest.param(("Deny", ["an error"]), id="denied with an error"),
        pytest.param(("NoDecision", []), id="no decision"),
    ],
)
def test_only_a_clean_answer_counts(monkeypatch: pytest.MonkeyPatch, result: tuple[str, list[str]]) -> None:
    decision, errors = result
    diagnostics = {"errors": errors, "reason": ["policy0"], "id_annotations_by_reason": {"policy0": "0"}}
    answer = cedarpy.AuthzResult({"decision": decision, "diagnostics": diagnostics})
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: answer)
    assert Slice([parse(permit())]).ask(Action.QUERY, question()) == cedar.Answer(error=True)


def test_a_forbid_that_cedar_skips_is_an_error_here() -> None:
    policies = [parse(permit()), parse(forbid(when="9223372036854775807 + 1 > 2"))]
    text = "".join(compose(policy) for policy in policies)
    asked = question()
    request = asked.request(Action.QUERY)
    assert cedarpy.is_authorized(request, text, asked.entities, cedar.SCHEMA).allowed, "Cedar fails open here"
    assert Slice(policies).ask(Action.QUERY, asked) == cedar.Answer(error=True)


def test_a_condition_that_does_not_parse_is_an_error() -> None:
    assert Slice([replace(parse(permit()), when="principal.")]).ask(Action.QUERY, question()).error


def test_a_condition_that_brings_another_policy_is_an_error() -> None:
    smuggled = "false };\npermit(principal, action, resource) when { true"
    assert Slice([replace(parse(permit()), when=smuggled)]).ask(Action.QUERY, question()).error


def test_a_condition_that_no_longer_fits_the_schema_is_an_error() -> None:
    assert Slice([replace(parse(forbid()), when="context.risk > 5")]).ask(Action.QUERY, question()).error


def test_what_stored_policies_cannot_be_read_is_an_error_for_every_action() -> None:
    broken = Slice(broken=True)
    assert broken.closed
    assert all(broken.ask(action, question()).error for action in Action)


def test_a_caller_that_does_not_fit_the_schema_is_an_error() -> None:
    assert Slice([parse(permit())]).ask(Action.QUERY, question(country=None)).error
    assert Slice([parse(permit())]).ask(Action.QUERY, question(claims={"x": "\ud800"})).error


@pytest.mark.parametrize(
    ("claim", "texts"),
    [
        ("a", '["a"]'),
        (["a", "b", "a"], '["a", "b"]'),
        (5, '["5"]'),
        (True, '["true"]'),
        (1.5, '["1.5"]'),
        ([1, False, "x"], '["1", "false", "x"]'),
        ({"a": 1}, "[principal.issuer]"),
        (None, "[principal.issuer]"),
    ],
)
def test_claims_are_sets_of_texts(claim: object, texts: str) -> None:
    when = f'principal.hasTag("c") && principal.getTag("c") == {texts}'
    answer = Slice([parse(permit(when=when))]).ask(Action.QUERY, question(claims={"c": claim}))
    assert not answer.error
    assert bool(answer.permits) is (texts != "[principal.issuer]")


def test_whether_answers_change_with_time_is_known() -> None:
    timely = parse(permit(when='context.now > datetime("2024-01-01")'))
    assert Slice([timely]).depends_on_context
    assert not Slice([parse(permit()), parse(forbid(when="true"))]).depends_on_context
