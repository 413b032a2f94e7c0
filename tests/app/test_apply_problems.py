"""What is wrong with a directory: everything at once, each with file, line and column, and nothing written."""

from __future__ import annotations

import pytest

from tests.app.rig import Applying

GOOD = """\
    kind: participant
    id: clinic
    type: research
    legal_name: North Clinic
    country: NO
    status: verified
    """


def test_all_problems_of_all_files_are_told_at_once_and_nothing_is_written(applying: Applying) -> None:
    applying.write("a.yaml", GOOD)
    applying.write(
        "b/more.yaml",
        """\
        kind: participant
        id: uk_firm
        type: startupp
        legal_name: ""
        country: UK
        sector: health
        ---
        kind: dataset
        space: order
        name: cohort
        ---
        - not a mapping
        ---
        kind: startup
        ---
        id: nothing
        """,
    )
    applying.write("c.yaml", "a: [1\n")
    applying.write("d.yaml", "kind: participant\nid: x\nid: y\n")
    applying.write(
        "e.yaml",
        """\
        kind: policy
        id: p
        title: P
        scope: space:health
        effect: permit
        actions: [query]
        when: |
          principal.country == "DE" &&
            principal.contry == "FR"
        obligations:
          masks:
            - {column: a, with: hsh}
        """,
    )
    kinds = "participant, client, ai_factory, data_space, admission, data_lab, storage, dataset, policy"
    assert applying.refused() == [
        "b/more.yaml:3:7: type: This must be one of startup, scaleup, sme, midcap, large, research, public, ngo.",
        "b/more.yaml:4:13: legal_name: This must not be empty.",
        "b/more.yaml:5:10: country: `UK` is no ISO 3166-1 alpha-2 country code: use GB.",
        "b/more.yaml:6:1: sector: There is no such field.",
        "b/more.yaml:8:1: provider: This field is required.",
        "b/more.yaml:8:1: lab: This field is required.",
        "b/more.yaml:8:1: title: This field is required.",
        "b/more.yaml:8:1: storage: This field is required.",
        "b/more.yaml:8:1: location: This field is required.",
        "b/more.yaml:9:8: space: A name must not be `order`, which means something else in SQL: try `order_data`.",
        "b/more.yaml:12:1: A document is a mapping of fields to values.",
        f"b/more.yaml:14:7: kind: There is no such kind of document: it is one of {kinds}. (What a participant or storage is, is its `type`.)",
        f"b/more.yaml:16:1: A document says its `kind`: one of {kinds}.",
        "c.yaml:2:1: This is not valid YAML: expected ',' or ']', but got '<stream end>'.",
        "d.yaml:3:1: The key `id` stands here twice.",
        "e.yaml:12:25: obligations.masks.0.with: no mask `hsh` (did you mean `hash`?)",
    ]
    assert applying.gateway.notebook.records == []
    assert not (applying.home / "applied.json").exists()


def test_a_condition_s_problem_is_placed_on_its_own_line(applying: Applying) -> None:
    applying.write(
        "e.yaml",
        """\
        kind: policy
        id: p
        title: P
        scope: federation
        effect: forbid
        actions: [query]
        when: |
          principal.country == "DE" &&
            principal.contry == "FR"
        """,
    )
    (problem,) = applying.refused()
    assert problem.startswith("e.yaml:9:")
    assert "did you mean `country`?" in problem


def test_the_same_thing_twice_is_a_problem_that_names_both_places(applying: Applying) -> None:
    applying.write("a.yaml", GOOD)
    applying.write("b.yaml", GOOD)
    (problem,) = applying.refused()
    assert problem == "b.yaml:1:1: participant clinic stands at a.yaml:1:1 already."


def test_an_empty_or_missing_place_is_a_problem(applying: Applying) -> None:
    (problem,) = applying.refused()
    assert problem.endswith("There are no YAML files here.")
    applying.directory.rmdir()
    (problem,) = applying.refused()
    assert problem.endswith("The file cannot be read: No such file or directory.")


SPACE = """\
    kind: ai_factory
    id: lumi
    name: LUMI
    host: CSC
    place: Kajaani
    country: FI
    ---
    kind: data_space
    id: health
    title: {en: Health}
    sector: health
    """
LAB = """\
    kind: admission
    space: health
    participant: clinic
    role: lab
    ---
    kind: admission
    space: health
    participant: clinic
    role: provider
    ---
    kind: data_lab
    id: north
    title: {en: North}
    home: lumi
    spaces: [health]
    operator: clinic
    ---
    kind: storage
    id: disk
    type: local
    participant: clinic
    root: ./files
    ---
    kind: dataset
    space: health
    name: cohort
    provider: clinic
    lab: north
    title: {en: Cohort}
    storage: disk
    location: cohort/
    """


@pytest.fixture
def fitting(applying: Applying) -> Applying:
    applying.write("a.yaml", GOOD)
    applying.write("b.yaml", SPACE)
    applying.write("c.yaml", LAB)
    applying.write("files/cohort/one.parquet", "one")
    return applying


def test_what_fits_together_has_no_problem(fitting: Applying) -> None:
    assert fitting.refused() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problems"),
    [
        ("a.yaml", "status: verified", "status: applied", 5),
        ("c.yaml", "home: lumi", "home: luma", 1),
        ("c.yaml", "home: lumi", "home: lumi\n    partners: [bsc]", 1),
        ("c.yaml", "spaces: [health]", "spaces: [health, energy]", 1),
        ("c.yaml", "role: lab", "role: developer", 1),
        ("c.yaml", "role: provider", "role: developer", 1),
        ("c.yaml", "operator: clinic", "operator: nobody", 2),
        ("c.yaml", "storage: disk", "storage: other", 1),
        ("c.yaml", "lab: north", "lab: south", 1),
        ("c.yaml", "root: ./files", "root: /etc", 1),
        ("c.yaml", "root: ./files", "root: ./nowhere", 1),
        ("c.yaml", "location: cohort/", "location: elsewhere/\n    status: published", 1),
        ("c.yaml", "location: cohort/", "location: cohort/\n    status: withdrawn", 1),
        ("b.yaml", "sector: health", "sector: health\n    operator: nobody", 1),
        ("b.yaml", "country: FI", "country: FI\n    type: antenna\n    factory: nowhere", 1),
    ],
)
def test_what_leads_nowhere_is_found_before_the_first_write(
    fitting: Applying, file: str, old: str, new: str, problems: int
) -> None:
    text = {"a.yaml": GOOD, "b.yaml": SPACE, "c.yaml": LAB}[file]
    assert old in text
    fitting.write(file, text.replace(old, new, 1))
    assert len(fitting.refused()) == problems
    assert fitting.gateway.notebook.records == []


def test_a_client_of_nobody_and_a_policy_over_nothing_are_found(fitting: Applying) -> None:
    fitting.write(
        "d.yaml",
        """\
        kind: client
        participant: nobody
        name: x
        roles: [member]
        scopes: [catalog:read]
        ---
        kind: policy
        id: p
        title: P
        scope: dataset:health/nothing
        effect: forbid
        actions: [export]
        """,
    )
    assert fitting.refused() == [
        "d.yaml:2:14: participant: There is no such participant.",
        "d.yaml:10:8: scope: This scope binds nothing that is or will be registered.",
    ]


def test_roles_and_scopes_are_words_we_know(fitting: Applying) -> None:
    fitting.write(
        "d.yaml",
        """\
        kind: client
        participant: clinic
        name: x
        roles: [root]
        scopes: []
        """,
    )
    assert fitting.refused() == [
        "d.yaml:4:9: roles.0: This must be one of member, participant_admin, auditor, gateway_operator.",
        "d.yaml:5:9: scopes: This must not be empty.",
    ]


def test_what_cannot_change_is_found(fitting: Applying) -> None:
    client = """\
        kind: client
        participant: clinic
        name: x
        roles: [member]
        scopes: [catalog:read]
        """
    fitting.write("d.yaml", client)
    fitting.write("e.yaml", GOOD.replace("clinic", "other"))
    fitting.run()
    fitting.write("d.yaml", client.replace("[member]", "[auditor]"))
    fitting.write("c.yaml", LAB.replace("participant: clinic\n    root", "participant: other\n    root"))
    assert fitting.refused() == [
        "c.yaml:21:14: participant: A storage keeps its participant.",
        "c.yaml:30:10: storage: The provider has no such storage.",
        "d.yaml:4:8: roles: The roles of a client do not change: give the client another name, or revoke it first.",
    ]


def test_a_secret_that_cannot_be_had_is_a_problem_that_does_not_show_it(
    fitting: Applying, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = """\
        kind: storage
        id: lake
        type: s3
        participant: clinic
        endpoint: http://127.0.0.1:1
        bucket: lake
        credentials: {access_key: {env: LAKE_KEY}, secret_key: {file: missing}}
        """
    fitting.write("d.yaml", lake)
    assert fitting.refused() == [
        "d.yaml:7:27: credentials.access_key: The environment has no variable LAKE_KEY.",
        "d.yaml:7:56: credentials.secret_key: The file with the secret cannot be read.",
    ]
    monkeypatch.setenv("LAKE_KEY", "hunter 2")
    fitting.write("missing", "hunter3")
    (problem,) = fitting.refused()
    assert problem == "d.yaml:7:27: credentials.access_key: This is no key: printable ASCII without spaces."
    fitting.write("d.yaml", lake.replace("{env: LAKE_KEY}", "{environment: LAKE_KEY}"))
    (problem,) = fitting.refused()
    assert problem.endswith("A secret is text, {env: NAME} or {file: PATH}.")


def test_an_endpoint_the_operator_does_not_allow_is_found(fitting: Applying) -> None:
    fitting.write(
        "d.yaml",
        """\
        kind: storage
        id: lake
        type: s3
        participant: clinic
        endpoint: http://169.254.169.254
        bucket: lake
        """,
    )
    (problem,) = fitting.refused()
    assert problem.startswith("d.yaml:5:11: endpoint: ")
