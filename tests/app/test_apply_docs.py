"""The page about documents: its example is accepted whole, and no field of any kind is missing from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datalab.app.apply.kinds import FORMS, Kind
from datalab.app.apply.reading import read
from datalab.app.apply.references import World, check
from datalab.app.apply.registered import Registered
from tests.app.rig import Applying
from tests.registry.world import MACHINE

PAGE = Path(__file__).parents[2] / "docs" / "apply.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    file = tmp_path / "example.yaml"
    file.write_text(block, encoding="utf-8")
    (tmp_path / "lake-secret-key").write_text("secret\n")
    monkeypatch.setenv("LAKE_ACCESS_KEY", "key")
    return file


def test_the_example_is_in_order(example: Path, applying: Applying) -> None:
    directory = read([example])
    assert directory.found == ()
    assert {entry.kind for entry in directory.entries} == set(Kind)
    world = World(directory.named(), Registered(applying.gateway, MACHINE), ())
    assert list(check(directory.entries, world)) == []


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.POLICY])
def test_every_field_of_a_kind_is_in_the_example(kind: Kind, example: Path) -> None:
    model = FORMS[kind].model
    assert model is not None
    shown = {
        name for entry in read([example]).entries if entry.kind is kind for name in entry.document.model_fields_set
    }
    assert shown == set(model.model_fields)
