"""The decision stage: who is let at which version, who is told what, and what an absent dataset looks like."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cedarpy
import pytest

from catalog.entities import DatasetStatus, PersonalData, VersionStatus
from datalab.flow.decision import Decider, touched
from datalab.flow.errors import DatasetUnknown, DecisionConflict, DecisionRefused, FlowError, PlanRefused
from datalab.flow.plan import require_rows
from datalab.flow.principal import Role
from datalab.flow.request import Mode, Query
from datalab.flow.sql.names import DatasetName
from policies.documents import parse
from policies.model import Action
from tests.flow.shelf import Shelf, dataset_of, member, version_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.add(dataset_of("cohort"), version_of("cohort", 1), version_of("cohort", 2))
    shelf.put(policy("open"))
    return shelf


@pytest.fixture
def decider(shelf: Shelf) -> Decider:
    return Decider(shelf, clock=Clock())


def policy(id_: str, name: str = "cohort", **more: Any) -> dict[str, Any]:
    scope = f"dataset:health/{name}"
    return {"id": id_, "title": "t", "scope": scope, "effect": "permit", "actions": ["query"]} | more


def query(**more: Any) -> Query:
    return Query(sql="", **more)


COHORT = DatasetName("health", "cohort")
OTHER = DatasetName("health", "other")


def code(error: pytest.ExceptionInfo[FlowError]) -> str:
    return error.value.code


def test_a_granted_query_is_a_decision_on_the_newest_version_with_its_files(decider: Decider) -> None:
    decision = decider.decide(member(), "health", "cohort")
    assert (decision.version.number, decision.action) == (2, Action.QUERY)
    assert decision.version.files
    assert [column.name for column in decision.shape.columns] == ["id", "Name"]


def test_the_trail_learns_which_policies_in_which_revision(decider: Decider) -> None:
    seen = touched(decider.decide(member(), "health", "cohort"))
    assert (seen.uid, seen.space, seen.name, seen.provider, seen.version) == (
        "uid-cohort",
        "health",
        "cohort",
        "clinic",
        2,
    )
    (used,) = seen.policies
    assert (used.id, used.revision, used.uid, used.level) == ("open", 7, "uid-open", "dataset:health/cohort")


def test_another_version_by_its_number(decider: Decider) -> None:
    assert decider.decide(member(), "health", "cohort", version=1).version.number == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (VersionStatus.WITHDRAWN, "decision.version_withdrawn"),
        (VersionStatus.BROKEN, "decision.version_broken"),
    ],
)
def test_a_version_that_is_not_served_is_a_conflict(
    shelf: Shelf, decider: Decider, status: VersionStatus, expected: str
) -> None:
    shelf.add(dataset_of("cohort"), version_of("cohort", 3, status=status))
    with pytest.raises(DecisionConflict) as refused:
        decider.decide(member(), "health", "cohort", version=3)
    assert code(refused) == expected
    assert decider.decide(member(), "health", "cohort").version.number == 2


def test_a_version_that_never_was_is_a_conflict(decider: Decider) -> None:
    with pytest.raises(DecisionConflict) as refused:
        decider.decide(member(), "health", "cohort", version=9)
    assert code(refused) == "decision.version_unknown"


def test_a_dataset_without_a_version_may_be_known_of_and_not_queried(shelf: Shelf, decider: Decider) -> None:
    shelf.add(dataset_of("other"))
    shelf.put(policy("other", "other", obligations={"rows": {"column": "id", "op": "eq", "value": 1}}))
    assert decider.sight(member(), "health", "other").version is None
    with pytest.raises(DecisionConflict) as refused:
        decider.decide(member(), "health", "other")
    assert code(refused) == "decision.no_version"


def test_discover_alone_is_refused_with_reasons(shelf: Shelf, decider: Decider) -> None:
    shelf.put(policy("open", actions=["discover"]))
    with pytest.raises(DecisionRefused) as refused:
        decider.decide(member(), "health", "cohort")
    assert code(refused) == "decision.refused"
    assert refused.value.detail["reasons"] == [
        {"slug": "provider_permits_nothing", "text": "no policy of the provider permits query"}
    ]


def test_a_refused_caller_does_not_learn_which_versions_are_broken(shelf: Shelf, decider: Decider) -> None:
    shelf.add(dataset_of("cohort"), version_of("cohort", 3, status=VersionStatus.BROKEN))
    shelf.put(policy("open", actions=["discover"]))
    with pytest.raises(DecisionRefused):
        decider.decide(member(), "health", "cohort", version=3)


HIDDEN = [
    pytest.param([], {}, id="no policy"),
    pytest.param([policy("open", when='principal.country == "FR"')], {}, id="a policy for others"),
    pytest.param([policy("open"), policy("no", effect="forbid", actions=["discover"])], {}, id="a forbid"),
    pytest.param([policy("open")], {"status": DatasetStatus.DRAFT}, id="a draft"),
    pytest.param([policy("open")], {"status": DatasetStatus.WITHDRAWN}, id="a withdrawn dataset"),
]


@pytest.mark.parametrize(("documents", "facts"), HIDDEN)
@pytest.mark.parametrize("number", [None, 1, 9])
def test_what_may_not_be_discovered_is_as_what_does_not_exist(
    documents: list[dict[str, Any]], facts: dict[str, Any], number: int | None
) -> None:
    answers = []
    for exists in (True, False):
        shelf = Shelf()
        if exists:
            shelf.add(dataset_of("cohort", **facts), version_of("cohort"))
            shelf.put(*documents)
        decider = Decider(shelf, clock=Clock())
        for _again in range(2):
            shelf.reads.clear()
            with pytest.raises(DatasetUnknown) as refused:
                decider.decide(member(), "health", "cohort", version=number)
            answers.append((refused.value.code, refused.value.sentence, dict(refused.value.detail), list(shelf.reads)))
    assert answers[:2] == answers[2:]
    assert answers[0][3], "the first time everything is read"
    assert "version files=True" not in answers[0][3], "how long that takes would tell"


def test_owners_see_their_own_records_and_get_no_data_by_it(shelf: Shelf, decider: Decider) -> None:
    shelf.records.clear()
    shelf.add(
        dataset_of("cohort", status=DatasetStatus.DRAFT, personal_data=PersonalData.SPECIAL), version_of("cohort")
    )
    sight = decider.sight(member("clinic"), "health", "cohort")
    assert (sight.owner, sight.whole, [column.name for column in sight.columns]) == (True, True, ["id", "Name"])
    with pytest.raises(DecisionRefused):
        decider.decide(member("clinic"), "health", "cohort")


def test_no_role_gives_access(shelf: Shelf, decider: Decider) -> None:
    shelf.records.clear()
    shelf.moved()
    with pytest.raises(DatasetUnknown):
        decider.sight(member(roles=frozenset(Role)), "health", "cohort")


@pytest.mark.parametrize("status", [DatasetStatus.DRAFT, DatasetStatus.WITHDRAWN])
def test_an_owner_cannot_query_what_is_not_published(shelf: Shelf, decider: Decider, status: DatasetStatus) -> None:
    shelf.add(dataset_of("cohort", status=status))
    with pytest.raises(DecisionConflict) as refused:
        decider.decide(member("clinic"), "health", "cohort")
    assert code(refused) == "decision.not_published"


def test_a_policy_speaks_of_the_dataset_its_lab_and_its_space(shelf: Shelf, decider: Decider) -> None:
    when = (
        'resource.space == "health" && resource.name == "cohort" && resource.lab == "lab" && resource.sector == "health"'
        ' && resource.provider == "clinic" && resource.ai_factory == "lumi" && resource.personal_data == "none"'
        ' && resource.roles == ["person_id"]'
        ' && principal.country == "DE" && principal.participant == "uni" && principal.kind == "research"'
        ' && principal.spaces.contains("health") && principal.roles.contains("member") && !principal.eu_funded_project'
        ' && !(principal has client_id) && principal.issuer == "local:" && principal.subject == "ada"'
        ' && principal.hasTag("groups") && principal.getTag("groups") == ["a", "5", "true"]'
    )
    shelf.add(dataset_of("cohort", roles={"person_id": "id"}))
    shelf.put(policy("open", when=when))
    assert decider.decide(member(claims={"groups": ["a", 5, True]}), "health", "cohort")
    with pytest.raises(DatasetUnknown):
        decider.decide(member(country="FR", claims={"groups": ["a", 5, True]}), "health", "cohort")
    with pytest.raises(DatasetUnknown):
        decider.decide(member(), "health", "cohort")


def test_policies_of_all_four_levels_are_asked(shelf: Shelf, decider: Decider) -> None:
    for scope in ("federation", "space:health", "lab:lab"):
        shelf.put(policy("extra", scope=scope, effect="forbid"))
        with pytest.raises(DecisionRefused) as refused:
            decider.decide(member(), "health", "cohort")
        assert refused.value.detail["reasons"][0]["slug"] == "forbidden"  # type: ignore[index] # JSON
    shelf.put(policy("extra", scope="space:other", effect="forbid"))
    assert decider.decide(member(), "health", "cohort")


def test_a_change_counts_at_the_next_decision(shelf: Shelf, decider: Decider) -> None:
    decider.decide(member(), "health", "cohort")
    shelf.put(policy("no", effect="forbid"))
    with pytest.raises(DecisionRefused):
        decider.decide(member(), "health", "cohort")


def test_what_depends_on_time_is_asked_each_time(shelf: Shelf) -> None:
    clock = Clock()
    decider = Decider(shelf, clock=clock)
    shelf.put(policy("open", when='context.now < datetime("2026-03-01T12:00:01Z")'))
    assert decider.decide(member(), "health", "cohort")
    clock.now = NOW + timedelta(seconds=1)
    with pytest.raises(DatasetUnknown):
        decider.decide(member(), "health", "cohort")


def test_what_does_not_change_is_read_once(shelf: Shelf, decider: Decider) -> None:
    decider.sight(member(), "health", "cohort")
    shelf.reads.clear()
    decider.sight(member(), "health", "cohort")
    assert shelf.reads == []


@pytest.mark.parametrize(
    "other",
    [
        member("lab"),
        member(country="FR"),
        member(subject="bob"),
        member(issuer="https://x"),
        member(client_id="c"),
        member(claims={"a": 1}),
        member(claims={"a": "1"}),
        member(spaces=frozenset()),
        member(roles=frozenset()),
    ],
)
def test_nothing_is_remembered_for_a_caller_who_differs(shelf: Shelf, decider: Decider, other: Any) -> None:
    decider.sight(member(), "health", "cohort")
    shelf.reads.clear()
    decider.sight(other, "health", "cohort")
    assert shelf.reads


def test_a_policy_that_cannot_be_evaluated_denies_and_is_logged(
    shelf: Shelf, decider: Decider, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put(policy("bad", effect="forbid", when="9223372036854775807 + 1 > 2"))
    with caplog.at_level(logging.ERROR, "datalab.decision"), pytest.raises(DatasetUnknown):
        decider.decide(member(), "health", "cohort")
    assert "uid-cohort" in caplog.text
    with pytest.raises(DecisionRefused) as refused:
        decider.decide(member("clinic"), "health", "cohort")
    assert refused.value.detail["reasons"][0]["slug"] == "policy_error"  # type: ignore[index] # JSON


def test_a_stored_document_that_no_longer_reads_denies_its_scope(
    shelf: Shelf, decider: Decider, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put(policy("old", scope="space:health", effect="forbid", actions=["look_at"]))
    with caplog.at_level(logging.ERROR, "datalab.decision"), pytest.raises(DatasetUnknown):
        decider.decide(member(), "health", "cohort")
    assert "space:health" in caplog.text


@pytest.fixture
def two(shelf: Shelf) -> Shelf:
    shelf.add(dataset_of("other"), version_of("other"))
    return shelf


AGGREGATE: dict[str, Any] = {"actions": ["aggregate"], "obligations": {"aggregate": {"min_group_size": 5}}}


def test_one_statement_has_one_action(two: Shelf, decider: Decider) -> None:
    two.put(policy("other", "other"))
    decisions = decider.decide_all(member(), [COHORT, OTHER], query())
    assert [decision.action for decision in decisions] == [Action.QUERY, Action.QUERY]
    two.put(policy("other", "other", **AGGREGATE))
    decisions = decider.decide_all(member(), [COHORT, OTHER], query())
    assert [decision.action for decision in decisions] == [Action.AGGREGATE, Action.AGGREGATE]
    assert [decision.aggregates_only for decision in decisions] == [False, True]


def test_the_lower_action_can_be_asked_for(decider: Decider) -> None:
    (decision,) = decider.decide_all(member(), [COHORT], query(mode=Mode.AGGREGATE))
    assert (decision.action, decision.aggregates_only) == (Action.AGGREGATE, False)


def test_who_asks_for_query_does_not_get_aggregate(two: Shelf, decider: Decider) -> None:
    two.put(policy("other", "other", **AGGREGATE))
    with pytest.raises(DecisionRefused) as refused:
        decider.decide_all(member(), [COHORT, OTHER], query(mode=Mode.QUERY))
    assert refused.value.detail["dataset"] == "health.other"


def test_datasets_that_share_no_action_are_refused_together(two: Shelf, decider: Decider) -> None:
    both = 'action == Action::"discover" || action == Action::"query"'
    two.put(policy("open", when=both), policy("other", "other", **AGGREGATE))
    with pytest.raises(DecisionRefused):
        decider.decide_all(member(), [COHORT, OTHER], query())


def test_an_unknown_dataset_comes_before_a_refused_one(two: Shelf, decider: Decider) -> None:
    two.put(policy("open", actions=["discover"]))
    with pytest.raises(DatasetUnknown):
        decider.decide_all(member(), [COHORT, OTHER], query())


def test_versions_are_pinned_by_name(decider: Decider) -> None:
    (decision,) = decider.decide_all(member(), [COHORT], query(versions={"health.cohort": 1}))
    assert decision.version.number == 1


def test_a_dataset_of_a_peer_is_unknown(decider: Decider) -> None:
    with pytest.raises(DatasetUnknown):
        decider.decide_all(member(), [DatasetName("health", "cohort", "peer")], query())


def test_the_schema_is_as_the_caller_sees_it(shelf: Shelf, decider: Decider) -> None:
    shelf.put(policy("open", obligations={"columns": ["id"], "masks": [{"column": "id", "with": "hash"}]}))
    (column,) = decider.schema_for(member(), "health", "cohort")
    assert (column.name, column.result.sql) == ("id", "VARCHAR")
    assert not decider.sight(member(), "health", "cohort").whole


def test_lists_hold_what_may_be_discovered_in_their_order(two: Shelf, decider: Decider) -> None:
    datasets = [dataset_of("other"), dataset_of("cohort"), dataset_of("gone")]
    assert decider.discoverable(member(), datasets) == (dataset_of("cohort"),)
    assert decider.discoverable(member("clinic"), datasets) == (dataset_of("other"), dataset_of("cohort"))


def test_drafts_are_ruled_on_without_being_in_force(shelf: Shelf, decider: Decider) -> None:
    stricter = parse(policy("open", actions=["discover"]))
    assert Action.QUERY in decider.ruling(member(), "health", "cohort").grants
    assert Action.QUERY not in decider.ruling(member(), "health", "cohort", drafts=[stricter]).grants
    assert Action.QUERY in decider.ruling(member(), "health", "cohort").grants


@pytest.mark.parametrize(
    ("obligations", "expected"),
    [
        ({"limits": {"max_rows": 5}}, None),
        ({"limits": {"queries_per_day": 5}}, "plan.quota_not_supported"),
        ({"aggregate": {"min_group_size": 1}}, "plan.aggregate_not_supported"),
    ],
)
def test_what_no_plan_can_hold_yet_is_refused(
    shelf: Shelf, decider: Decider, obligations: dict[str, Any], expected: str | None
) -> None:
    actions = ["aggregate"] if "aggregate" in obligations else ["query"]
    shelf.put(policy("open", actions=actions, obligations=obligations))
    (decision,) = decider.decide_all(member(), [COHORT], query())
    if expected is None:
        require_rows(decision)
        return
    with pytest.raises(PlanRefused) as refused:
        require_rows(decision)
    assert code(refused) == expected


def test_a_decision_compiles_the_policies_of_its_own_levels_alone(
    shelf: Shelf, decider: Decider, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(*(policy(f"other_{number}", f"other_{number}") for number in range(500)), policy("open"))
    compiled: list[str] = []
    from_str = cedarpy.PolicySet.from_str

    def compile_(text: str) -> cedarpy.PolicySet:
        compiled.append(text)
        return from_str(text)

    monkeypatch.setattr(cedarpy, "PolicySet", SimpleNamespace(from_str=compile_))
    for subject in ("ada", "bob"):
        decider.decide(member(subject=subject), "health", "cohort")
    assert [text.count("permit(") for text in compiled] == [1, 1, 1]  # discover, aggregate, query; nobody twice


def test_only_the_decision_stage_makes_decisions() -> None:
    root = Path(__file__).parents[2] / "datalab"
    makers = [file.name for file in root.rglob("*.py") if " Decision(" in file.read_text(encoding="utf-8")]
    assert makers == ["decision.py"]
