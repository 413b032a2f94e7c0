"""What the operator and an auditor do with the trail from the command line: verify it, report from it, erase literals.

Owns the order in which checkpoints and trail are read, so that a gateway may go on writing meanwhile. Must never change a
record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from datalab.app.checkpoints import CheckpointFile, public_key_of, read_checkpoints, seal_at_end
from datalab.app.databases import audit_url
from datalab.app.home import Home, read_keys
from datalab.app.settings import Settings
from datalab.db.audit import SqlAuditStore, open_audit_engine
from datalab.db.audit_reads import SqlTrail, has_trail, snapshot
from datalab.flow.audit import Journal
from datalab.flow.trail import Actor, AuditRecord, Kind, Place, Reach, Search, Touched
from datalab.flow.trail_ports import Trail
from datalab.flow.verification import Checkpoint, Finding, Report, verify

PAGE = 500


class ExaminationRefused(Exception):
    """The trail cannot be examined as asked; the message says why."""


@contextmanager
def audit_engine(url: str) -> Iterator[Engine]:
    """An engine on a trail that exists. Raises ExaminationRefused."""
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).is_file():
        raise ExaminationRefused(f"There is no file {file}.")
    engine = open_audit_engine(url)
    try:
        if not has_trail(engine):
            raise ExaminationRefused("There is no audit trail in this database: run `datalab migrate` if it is new.")
        yield engine
    finally:
        engine.dispose()


def checkpoint_file(home: Home, settings: Settings) -> Path:
    return settings.audit.checkpoint_file or home.checkpoints


def verify_home(home: Home, settings: Settings, copies: Sequence[Path] = (), public_key: str | None = None) -> Report:
    """Examines the trail of a gateway, which may be running, against its checkpoint file.

    copies: checkpoint files kept elsewhere, taken instead; they may be older. public_key: the key that must have signed
    them, 64 hex digits; None: the home's. Raises HomeRefused, ExaminationRefused.
    """
    keys = read_keys(home)
    trusted = public_key or public_key_of(keys.checkpoint)
    own = checkpoint_file(home, settings)
    before, wrong = _read_all(copies or ([own] if own.exists() else []), trusted)
    with audit_engine(audit_url(home, settings)) as engine, snapshot(engine) as seen:
        after = None if copies else _read_all([own] if own.exists() else [], trusted)[0]
        report = verify(seen, keys.audit, before, complete=after)
    report.findings[:0] = wrong
    return report


def verify_copy(url: str, copies: Sequence[Path], public_key: str | None) -> Report:
    """Examines a copy of the trail without any key of the gateway but the public one. Raises ExaminationRefused."""
    before, wrong = _read_all(copies, public_key)
    with audit_engine(url) as engine, snapshot(engine) as seen:
        report = verify(seen, None, before)
    report.findings[:0] = wrong
    return report


def _read_all(files: Sequence[Path], public_key: str | None) -> tuple[list[Checkpoint], list[Finding]]:
    if public_key is not None and not re.fullmatch(r"[0-9a-f]{64}", public_key):
        raise ExaminationRefused("A public key has 64 hex digits: see `datalab audit key`.")
    checkpoints: list[Checkpoint] = []
    findings: list[Finding] = []
    for file in files:
        try:
            found, wrong = read_checkpoints(file, public_key)
        except OSError as error:
            raise ExaminationRefused(f"{file} cannot be read: {error.strerror}.") from error
        checkpoints += found
        findings += wrong
    return checkpoints, findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One query's use of one dataset. policies: `id@revision` in force. The size is that of the whole answer."""

    at: str
    query: str
    participant: str
    issuer: str
    subject: str
    client: str
    dataset: str
    version: int | None
    action: str
    policies: str
    agreement: str
    outcome: str
    code: str
    rows: int | None
    truncated: bool | None
    bytes: int | None
    sha256: str


def uses(trail: Trail, space: str, name: str, since: datetime | None, until: datetime | None) -> Iterator[Use]:
    """Who queried the dataset in which version under which policies, newest first."""
    where = Search(
        dataset=(space, name), kind=Kind.QUERY_DECIDED, since_us=_microseconds(since), until_us=_microseconds(until)
    )
    after: Place | None = None
    while True:
        page = trail.search(where, Reach(everything=True), after=after, limit=PAGE)
        for record in page:
            closed = [one for one in trail.operation(record.ref) if one.kind in {Kind.QUERY_CLOSED, Kind.CLOSED_LATE}]
            for dataset in record.datasets:
                if (dataset.space, dataset.name) == (space, name):
                    yield _use(record, dataset, closed[-1] if closed else None)
        if len(page) < PAGE:
            return
        after = (page[-1].at_us, page[-1].chain, page[-1].seq)


def _use(record: AuditRecord, dataset: Touched, closed: AuditRecord | None) -> Use:
    said = {} if closed is None else dict(closed.details)
    return Use(
        at=datetime.fromtimestamp(record.at_us / 1_000_000, UTC).isoformat(),
        query=record.ref,
        participant=record.actor.participant,
        issuer=record.actor.issuer,
        subject=record.actor.subject,
        client=record.actor.client_id or "",
        dataset=f"{dataset.space}.{dataset.name}",
        version=dataset.version,
        action=dataset.action,
        policies=" ".join(f"{policy.id}@{policy.revision}" for policy in dataset.policies),
        agreement=dataset.agreement or "",
        outcome=str(said.get("outcome", "open")),
        code=str(said.get("code") or ""),
        rows=_number(said.get("rows")),
        truncated=bool(said["truncated"]) if "truncated" in said else None,
        bytes=_number(said.get("size_bytes")),
        sha256=str(said.get("sha256") or ""),
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000)


def erase(home: Home, settings: Settings, operation: str, actor: Actor, reason: str) -> None:
    """Erases SQL text and parameters (or the detail) of an operation. Raises ExaminationRefused, HomeRefused, AuditUnavailable."""
    keys = read_keys(home)

    def clock() -> datetime:
        return datetime.now(UTC)

    with audit_engine(audit_url(home, settings)) as engine:
        records = SqlTrail(engine).operation(operation)
        if not any(one.literals is not None for one in records):
            known = "no such operation in the trail" if not records else "nothing to erase: it was erased already"
            raise ExaminationRefused(f"There is {known}: {operation}.")
        with Journal(SqlAuditStore(engine), keys.audit, clock=clock) as journal:
            file = CheckpointFile(checkpoint_file(home, settings), keys.checkpoint)
            seal_at_end(journal, file, SqlTrail(engine), clock)
            journal.erase(operation, actor, reason=reason)
