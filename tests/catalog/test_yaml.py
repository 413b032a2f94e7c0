"""YAML: plain values with their places, and nothing that YAML can do besides."""

from __future__ import annotations

import pytest

from catalog.errors import YamlRefused
from catalog.yaml import load

TEXT = """\
# a comment
kind: participant
country: NO
status: yes
since: 2024-01-31
at: 12:30
numbers: [1, 010, 0x1F, 1.5, 1e3, +5]
nothing: ~
flag: true
no: tittel
when: |
  first line
    second line
folded: >
  first
  second
---
# nothing here
---
- a: 1
  b: {c: [x, y]}
"""


def test_values_are_those_of_json() -> None:
    first, second = load(TEXT, file="demo.yaml")
    assert first.value == {
        "kind": "participant",
        "country": "NO",
        "status": "yes",
        "since": "2024-01-31",
        "at": "12:30",
        "numbers": [1, 10, 31, 1.5, 1000.0, 5],
        "nothing": None,
        "flag": True,
        "no": "tittel",
        "when": "first line\n  second line\n",
        "folded": "first second\n",
    }
    assert second.value == [{"a": 1, "b": {"c": ["x", "y"]}}]


def test_every_value_and_key_has_its_place() -> None:
    first, second = load(TEXT, file="demo.yaml")
    assert str(first.mark(("country",))) == "demo.yaml:3:10"
    assert str(first.key_mark(("country",))) == "demo.yaml:3:1"
    assert str(first.mark(("numbers", 2))) == "demo.yaml:7:19"
    assert str(second.mark((0, "b", "c", 1))) == "demo.yaml:21:14"


def test_a_place_that_does_not_exist_is_that_of_what_surrounds_it() -> None:
    first, second = load(TEXT, file="demo.yaml")
    assert str(first.mark(("missing",))) == "demo.yaml:2:1"
    assert str(second.mark((0, "b", "missing", 7))) == "demo.yaml:21:6"
    assert str(second.key_mark((0, "missing"))) == "demo.yaml:20:3"


def test_a_line_inside_a_block_text_has_its_place() -> None:
    first, _ = load(TEXT, file="demo.yaml")
    assert str(first.text_mark(("when",), 1)) == "demo.yaml:12:3"
    assert str(first.text_mark(("when",), 2, 5)) == "demo.yaml:13:7"
    assert str(first.text_mark(("folded",), 2)) == "demo.yaml:14:9"


def test_an_alias_stands_for_its_value() -> None:
    (document,) = load("a: &x [1, 2]\nb: *x\n", file="f")
    assert document.value == {"a": [1, 2], "b": [1, 2]}


def _laughs() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdef", "bcdefg", strict=True)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", "2:11", "The key `c` stands here twice."),
        ("a: [1\nb: 2", "2:2", "not valid YAML"),
        ("\ta: 1", "1:1", "not valid YAML"),
        ("a: *nowhere", "1:4", "undefined alias"),
        ("a: &x [*x]", "1:4", "An alias contains itself."),
        ("a: &x {b: *x}", "1:4", "An alias contains itself."),
        ("a: !!python/object/apply:os.system [id]", "1:4", "Tags such as"),
        ("a: !!python/name:os.system", "1:4", "Tags such as"),
        ("a: !!binary aGk=", "1:4", "Tags such as"),
        ("a: !!set {b}", "1:4", "Tags such as"),
        ("a: !own 1", "1:4", "Tags such as"),
        ("a: !!int x", "1:4", "Tags such as"),
        ("a: !!bool x", "1:4", "Tags such as"),
        ("x: &x {a: 1}\n<<: *x", "2:1", "Merge keys"),
        ("1: x", "1:1", "A key must be text"),
        ("true: x", "1:1", "A key must be text"),
        ("? [a]\n: x", "1:3", "A key must be text"),
        ("a: .inf", "1:4", "Infinite"),
        ("a: .nan", "1:4", "Infinite"),
        ("a: 1e999", "1:4", "too large"),
        ("a: " + "9" * 5000, "1:4", "too long"),
        ("[" * 500_000, "1:41", "more than 40 levels"),
        ("a: x\nb: \x00", "2:1", "does not allow"),
        ("x" * (1 << 20) + "x", "1:1", "longer than"),
        (_laughs(), "1:8", "more than 50000 values"),
        (b"a: 1\nb: \xff", "2:1", "not UTF-8"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_place(text: str | bytes, place: str, sentence: str) -> None:
    with pytest.raises(YamlRefused) as refused:
        load(text, file="f")
    assert refused.value.code == "catalog.yaml"
    assert sentence in refused.value.sentence
    assert str(refused.value.mark) == f"f:{place}"


def test_a_refused_text_is_not_quoted() -> None:
    with pytest.raises(YamlRefused) as refused:
        load("secret_key: hunter2: x", file="f")
    assert "hunter2" not in refused.value.sentence
