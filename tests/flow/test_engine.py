"""The engine on real workers: what they answer, what they refuse, and that they are free again afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from datalab.flow.engine import Engine, Run
from datalab.flow.errors import (
    Busy,
    EngineRefused,
    FlowError,
    PlanConflict,
    StatementRefused,
    TimedOut,
    TooLarge,
    ValueRefused,
)
from datalab.flow.pool import EngineOptions, Pool
from datalab.flow.request import Format, Query
from tests.flow.conftest import ROWS, MakePlan

BIG = "SELECT p.*, q.name AS other FROM lab.people p JOIN lab.people q USING (id)"


def on_engine(options: EngineOptions, work: Callable[[Engine], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        pool = Pool(options)
        await pool.open()
        try:
            return await work(Engine(pool))
        finally:
            await pool.close()

    return asyncio.run(main())


async def read(run: Run) -> bytes:
    try:
        return b"".join([bytes(chunk) async for chunk in run.chunks()])
    finally:
        await run.aclose()


async def answer(engine: Engine, plan: Any) -> bytes:
    return await read(await engine.start(plan))


def ask(sql: str, format_: Format = Format.JSON, **more: Any) -> Query:
    return Query(sql=sql, format=format_, **more)


def test_a_small_answer_is_whole_before_its_first_byte(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        run = await engine.start(make_plan(ask("SELECT country, count(*) AS n FROM lab.people GROUP BY 1 ORDER BY 1")))
        assert run.whole is not None
        body = await read(run)
        assert len(body) == run.whole
        assert json.loads(body)["rows"] == [["FI", ROWS // 2], ["SE", ROWS // 2]]
        assert run.summary is not None
        assert run.summary.sha256 == hashlib.sha256(body).hexdigest()

    on_engine(options, work)


def test_a_long_answer_streams_every_row_once_and_its_hash_is_of_what_was_sent(
    options: EngineOptions, make_plan: MakePlan
) -> None:
    async def work(engine: Engine) -> None:
        run = await engine.start(make_plan(ask(BIG, Format.ARROW)))
        assert run.whole is None
        body = await read(run)
        table = pa.ipc.open_stream(body).read_all()
        assert sorted(table["id"].to_pylist()) == list(range(ROWS))
        assert run.summary is not None
        assert (run.summary.rows, run.summary.bytes) == (ROWS, len(body))
        assert run.summary.sha256 == hashlib.sha256(body).hexdigest()

    on_engine(options, work)


def test_parameters_are_bound_by_position_and_by_name(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        body = await answer(engine, make_plan(ask("SELECT name FROM lab.people WHERE id = ?", params=[4])))
        assert json.loads(body)["rows"] == [["secret-4-FI"]]
        named = ask("SELECT count(*) FROM lab.people WHERE country = $land", params={"land": "x' OR '1'='1"})
        assert json.loads(await answer(engine, make_plan(named)))["rows"] == [[0]]

    on_engine(options, work)


@pytest.mark.parametrize(
    ("sql", "kind", "code"),
    [
        ("SELECT nope FROM lab.people", EngineRefused, "engine.unknown_column"),
        ("SELECT sum(name) FROM lab.people", EngineRefused, "engine.type"),
        ("SELECT CAST(name AS INTEGER) FROM lab.people", ValueRefused, "engine.value"),
        ("SELECT error(name) FROM lab.people", FlowError, None),
        ("SELECT country, id FROM lab.people GROUP BY country", EngineRefused, "engine.bind"),
        ("SELECT list(a.name) FROM lab.people a, lab.people b", TooLarge, "engine.memory"),
    ],
)
def test_an_engine_error_is_a_code_and_never_its_text(
    options: EngineOptions, make_plan: MakePlan, sql: str, kind: type[FlowError], code: str | None
) -> None:
    async def work(engine: Engine) -> FlowError:
        with pytest.raises(kind) as caught:
            await answer(engine, make_plan(ask("SELECT 1")) if code is None and not sql else make_plan(ask(sql)))
        assert json.loads(await answer(engine, make_plan(ask("SELECT count(*) FROM lab.people"))))["rows"] == [[ROWS]]
        return caught.value

    error = on_engine(replace(options, duckdb_memory_bytes=200 << 20), work)
    assert code is None or error.code == code
    shown = error.sentence + json.dumps(dict(error.detail))
    assert "secret-" not in shown
    assert "/" not in shown


def test_an_unknown_column_is_answered_with_the_visible_ones(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(EngineRefused) as caught:
            await engine.start(make_plan(ask("SELECT nme FROM lab.people")))
        assert caught.value.detail["columns"] == {"lab.people": ["id", "country", "name"]}

    on_engine(options, work)


def test_the_worker_refuses_what_the_plan_does_not_name(options: EngineOptions, make_plan: MakePlan) -> None:
    """The second gate stands by itself: the plan says no table, the text reads one."""

    async def work(engine: Engine) -> None:
        plan = replace(make_plan(ask("SELECT * FROM lab.people")), tables=frozenset())
        with pytest.raises(StatementRefused) as caught:
            await engine.start(plan)
        assert caught.value.code == "statement.disagreement"

    on_engine(options, work)


@pytest.mark.parametrize("format_", list(Format))
def test_the_callers_own_limit_truncates_and_the_summary_says_so(
    options: EngineOptions, make_plan: MakePlan, format_: Format
) -> None:
    async def work(engine: Engine) -> None:
        run = await engine.start(make_plan(ask("SELECT id FROM lab.people ORDER BY id", format_, max_rows=3)))
        await read(run)
        assert run.summary is not None
        assert (run.summary.rows, run.summary.truncated) == (3, True)
        run = await engine.start(make_plan(ask("SELECT DISTINCT country FROM lab.people", format_, max_rows=2)))
        await read(run)
        assert run.summary is not None
        assert (run.summary.rows, run.summary.truncated) == (2, False)

    on_engine(options, work)


def test_a_policys_limit_is_an_error_and_never_a_shorter_answer(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(TooLarge) as caught:
            await engine.start(make_plan(ask("SELECT id FROM lab.people"), policy_max_rows=10))
        assert caught.value.code == "engine.max_rows"
        assert caught.value.detail["max_rows"] == 10
        enough = make_plan(ask("SELECT id FROM lab.people LIMIT 10"), policy_max_rows=10)
        assert json.loads(await answer(engine, enough))["row_count"] == 10

    on_engine(options, work)


def test_a_query_that_takes_too_long_is_ended(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        endless = "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t"
        with pytest.raises(TimedOut):
            await engine.start(make_plan(ask(endless)))
        assert json.loads(await answer(engine, make_plan(ask("SELECT 1"))))["rows"] == [[1]]

    on_engine(replace(options, timeout_s=1.0), work)


def test_files_that_changed_are_not_served(options: EngineOptions, make_plan: MakePlan, files: Path) -> None:
    plan = make_plan(ask("SELECT count(*) FROM lab.people"))
    duckdb.connect().execute(f"COPY (SELECT 1 AS id) TO '{files}/people/part.parquet' (FORMAT parquet)")

    async def work(engine: Engine) -> None:
        with pytest.raises(PlanConflict) as caught:
            await engine.start(plan)
        assert caught.value.code == "plan.changed"
        assert caught.value.detail["datasets"] == ["lab.people"]

    on_engine(options, work)


def test_files_that_change_while_they_are_read_cut_the_stream(
    options: EngineOptions, make_plan: MakePlan, files: Path
) -> None:
    async def work(engine: Engine) -> None:
        run = await engine.start(make_plan(ask(BIG, Format.ARROW)))
        os.utime(files / "people" / "part.parquet", ns=(1, 1))
        with pytest.raises(PlanConflict):
            await read(run)

    on_engine(options, work)


def test_a_client_that_leaves_frees_the_worker_and_the_next_plan_runs_on_it(
    options: EngineOptions, make_plan: MakePlan
) -> None:
    async def work(engine: Engine) -> None:
        run = await engine.start(make_plan(ask(BIG, Format.ARROW)))
        assert run._worker is not None
        process = run._worker.process.pid
        async for _ in run.chunks():
            break
        await run.aclose()
        assert engine.pool.running == 0
        run = await engine.start(make_plan(ask("SELECT 1")))
        assert run._worker is not None
        assert run._worker.process.pid == process
        await read(run)

    on_engine(options, work)


def test_a_worker_is_never_given_to_another_key(options: EngineOptions, make_plan: MakePlan) -> None:
    async def process_of(engine: Engine, key: str) -> int:
        run = await engine.start(make_plan(ask("SELECT 1"), key=key))
        assert run._worker is not None
        pid = run._worker.process.pid
        await read(run)
        return pid

    async def work(engine: Engine) -> None:
        first = await process_of(engine, "one")
        assert await process_of(engine, "two") != first
        assert await process_of(engine, "one") == first

    on_engine(options, work)


def test_more_than_the_warm_set_holds_ends_the_least_recently_used(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        for key in ("one", "two", "three"):
            await answer(engine, make_plan(ask("SELECT 1"), key=key))
        assert [worker.key for worker in engine.pool._warm.values()] == ["two", "three"]

    on_engine(replace(options, warm=2), work)


def test_a_killed_worker_is_an_error_for_its_query_and_nobody_else(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        run = await engine.start(make_plan(ask(BIG, Format.ARROW)))
        other = await engine.start(make_plan(ask(BIG, Format.ARROW)))
        assert run._worker is not None
        os.kill(run._worker.process.pid, signal.SIGKILL)
        with pytest.raises(FlowError):
            await read(run)
        assert pa.ipc.open_stream(await read(other)).read_all().num_rows == ROWS

    on_engine(options, work)


def test_one_query_too_many_is_told_to_come_back(options: EngineOptions, make_plan: MakePlan) -> None:
    async def work(engine: Engine) -> None:
        running = await engine.start(make_plan(ask(BIG, Format.ARROW)))
        waiting: Coroutine[Any, Any, bytes] = answer(engine, make_plan(ask("SELECT 1")))
        task = asyncio.ensure_future(waiting)
        while engine.pool.waiting == 0:  # noqa: ASYNC110  the pool has no reason to tell who waits
            await asyncio.sleep(0.01)
        with pytest.raises(Busy) as caught:
            await engine.start(make_plan(ask("SELECT 1")))
        assert caught.value.retry_after_s > 0
        await running.aclose()
        assert json.loads(await task)["rows"] == [[1]]

    on_engine(replace(options, active=1, queued=1), work)


def test_a_worker_leaves_nothing_behind(options: EngineOptions, make_plan: MakePlan) -> None:
    on_engine(options, lambda engine: answer(engine, make_plan(ask("SELECT 1"))))
    assert list(Path(options.temp_root).iterdir()) == []


def test_a_file_rewritten_in_place_is_never_read_from_a_warm_workers_cache(
    options: EngineOptions, make_plan: MakePlan, files: Path, tmp_path: Path
) -> None:
    """Same size, same second: only the content differs, and a new version's plan must see it on the same worker."""
    target = files / "people" / "part.parquet"

    def rewrite(name: str) -> None:
        fresh = tmp_path / "fresh.parquet"
        duckdb.connect().execute(f"COPY (SELECT 1 AS {name} FROM range(10)) TO '{fresh}' (FORMAT parquet)")
        target.write_bytes(fresh.read_bytes())
        os.utime(target, (1_700_000_000, 1_700_000_000))

    async def work(engine: Engine) -> None:
        for name in "abcd":
            rewrite(name)
            # The relation's text changes with each plan, so that the view is bound anew.
            plan = make_plan(ask("SELECT * FROM lab.people"), select=f"*, '{name}' AS round FROM {{relation}}")
            assert json.loads(await answer(engine, plan))["columns"][0]["name"] == name

    on_engine(options, work)


ODD_VALUES = [
    "DATE '20000-01-01'",
    "DATE '-infinity'",
    "TIMESTAMP 'infinity'",
    "TIMESTAMP_NS '2024-01-01 00:00:00.123456789'",
    "TIMESTAMPTZ '2024-01-01 00:00:00+02'",
    "TIME '23:59:59.999999'",
    "TIMETZ '10:00:00+02'",
    "INTERVAL '14 months 3 days 5 seconds'",
    "170141183460469231731687303715884105727::HUGEINT",
    "18446744073709551615::UBIGINT",
    "'infinity'::DOUBLE",
    "'10110'::BIT",
    "uuid()",
    "'a'::ENUM('a', 'b')",
    "MAP {'k': [1, NULL]}",
    "{'a': {'b': DATE '2024-01-01'}}",
    "[[1], NULL]",
    "array_value(1, 2, 3)",
    "union_value(num := 1)",
    "NULL",
    "'\\x00\\xff'::BLOB",
]


@pytest.mark.parametrize("format_", list(Format))
def test_every_type_has_a_form_or_a_clear_refusal_and_the_worker_lives(
    options: EngineOptions, make_plan: MakePlan, format_: Format
) -> None:
    async def work(engine: Engine) -> dict[str, str]:
        found, processes = {}, set()
        for value in ODD_VALUES:
            try:
                run = await engine.start(make_plan(ask(f"SELECT {value} AS v", format_)))
                assert run._worker is not None
                processes.add(run._worker.process.pid)
                await read(run)
                found[value] = "answered"
            except FlowError as error:
                found[value] = error.code
        assert len(processes) == 1
        return found

    found = on_engine(options, work)
    refused = {value: code for value, code in found.items() if code != "answered"}
    assert set(refused.values()) <= {"engine.unsupported", "statement.function", "statement.unsupported"}, refused
    for value in ("TIMESTAMPTZ '2024-01-01 00:00:00+02'", "TIMESTAMP_NS '2024-01-01 00:00:00.123456789'", "NULL"):
        assert found[value] == "answered"
    assert sum(code == "answered" for code in found.values()) >= len(found) - 6, refused
