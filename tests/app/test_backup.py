"""A backup of a running gateway, and the home that it makes again."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from pydantic import SecretStr

from catalog.entities import Participant, ParticipantKind
from datalab.app.backup import MANIFEST, BackupRefused, back_up, restore
from datalab.app.checkpoints import Checkpointer
from datalab.app.examination import verify_home
from datalab.app.foundation import Foundation, open_foundation
from datalab.app.home import Home, HomeRefused, open_home, read_keys
from datalab.app.init import initialise
from datalab.app.settings import DatabaseSettings, Settings
from datalab.db.audit_reads import SqlTrail
from datalab.flow.authority import operator_principal
from datalab.registry.participants import Participants

SETTINGS = Settings()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    initialise(tmp_path / "home", SETTINGS)
    return open_home(tmp_path / "home")


def register(base: Foundation, id_: str) -> None:
    value = Participant(id=id_, legal_name=id_, country="DE", kind=ParticipantKind.SME)
    Participants(base.registrar, base.catalogue).create(operator_principal("os-user:test"), value)


@contextmanager
def busy(home: Home) -> Iterator[None]:
    """A process that registers participants and writes checkpoints without pause."""
    done = Event()

    def work() -> None:
        number = 0
        with open_foundation(home, SETTINGS) as base:
            trail = SqlTrail(base.engines.audit)
            checkpointer = Checkpointer(base.checkpoints, trail, base.journal, clock=base.clock, interval_s=0)
            while not done.is_set():
                number += 1
                register(base, f"p{number}")
                checkpointer.write()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_restored_home_is_the_gateway_again(home: Home, tmp_path: Path) -> None:
    with open_foundation(home, SETTINGS) as base:
        register(base, "acme")
    back_up(home, SETTINGS, tmp_path / "backup.tar")
    _, report = restore(tmp_path / "backup.tar", tmp_path / "again", SETTINGS)
    assert report is not None
    assert report.findings == []
    assert report.checkpoints == 2
    again = open_home(tmp_path / "again")
    assert read_keys(again).audit == read_keys(home).audit
    with open_foundation(again, SETTINGS) as base:
        assert base.catalogue.participant("acme") is not None
        register(base, "after")
    assert verify_home(again, SETTINGS).intact


def test_a_backup_of_a_busy_gateway_is_consistent(home: Home, tmp_path: Path) -> None:
    with busy(home):
        for number in range(5):
            back_up(home, SETTINGS, tmp_path / f"{number}.tar")
    for number in range(5):
        _, report = restore(tmp_path / f"{number}.tar", tmp_path / f"again-{number}", SETTINGS)
        assert report is not None
        assert report.findings == []
    assert verify_home(home, SETTINGS).findings == []


def test_nobody_else_reads_the_backup_or_the_restored_home(home: Home, tmp_path: Path) -> None:
    back_up(home, SETTINGS, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "again", SETTINGS)
    paths = [tmp_path / "backup.tar", tmp_path / "again", *(tmp_path / "again").rglob("*")]
    assert all(path.stat().st_mode & 0o077 == 0 for path in paths)


def test_without_keys_no_key_is_in_the_file(home: Home, tmp_path: Path) -> None:
    back_up(home, SETTINGS, tmp_path / "backup.tar", keys=False)
    content = (tmp_path / "backup.tar").read_bytes()
    keys = read_keys(home)
    assert not any(key in content for key in (keys.audit, keys.hash, keys.credentials, keys.checkpoint))
    _, report = restore(tmp_path / "backup.tar", tmp_path / "again", SETTINGS)
    assert report is None
    with pytest.raises(HomeRefused):
        open_home(tmp_path / "again")


def test_settings_are_kept_without_their_secrets(home: Home, tmp_path: Path) -> None:
    secret = Settings(database=DatabaseSettings(url=SecretStr("postgresql+psycopg://user:hunter2@db/x")))
    back_up(home, secret, tmp_path / "backup.tar", databases=False)
    assert b"hunter2" not in (tmp_path / "backup.tar").read_bytes()
    assert b"DATALAB_DATABASE_URL" in (tmp_path / "backup.tar").read_bytes()


def test_postgresql_is_left_to_pg_dump(home: Home, tmp_path: Path) -> None:
    settings = Settings(database=DatabaseSettings(url=SecretStr("postgresql+psycopg://user:hunter2@db/x")))
    with pytest.raises(BackupRefused, match="pg_dump") as refused:
        back_up(home, settings, tmp_path / "backup.tar")
    assert "hunter2" not in str(refused.value)
    assert not (tmp_path / "backup.tar").exists()
    made = back_up(home, settings, tmp_path / "backup.tar", databases=False)
    assert {"checkpoints.jsonl", "keys/audit.key"} <= set(made.files)
    assert not any(name.endswith(".sqlite") for name in made.files)
    restore(tmp_path / "backup.tar", tmp_path / "again", settings)
    assert read_keys(open_home(tmp_path / "again")).audit == read_keys(home).audit


def test_nothing_is_overwritten(home: Home, tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_text("mine")
    with pytest.raises(BackupRefused, match="exists already"):
        back_up(home, SETTINGS, tmp_path / "backup.tar")
    assert (tmp_path / "backup.tar").read_text() == "mine"
    back_up(home, SETTINGS, tmp_path / "other.tar")
    with pytest.raises(BackupRefused, match="not empty"):
        restore(tmp_path / "other.tar", home.path, SETTINGS)


def test_a_backup_leaves_nothing_beside_it(home: Home, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    back_up(home, SETTINGS, tmp_path / "out" / "backup.tar")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["backup.tar"]


def test_a_restore_into_a_home_whose_databases_are_elsewhere_is_refused(home: Home, tmp_path: Path) -> None:
    back_up(home, SETTINGS, tmp_path / "backup.tar")
    elsewhere = Settings(database=DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path}/elsewhere.sqlite")))
    with pytest.raises(BackupRefused, match="elsewhere"):
        restore(tmp_path / "backup.tar", tmp_path / "again", elsewhere)


def test_an_altered_trail_in_a_backup_is_reported(home: Home, tmp_path: Path) -> None:
    lines = home.checkpoints.read_bytes()
    home.checkpoints.write_bytes(lines.replace(b'"number":1', b'"number":4'))
    back_up(home, SETTINGS, tmp_path / "backup.tar")
    _, report = restore(tmp_path / "backup.tar", tmp_path / "again", SETTINGS)
    assert report is not None
    assert not report.intact


Change = Callable[[dict[str, bytes]], None]


def repacked(source: Path, target: Path, change: Change, *, kind: bytes = tarfile.REGTYPE) -> None:
    with tarfile.open(source) as tar:
        members = {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar.getmembers()}
    change(members)
    with tarfile.open(target, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if kind != tarfile.REGTYPE and name == "home.json":
                member.type, member.size, member.linkname = kind, 0, "/etc/passwd"
            tar.addfile(member, io.BytesIO(content))


def alter(members: dict[str, bytes]) -> None:
    members["audit.sqlite"] = members["audit.sqlite"][:-1] + b"x"


def drop(members: dict[str, bytes]) -> None:
    del members["database.sqlite"]


def smuggle(members: dict[str, bytes]) -> None:
    members["keys/extra.key"] = b"x"


def escape(members: dict[str, bytes]) -> None:
    manifest = json.loads(members[MANIFEST])
    manifest["files"]["../escaped"] = {
        "size_bytes": 1,
        "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
    }
    members[MANIFEST] = json.dumps(manifest).encode()
    members["../escaped"] = b"x"


def future(members: dict[str, bytes]) -> None:
    members[MANIFEST] = members[MANIFEST].replace(b'"datalab_backup": 1', b'"datalab_backup": 2')


def mangle(members: dict[str, bytes]) -> None:
    members[MANIFEST] = b"[]"


@pytest.mark.parametrize("change", [alter, drop, smuggle, escape, future, mangle])
def test_a_backup_that_was_tampered_with_is_refused_and_leaves_nothing(
    home: Home, tmp_path: Path, change: Change
) -> None:
    back_up(home, SETTINGS, tmp_path / "good.tar")
    repacked(tmp_path / "good.tar", tmp_path / "bad.tar", change)
    before = set(tmp_path.iterdir())
    with pytest.raises(BackupRefused):
        restore(tmp_path / "bad.tar", tmp_path / "again", SETTINGS)
    assert set(tmp_path.iterdir()) == before


def test_a_link_in_a_backup_is_refused(home: Home, tmp_path: Path) -> None:
    back_up(home, SETTINGS, tmp_path / "good.tar")
    repacked(tmp_path / "good.tar", tmp_path / "bad.tar", lambda _members: None, kind=tarfile.SYMTYPE)
    with pytest.raises(BackupRefused):
        restore(tmp_path / "bad.tar", tmp_path / "again", SETTINGS)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 200])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(BackupRefused):
        restore(tmp_path / "bad.tar", tmp_path / "again", SETTINGS)


def test_a_cut_off_backup_is_refused(home: Home, tmp_path: Path) -> None:
    back_up(home, SETTINGS, tmp_path / "good.tar")
    content = (tmp_path / "good.tar").read_bytes()
    (tmp_path / "bad.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(BackupRefused):
        restore(tmp_path / "bad.tar", tmp_path / "again", SETTINGS)
