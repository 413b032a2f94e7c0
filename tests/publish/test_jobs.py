"""Jobs: outcomes, whose they are, and what becomes of them when their process is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from datalab.db.database import open_engine
from datalab.db.jobs import SqlJobs
from datalab.publish.errors import Busy, FileProblem, FilesRefused, VersionNotFound
from datalab.publish.inspection import Progress
from datalab.publish.jobs import Jobs
from datalab.publish.ports import JobState
from tests.registry.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = open_engine(f"sqlite:///{tmp_path}/datalab.db")
    yield World(engine).furnish()
    engine.dispose()


@pytest.fixture
def store(world: World) -> SqlJobs:
    return SqlJobs(world.database)


@pytest.fixture
def jobs(world: World, store: SqlJobs) -> Iterator[Jobs]:
    made = Jobs(store, clock=world.clock, workers=1, waiting=1)
    made.open()
    yield made
    made.close()


def nothing(_progress: Progress) -> dict[str, object]:
    return {"version": 1}


def test_a_job_ends_with_its_result(jobs: Jobs, store: SqlJobs) -> None:
    job = jobs.start("alpha", "publish", "dataset:health/cohort", nothing)
    assert jobs.outcome(job.uid, 10) == {"version": 1}
    found = jobs.get("alpha", job.uid)
    assert (found.state, found.result, found.problem) == (JobState.DONE, {"version": 1}, None)
    assert store.get(job.uid) == found


def test_progress_is_reported_while_it_runs(jobs: Jobs) -> None:
    halfway, go = threading.Event(), threading.Event()

    def work(progress: Progress) -> dict[str, object]:
        progress(5, 10)
        halfway.set()
        go.wait(10)
        return {}

    job = jobs.start("alpha", "publish", "r", work)
    assert jobs.outcome(job.uid, 0.01) is None
    assert halfway.wait(10)
    found = jobs.get("alpha", job.uid)
    assert (found.state, found.done, found.total) == (JobState.RUNNING, 5, 10)
    go.set()
    assert jobs.outcome(job.uid, 10) == {}


def test_a_refusal_is_raised_to_who_waits_and_kept_for_who_asks_later(jobs: Jobs) -> None:
    go = threading.Event()

    def work(_progress: Progress) -> dict[str, object]:
        go.wait(10)
        raise FilesRefused([FileProblem(path="a", code="publish.encrypted", sentence="a is encrypted.")])

    job = jobs.start("alpha", "publish", "r", work)
    threading.Timer(0.05, go.set).start()
    with pytest.raises(FilesRefused):
        jobs.outcome(job.uid, 10)
    found = jobs.get("alpha", job.uid)
    assert found.state is JobState.FAILED
    assert found.problem is not None
    assert (found.problem["code"], found.problem["sentence"]) == ("publish.encrypted", "a is encrypted.")


def test_an_unforeseen_error_says_nothing_of_itself(jobs: Jobs) -> None:
    go = threading.Event()

    def work(_progress: Progress) -> dict[str, object]:
        go.wait(10)
        raise RuntimeError("secret path /x")

    job = jobs.start("alpha", "publish", "r", work)
    threading.Timer(0.05, go.set).start()
    with pytest.raises(RuntimeError):
        jobs.outcome(job.uid, 10)
    found = jobs.get("alpha", job.uid)
    assert found.problem is not None
    assert found.problem["code"] == "publish.failed"
    assert "secret" not in str(found.problem)


def test_jobs_of_others_do_not_exist(jobs: Jobs) -> None:
    job = jobs.start("alpha", "publish", "r", nothing)
    jobs.outcome(job.uid, 10)
    for participant, uid in (("beta", job.uid), ("alpha", "0" * 32)):
        with pytest.raises(VersionNotFound):
            jobs.get(participant, uid)


def test_more_than_may_wait_is_told_to_come_back(jobs: Jobs) -> None:
    go = threading.Event()

    def work(_progress: Progress) -> dict[str, object]:
        go.wait(10)
        return {}

    jobs.start("alpha", "publish", "r", work)
    jobs.start("alpha", "publish", "r", work)
    with pytest.raises(Busy) as caught:
        jobs.start("alpha", "publish", "r", work)
    assert caught.value.retry_after_s > 0
    go.set()


def test_what_a_dead_process_left_is_lost(world: World, store: SqlJobs, jobs: Jobs) -> None:
    job = jobs.start("alpha", "publish", "r", nothing)
    jobs.outcome(job.uid, 10)
    dead = replace(store.get(job.uid) or job, state=JobState.RUNNING, result=None)
    host = dead.keeper.split("/", maxsplit=1)[0]
    store.save(replace(dead, keeper=f"{host}/{2**22 + 1}/abc"))
    after = Jobs(store, clock=world.clock)
    after.open()
    found = after.get("alpha", job.uid)
    assert found.state is JobState.LOST
    assert found.problem is not None
    assert found.problem["code"] == "publish.interrupted"
    after.close()


def test_a_job_of_another_machine_is_lost_when_it_is_silent_for_too_long(
    world: World, store: SqlJobs, jobs: Jobs
) -> None:
    job = jobs.start("alpha", "publish", "r", nothing)
    jobs.outcome(job.uid, 10)
    elsewhere = replace(store.get(job.uid) or job, state=JobState.RUNNING, keeper="elsewhere/1/x", result=None)
    store.save(elsewhere)
    world.clock.move(seconds=20)
    assert jobs.get("alpha", job.uid).state is JobState.RUNNING
    world.clock.move(seconds=20)
    assert jobs.get("alpha", job.uid).state is JobState.LOST


def test_closing_ends_what_waits_as_lost_and_finishes_what_runs(world: World, store: SqlJobs) -> None:
    jobs = Jobs(store, clock=world.clock, workers=1)
    jobs.open()
    started, go = threading.Event(), threading.Event()

    def work(_progress: Progress) -> dict[str, object]:
        started.set()
        go.wait(10)
        return {"version": 1}

    first = jobs.start("alpha", "publish", "r", work)
    second = jobs.start("alpha", "publish", "r", work)
    assert started.wait(10)
    threading.Timer(0.05, go.set).start()
    jobs.close()
    states = {job.uid: job.state for uid in (first.uid, second.uid) if (job := store.get(uid)) is not None}
    assert states == {first.uid: JobState.DONE, second.uid: JobState.LOST}


def test_old_jobs_are_forgotten(world: World, store: SqlJobs, jobs: Jobs) -> None:
    job = jobs.start("alpha", "publish", "r", nothing)
    jobs.outcome(job.uid, 10)
    world.clock.move(days=8)
    later = Jobs(store, clock=world.clock)
    later.open()
    with pytest.raises(VersionNotFound):
        later.get("alpha", job.uid)
    later.close()


def test_jobs_leave_the_catalogues_revision_alone(world: World, jobs: Jobs) -> None:
    before = world.database.revision()
    job = jobs.start("alpha", "publish", "r", nothing)
    jobs.outcome(job.uid, 10)
    assert world.database.revision() == before
