"""`datalab apply` on a real home: what it prints, what it asks, how it ends."""

from __future__ import annotations

import json
import stat
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from datalab.app.apply.inventory import opened
from datalab.app.foundation import open_foundation
from datalab.app.home import open_home
from datalab.app.init import initialise
from datalab.app.settings import read_settings
from datalab.cli.main import main

CATALOGUE = """\
    kind: participant
    id: clinic
    type: research
    legal_name: North Clinic
    country: NO
    status: verified
    ---
    kind: client
    participant: clinic
    name: Pipeline
    roles: [member]
    scopes: [data:query]
    ---
    kind: admission
    space: health
    participant: clinic
    role: provider
    ---
    kind: admission
    space: health
    participant: clinic
    role: lab
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
    location: cohort.parquet
    status: published
    """


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    home: Path
    directory: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *options: str, files: Sequence[Path] = ()) -> Ended:
        given = [part for path in files or [self.directory] for part in ("-f", str(path))]
        with pytest.raises(SystemExit) as ended:
            main(["apply", "--home", str(self.home), *given, *options])
        out, err = self.capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    def write(self, text: str) -> None:
        (self.directory / "all.yaml").write_text(textwrap.dedent(text), encoding="utf-8")


@pytest.fixture
def apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    directory = tmp_path / "catalogue"
    (directory / "files").mkdir(parents=True)
    duckdb.sql("select range as id, 'x' as name from range(3)").write_parquet(str(directory / "files/cohort.parquet"))
    monkeypatch.setenv("DATALAB_STORAGE_LOCAL_ROOTS", str(directory))
    home = tmp_path / "home"
    initialise(home, read_settings())
    command = Command(home, directory, capsys)
    command.write(CATALOGUE)
    return command


def test_a_directory_is_applied_published_and_then_left_alone(apply: Command, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    dry = apply("--content", "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "+ dataset health/cohort\n" in dry.out
    assert "> dataset health/cohort (publish)\n" in dry.out
    assert dry.out.endswith("35 to change, 0 as they are.\n")
    done = apply("--content", "--secrets", str(secrets))
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("35 changed, 0 as they are.\n")
    assert dry.out.splitlines()[:-1] == done.out.splitlines()[:-1]
    again = apply("--content")
    assert (again.code, again.out) == (0, "0 changed, 7 as they are.\n")
    with open_foundation(open_home(apply.home), read_settings()) as base:
        base.catalogue.revision()
        dataset = base.catalogue.dataset("health", "cohort")
        assert dataset is not None
        version = base.catalogue.version(dataset.uid)
        assert version is not None
        assert (version.row_count, [column.name for column in version.columns]) == (3, ["id", "name"])


def test_secrets_go_to_a_private_file_and_nowhere_else(apply: Command, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    refused = apply("--content")
    assert refused.code == 1
    assert "clinic/Pipeline" in refused.err
    assert "--secrets" in refused.err
    done = apply("--content", "--secrets", str(secrets))
    assert done.code == 0
    client = json.loads(secrets.read_text())["clients"]["clinic/Pipeline"]
    assert set(client) == {"client_id", "client_secret"}
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert client["client_secret"] not in done.out + done.err
    assert client["client_secret"] not in (apply.home / "applied.json").read_text()


@pytest.mark.parametrize(("content", "mode"), [("hello", 0o600), ("[]", 0o600), ('{"clients": {}}', 0o644)])
def test_a_file_that_cannot_take_secrets_is_refused_before_anything_is_written(
    apply: Command, tmp_path: Path, content: str, mode: int
) -> None:
    secrets = tmp_path / "secrets.json"
    secrets.write_text(content)
    secrets.chmod(mode)
    assert apply("--content", "--secrets", str(secrets)).code == 1
    assert secrets.read_text() == content
    assert apply("--content", "--dry-run").out.endswith("35 to change, 0 as they are.\n")


def test_problems_are_told_with_their_places_and_nothing_is_changed(apply: Command) -> None:
    apply.write(CATALOGUE.replace("country: NO", "country: EL").replace("home: lumi", "home: luma"))
    ended = apply("--content")
    assert (ended.code, ended.out) == (1, "")
    place = apply.directory / "all.yaml"
    assert f"{place}:5:10: country: `EL` is no ISO 3166-1 alpha-2 country code: use GR." in ended.err
    assert ended.err.endswith("problems; nothing was changed.\n")


def test_json_holds_changes_and_problems(apply: Command, tmp_path: Path) -> None:
    made = json.loads(apply("--json", "--content", "--secrets", str(tmp_path / "s.json")).out)
    assert {"action": "create", "kind": "data_lab", "id": "north", "fields": []} in made["changes"]
    assert (made["problems"], made["unchanged"], made["dry_run"]) == ([], 0, False)
    apply.write(CATALOGUE.replace("title: {en: North}", "title: {en: South}"))
    planned = json.loads(apply("--json", "--dry-run").out)
    assert planned["changes"] == [{"action": "update", "kind": "data_lab", "id": "north", "fields": ["title"]}]
    apply.write("kind: nonsense\n")
    ended = apply("--json")
    (problem,) = json.loads(ended.out)["problems"]
    assert ended.code == 1
    assert (problem["line"], problem["column"], problem["field"]) == (1, 7, "kind")


def test_pruning_is_asked_for_or_said(apply: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply("--content", "--secrets", str(tmp_path / "s.json"))
    apply.write(CATALOGUE[: CATALOGUE.index("    ---\n    kind: storage")])
    assert apply("--prune").code == 1
    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    asked = apply("--prune")
    assert asked.code == 1
    assert "- dataset health/cohort\n" in asked.out
    monkeypatch.undo()
    assert "--yes" in apply("--prune", "--json").out
    dry = apply("--prune", "--dry-run")
    assert dry.out == "- dataset health/cohort\n- storage disk\n2 to change, 5 as they are.\n"
    assert apply("--prune", "--yes").out == "- dataset health/cohort\n- storage disk\n2 changed, 5 as they are.\n"


class _Terminal:
    """A person who types one line."""

    def __init__(self, line: str) -> None:
        self._line = line

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return self._line

    def fileno(self) -> int:
        raise OSError


def test_a_run_that_the_gateway_refuses_says_what_stands(apply: Command, tmp_path: Path) -> None:
    (apply.directory / "files/cohort.parquet").write_bytes(b"PAR1 but not really")
    ended = apply("--content", "--secrets", str(tmp_path / "s.json"))
    assert ended.code == 1
    assert "+ dataset health/cohort\n" in ended.out
    assert "publish dataset health/cohort" in ended.err
    assert ended.err.endswith("1 problem; 34 changes were made before.\n")


def test_one_run_at_a_time(apply: Command) -> None:
    with opened(apply.home):
        assert apply("--dry-run").err == "datalab: Another apply is running on this home.\n"


def test_what_is_no_home_is_refused(apply: Command, tmp_path: Path) -> None:
    command = Command(tmp_path / "nowhere", apply.directory, apply.capsys)
    ended = command("--dry-run")
    assert ended.code == 1
    assert "datalab init" in ended.err
