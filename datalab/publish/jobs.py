"""Jobs: registrations that outlive the request that asked for them, with progress that survives a restart.

Owns the threads that work and the rows that tell of it. A job that its process did not finish is reported as lost: what it
did is undone or was never there, because its work commits at the end or not at all. Must never show a job to anyone but
the participant that started it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from datalab.flow.errors import Failure, FlowError
from datalab.publish.errors import Busy, VersionNotFound
from datalab.publish.inspection import Progress
from datalab.publish.ports import Job, JobState, JobStore

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Work = Callable[[Progress], Mapping[str, object]]
"""Does the work and yields its JSON-able result; told of by (done, total) as it goes."""

HEARTBEAT_S: Final = 5.0
LEASE_S: Final = 30.0
KEPT: Final = timedelta(days=7)
RETRY_AFTER_S: Final = 30
FINISHED: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.LOST})
LOST: Final = {
    "code": "publish.interrupted",
    "sentence": "The gateway was restarted before this was finished; nothing of it was registered. Start it again.",
    "detail": {},
}


@dataclass(slots=True)
class _Live:
    """A job of this process. job: the newest state, not each of which is stored."""

    job: Job
    future: Future[Mapping[str, object]] = field(default_factory=Future)


class Jobs:
    """All jobs of this process. Open it before use and close it at the end.

    workers: how many run at once; waiting: how many more may wait.
    """

    def __init__(self, store: JobStore, *, clock: Clock, workers: int = 2, waiting: int = 32) -> None:
        self._store = store
        self._clock = clock
        self._keeper = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex}"
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._most = workers + waiting
        self._live: dict[str, _Live] = {}
        self._lock = threading.Lock()
        self._saving = threading.Lock()  # a heartbeat must not store a state that is older than the end
        self._closing = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="job-heartbeat", daemon=True)

    def open(self) -> None:
        """Starts the heartbeat; what dead processes left is reported as lost, what is old is forgotten."""
        self._store.forget(self._clock() - KEPT)
        for job in self._store.unfinished():
            self._lost_if_abandoned(job)
        self._heart.start()

    def close(self) -> None:
        """Ends waiting jobs as lost and waits for the running ones."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            left = [live.job for live in self._live.values()]
        for job in left:
            self._store.save(replace(job, state=JobState.LOST, problem=LOST, updated_at=self._clock()))
        if self._heart.is_alive():
            self._heart.join()

    def start(self, participant: str, kind: str, resource: str, work: Work) -> Job:
        """Stores a job and has it done.

        Raises:
            Busy: as many as may are waiting already.
        """
        now = self._clock()
        job = Job(
            uid=uuid.uuid4().hex,
            kind=kind,
            participant=participant,
            resource=resource,
            state=JobState.QUEUED,
            keeper=self._keeper,
            created_at=now,
            updated_at=now,
        )
        live = _Live(job)
        with self._lock:
            if self._closing.is_set() or len(self._live) >= self._most:
                raise Busy(RETRY_AFTER_S)
            self._live[job.uid] = live
        try:
            self._store.add(job)
            self._pool.submit(self._run, live, work)
        except BaseException:
            self._drop(job.uid)
            raise
        return job

    def outcome(self, uid: str, timeout_s: float) -> Mapping[str, object] | None:
        """A job's result, when it is done within the time; None: not yet, or it is not of this process.

        Raises what the work raised.
        """
        with self._lock:
            live = self._live.get(uid)
        if live is None:
            return None
        try:
            return live.future.result(timeout_s)
        except NotYet:
            return None

    def get(self, participant: str, uid: str) -> Job:
        """The job as it stands. Raises VersionNotFound for those of others too."""
        with self._lock:
            live = self._live.get(uid)
        job = live.job if live is not None else self._store.get(uid)
        if job is None or job.participant != participant:
            raise VersionNotFound
        return job if live is not None else self._lost_if_abandoned(job)

    def _run(self, live: _Live, work: Work) -> None:
        self._note(live, state=JobState.RUNNING)
        try:
            self._save_progress(live)
            result = work(lambda done, total: self._note(live, done=done, total=total))
        except BaseException as error:  # noqa: BLE001  whatever it is, whoever waits must learn of it
            self._note(live, state=JobState.FAILED, problem=problem_of(error, live.job))
            self._finish(live)
            live.future.set_exception(error)
        else:
            self._note(live, state=JobState.DONE, result=result)
            self._finish(live)
            live.future.set_result(result)

    def _note(self, live: _Live, **changes: object) -> None:
        with self._lock:
            live.job = replace(live.job, updated_at=self._clock(), **changes)  # type: ignore[arg-type]  # fields of Job

    def _finish(self, live: _Live) -> None:
        """Stores the end. Whoever already holds the job still gets its outcome from the future."""
        with self._saving:
            try:
                self._store.save(live.job)
            except Exception:
                log.exception("the end of job %s could not be stored; it will be reported as lost", live.job.uid)
            self._drop(live.job.uid)

    def _drop(self, uid: str) -> None:
        with self._lock:
            self._live.pop(uid, None)

    def _beat(self) -> None:
        while not self._closing.wait(HEARTBEAT_S):
            with self._lock:
                running = list(self._live.values())
            for live in running:
                self._note(live)
                self._save_progress(live)

    def _save_progress(self, live: _Live) -> None:
        with self._saving:
            if live.job.uid not in self._live:
                return  # it has ended
            try:
                self._store.save(live.job)
            except Exception:
                log.exception("the progress of job %s could not be stored", live.job.uid)

    def _lost_if_abandoned(self, job: Job) -> Job:
        if job.state in FINISHED or not self._abandoned(job):
            return job
        lost = replace(job, state=JobState.LOST, problem=LOST, updated_at=self._clock())
        self._store.save(lost)
        return lost

    def _abandoned(self, job: Job) -> bool:
        """Its process is gone: it ran on this machine and does not any more, or it has been silent for longer than its lease."""
        host, _, rest = job.keeper.partition("/")
        pid, _, _token = rest.partition("/")
        if job.keeper == self._keeper:
            return True  # ours, but not among the living: its end could not be stored
        if host == socket.gethostname() and pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid))):
            return True
        return self._clock() - job.updated_at > timedelta(seconds=LEASE_S)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def problem_of(error: BaseException, job: Job) -> dict[str, object]:
    """What a job's owner may read of an error: the house's own errors as they are, of others only that something failed."""
    code, sentence = getattr(error, "code", None), getattr(error, "sentence", None)
    if isinstance(code, str) and isinstance(sentence, str):
        if isinstance(error, FlowError) and isinstance(error, Failure):
            log.error("job %s failed: %s", job.uid, code)
        return {"code": code, "sentence": sentence, "detail": dict(getattr(error, "detail", {}))}
    log.error("job %s failed", job.uid, exc_info=error)
    return {"code": "publish.failed", "sentence": "This failed for a reason of the gateway's own.", "detail": {}}
