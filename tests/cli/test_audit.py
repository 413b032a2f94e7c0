"""`datalab audit` on a real home."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from datalab.app.foundation import open_foundation
from datalab.app.home import open_home
from datalab.app.init import initialise
from datalab.app.settings import Settings, read_settings
from datalab.cli.main import main
from datalab.flow.request import Query
from datalab.flow.trail import Ending, Outcome, PolicyRef, Touched
from tests.flow.audit.audited import principal

COHORT = Touched(
    uid="d1", space="health", name="cohort", provider="clinic", version=3, action="query", agreement="a1",
    policies=(PolicyRef(id="open", revision=2), PolicyRef(id="space_rule", revision=5)),
)  # fmt: skip
OTHER = Touched(uid="d2", space="health", name="other", provider="clinic", version=1, action="query")

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A gateway that answered two queries over health.cohort, one of them refused."""
    path = tmp_path / "home"
    initialise(path, read_settings())
    times = iter([datetime(2026, 3, day, tzinfo=UTC) for day in (1, 1, 1, 1)])
    with open_foundation(
        open_home(path), Settings(), clock=lambda: next(times, datetime(2026, 3, 5, tzinfo=UTC))
    ) as base:
        for number, outcome in enumerate((Outcome.COMPLETED, Outcome.REFUSED)):
            caller = principal(f"org{number}")
            handle = base.journal.open_query(caller, Query(sql="SELECT 'personal-literal'"), query_id=f"q{number}")
            handle.decided([COHORT, OTHER])
            code = "engine.value" if outcome is Outcome.REFUSED else None
            handle.close(Ending(outcome=outcome, code=code, rows=7, size_bytes=99, sha256="ab"))
            base.journal.flush()
    return path


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main([str(one) for one in arguments])
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, said.out + said.err

    return run


def tamper(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "audit.sqlite") as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)
    connection.close()


def test_an_untouched_trail_verifies(home: Path, say: Say) -> None:
    code, said = say("audit", "verify", "--home", home)
    assert code == 0, said
    assert "The trail is intact." in said
    assert "2 checkpoints" in said


def test_an_altered_record_ends_with_1_and_is_named(home: Path, say: Say) -> None:
    tamper(home, "UPDATE audit_records SET body = replace(body, '\"rows\":7', '\"rows\":8') WHERE ref = 'q0'")
    code, said = say("audit", "verify", "--home", home)
    assert code == 1
    assert "verify.altered: Record 4 of chain" in said
    assert "NOT intact: 1 findings" in said


def test_a_checkpoint_copy_kept_elsewhere_convicts_a_gateway_whose_own_was_rewritten(
    home: Path, tmp_path: Path, say: Say
) -> None:
    shutil.copy(home / "checkpoints.jsonl", tmp_path / "kept.jsonl")
    (home / "checkpoints.jsonl").unlink()
    chain = "(SELECT chain FROM audit_records WHERE ref = 'q0')"
    for table in ("audit_links", "audit_chains", "audit_records"):
        tamper(home, f"DELETE FROM {table} WHERE chain = {chain}")
    assert say("audit", "verify", "--home", home)[0] == 0
    code, said = say("audit", "verify", "--home", home, "--checkpoints", tmp_path / "kept.jsonl")
    assert code == 1
    assert "verify.chain_removed" in said


def test_an_auditor_verifies_a_copy_with_the_public_key_alone(home: Path, tmp_path: Path, say: Say) -> None:
    key = say("audit", "key", "--home", home)[1].strip()
    for name in ("audit.sqlite", "checkpoints.jsonl"):
        shutil.copy(home / name, tmp_path / name)
    copy = ("audit", "verify", "--database", tmp_path / "audit.sqlite", "--checkpoints", tmp_path / "checkpoints.jsonl")
    code, said = say(*copy, "--public-key", key)
    assert code == 0, said
    assert "whether the gateway itself wrote the records was not examined" in said
    assert say(*copy, "--public-key", "0" * 64)[0] == 1
    assert say(*copy, "--public-key", "nonsense")[0] == 1


def test_verify_without_a_trail_is_refused(tmp_path: Path, say: Say) -> None:
    assert "There is no file" in say("audit", "verify", "--database", tmp_path / "none")[1]
    assert "is no gateway home" in say("audit", "verify", "--home", tmp_path)[1]
    assert say("audit", "verify")[0] == 2


def test_a_report_says_who_queried_what_under_which_policies(home: Path, say: Say) -> None:
    code, said = say("audit", "report", "--home", home, "--dataset", "health.cohort", "--json")
    assert code == 0
    late, early = (json.loads(line) for line in said.splitlines())
    assert (early["query"], early["participant"], early["outcome"], early["code"]) == ("q0", "org0", "completed", "")
    assert (late["query"], late["outcome"], late["code"]) == ("q1", "refused", "engine.value")
    assert early["policies"] == "open@2 space_rule@5"
    assert (early["dataset"], early["version"], early["agreement"]) == ("health.cohort", 3, "a1")
    assert (early["rows"], early["bytes"], early["sha256"]) == (7, 99, "ab")
    assert "literal" not in said


def test_a_report_has_bounds_in_time(home: Path, say: Say) -> None:
    report = ("audit", "report", "--home", home, "--dataset", "health.cohort", "--json")
    assert [json.loads(line)["query"] for line in say(*report, "--to", "2026-03-02")[1].splitlines()] == ["q0"]
    assert [json.loads(line)["query"] for line in say(*report, "--from", "2026-03-02")[1].splitlines()] == ["q1"]
    assert say(*report, "--to", "2025-01-01")[1] == ""


def test_a_report_as_csv_and_as_a_table(home: Path, say: Say) -> None:
    report = ("audit", "report", "--home", home, "--dataset", "health.cohort")
    rows = list(csv.DictReader(io.StringIO(say(*report, "--csv")[1])))
    assert [row["query"] for row in rows] == ["q1", "q0"]
    assert "space_rule@5" in say(*report)[1]
    assert say(*report, "--csv", "--json")[0] == 2
    assert say("audit", "report", "--home", home, "--dataset", "nodot")[0] == 2


def test_erased_literals_are_gone_and_the_trail_still_verifies(home: Path, say: Say) -> None:
    erase = ("audit", "erase", "--home", home, "--reason", "asked for")
    assert say(*erase, "--query", "q0")[0] == 0
    tables = [file.read_bytes() for file in home.glob("audit.sqlite*")]
    assert sum(content.count(b"personal-literal") for content in tables) == 1, "the other query's"
    code, said = say("audit", "verify", "--home", home)
    assert code == 0, said
    assert "erased already" in say(*erase, "--query", "q0")[1]
    assert "no such operation" in say(*erase, "--query", "q9")[1]
