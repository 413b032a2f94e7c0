from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from datalab.db.audit import open_audit_engine
from datalab.db.audit_tables import create_audit
from datalab.db.base import AuditBase, Base
from datalab.db.database import open_engine
from datalab.db.migrations import is_current, migrate, migrate_audit
from datalab.db.migrations.upgrade import AUDIT, MAIN, Line
from datalab.flow.principal import Role
from datalab.registry.ports import Page
from tests.registry.world import World
from tests.servers.postgres import Postgres

LINES = pytest.mark.parametrize(("line", "bring"), [(MAIN, migrate), (AUDIT, migrate_audit)], ids=["main", "audit"])
Bring = Callable[[Engine], None]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_engine(postgres_server: Postgres, request: pytest.FixtureRequest) -> Iterator[Engine]:
    name = f"migrations_{abs(hash(request.node.nodeid))}"
    engine = open_engine(postgres_server.create_database(name))
    yield engine
    engine.dispose()


def differences(engine: Engine, line: Line) -> list[object]:
    """What alembic would still change."""
    with engine.connect() as connection:
        options = {"version_table": line.version_table, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return [one for one in compare_metadata(context, line.metadata) if not _is_of_the_other(one, line)]


def _is_of_the_other(difference: object, line: Line) -> bool:
    """Under PostgreSQL both lines may share a database: the other's tables are not too many."""
    if not isinstance(difference, tuple):
        return False
    known = {*Base.metadata.tables, *AuditBase.metadata.tables, MAIN.version_table, AUDIT.version_table}
    table = getattr(difference[1], "table", difference[1])
    name = getattr(table, "name", None)
    return difference[0] in {"remove_table", "remove_index"} and name in known - set(line.metadata.tables)


@LINES
def test_the_head_equals_the_tables(engine: Engine, line: Line, bring: Bring) -> None:
    assert not is_current(engine, line)
    bring(engine)
    assert differences(engine, line) == []
    assert is_current(engine, line)


@LINES
def test_a_table_that_no_migration_makes_is_noticed(engine: Engine, line: Line, bring: Bring) -> None:
    """The comparison above can fail."""
    bring(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {'jobs' if line is MAIN else 'audit_open'}"))
    assert differences(engine, line) != []


@LINES
def test_migrating_twice_changes_nothing(engine: Engine, line: Line, bring: Bring) -> None:
    bring(engine)
    before = _schema(engine)
    bring(engine)
    assert _schema(engine) == before


def test_what_is_registered_stays(engine: Engine) -> None:
    migrate(engine)
    world = World(engine).furnish()
    migrate(engine)
    assert world.data_labs.get(world.principal("alpha"), "lab").home == "lumi"


@LINES
def test_a_migration_that_fails_leaves_no_trace(engine: Engine, line: Line, bring: Bring) -> None:
    last = list(line.metadata.sorted_tables)[-1].name
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {last} (mine INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        bring(engine)
    assert set(inspect(engine).get_table_names()) == {last}


@LINES
def test_several_processes_may_migrate_at_once(tmp_path: Path, line: Line, bring: Bring) -> None:
    engines = [open_engine(f"sqlite:///{tmp_path}/shared.db") for _ in range(4)]
    failures: list[Exception] = []

    def work(engine: Engine) -> None:
        try:
            bring(engine)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the test shall show it
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert differences(engines[0], line) == []
    for engine in engines:
        engine.dispose()


def test_a_database_of_a_newer_version_is_left_alone(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    assert not is_current(engine, MAIN)
    with pytest.raises(Exception, match="from_the_future"):
        migrate(engine)


def test_the_trail_is_append_only_however_it_was_made(tmp_path: Path) -> None:
    made, migrated = (open_audit_engine(f"sqlite:///{tmp_path}/{name}.db") for name in ("made", "migrated"))
    with made.begin() as connection:
        create_audit(connection)
    migrate_audit(migrated)
    triggers = [_triggers(engine) for engine in (made, migrated)]
    assert triggers[0] == triggers[1]
    assert len(triggers[0]) == 5
    for engine in (made, migrated):
        engine.dispose()


@pytest.mark.slow
def test_on_postgresql_both_lines_share_a_database_and_equal_their_tables(postgres_engine: Engine) -> None:
    migrate(postgres_engine)
    migrate_audit(postgres_engine)
    for line in (MAIN, AUDIT):
        assert differences(postgres_engine, line) == []
        assert is_current(postgres_engine, line)
    with postgres_engine.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'audit_%'")).scalar_one()
    assert found == 3


@pytest.mark.slow
def test_on_postgresql_the_registry_works_as_on_sqlite(postgres_engine: Engine) -> None:
    migrate(postgres_engine)
    world = World(postgres_engine).furnish()
    assert [lab.id for lab in world.data_labs.page(world.principal("alpha"), Page())] == ["lab"]
    revision = world.reader.revision()
    world.data_labs.delete(world.principal("labco", Role.PARTICIPANT_ADMIN), "lab")
    assert world.reader.revision() == revision + 1
    assert world.reader.data_lab("lab") is None


def _schema(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT name, sql FROM sqlite_master ORDER BY name"))]


def _triggers(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"))
        return [" ".join(str(row[0]).split()).replace("IF NOT EXISTS ", "") for row in found]
