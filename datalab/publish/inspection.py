"""The inspection of a location's files: do they make one table, and which? What it yields is the body of a version.

Owns the sharing of work between inspector processes and the conclusion from their answers. Must never open a provider's
file in the gateway's own process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from catalog.entities import Column, FileEntry
from connectors.contract import FileIdentity
from datalab.publish.agreement import TableSchema, difference, distinct, reference
from datalab.publish.answer import Answer, judge, judge_problems
from datalab.publish.errors import FileProblem, FilesRefused, InspectionFailed, LocationRefused
from datalab.publish.partitions import PartitionKey, PartitionsRefused, detect, segments
from datalab.publish.process import Died, Inspector, Limits, Task
from datalab.publish.source import Source

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""(files done, files in all), called from one thread at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a location holds. files: in the order of their paths."""

    files: tuple[FileEntry, ...]
    columns: tuple[Column, ...]
    arrow_schema: bytes
    hive_partitioning: bool

    @property
    def row_count(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def inspect(
    source: Source, files: Sequence[FileIdentity], limits: Limits, progress: Progress = lambda _done, _all: None
) -> Inspected:
    """Reads the footers of these files in processes of their own.

    files: at least one, sorted by path; each must still be what it says here.

    Raises:
        FilesRefused: files that cannot be served, or that do not make one table.
        LocationRefused: the storage lies where partitions cannot be told apart.
        InspectionFailed: it took too long, or a process failed without a file at fault.
    """
    keys = _partitions(source, files)
    task = Task(source=source, files=files, keys=keys, limits=limits, deadline=time.monotonic() + limits.timeout_s)
    answers = _share(task, progress)
    problems = tuple(chain.from_iterable(answer.problems for answer in answers))
    if problems:
        raise FilesRefused(problems, sum(answer.total for answer in answers))
    rows = tuple(chain.from_iterable(answer.rows for answer in answers))
    schemas = tuple(chain.from_iterable(answer.schemas for answer in answers))
    rule = _agreed(files, schemas)
    occurring = distinct(schemas)
    return Inspected(
        files=tuple(file.entry(count) for file, count in zip(files, rows, strict=True)),
        columns=tuple(
            Column(
                name=name,
                type=type_,
                nullable=any(schema.nullable[index] for schema in occurring),
                partition=index >= len(rule.columns) - len(keys),
            )
            for index, (name, type_) in enumerate(rule.columns)
        ),
        arrow_schema=rule.arrow,
        hive_partitioning=bool(keys),
    )


def _partitions(source: Source, files: Sequence[FileIdentity]) -> tuple[PartitionKey, ...]:
    try:
        keys = detect([file.path for file in files])
    except PartitionsRefused as refusal:
        sentence = f"{refusal.path} {refusal.sentence}."
        raise FilesRefused([FileProblem(path=refusal.path, code="publish.partitions", sentence=sentence)]) from None
    if keys and segments(f"{source.fixed_path}/"):
        # The engine cuts the whole path, and would see these as columns too.
        sentence = "The storage itself lies in a `key=value` directory; files with partitions cannot be read there."
        raise LocationRefused("publish.partitions", sentence)
    return keys


def _share(task: Task, progress: Progress) -> list[Answer]:
    """Cuts the files into as many runs of neighbours as there are processes; answers in the order of files."""
    count = len(task.files)
    processes = min(task.limits.processes, -(-count // task.limits.files_per_process))
    size = -(-count // processes)
    parts = [replace(task, files=task.files[start : start + size]) for start in range(0, count, size)]
    inspectors = [Inspector(part) for part in parts]
    done = [0] * len(parts)
    reporting = threading.Lock()

    def ask(index: int) -> Answer:
        def report(files_done: int) -> None:
            with reporting:
                done[index] = files_done
                progress(sum(done), count)

        try:
            return judge(inspectors[index].run(report), parts[index].files)
        except Died:
            return _find_culprit(parts[index])

    with ThreadPoolExecutor(len(parts)) as pool:
        pending = [pool.submit(ask, index) for index in range(len(parts))]
        try:
            return [one.result() for one in pending]
        except BaseException:
            for inspector in inspectors:
                inspector.cancel()
            raise


def _find_culprit(part: Task) -> Answer:
    """Runs again, one file after the other, to learn at which one the process ends.

    Raises:
        InspectionFailed: at none that we could name.
    """
    log.warning("an inspector died over %d files; looking for the one at fault", len(part.files))
    careful = replace(part, careful=True)
    try:
        return judge(Inspector(careful).run(lambda _done: None), part.files)
    except Died as died:
        if died.at is None or not 0 <= died.at < len(part.files):
            raise InspectionFailed("publish.inspector", "The inspection failed; try again later.") from None
        path = part.files[died.at].path
        sentence = f"{path} is corrupt: reading its footer ended the process that inspected it."
        culprit = FileProblem(path=path, code="publish.corrupt", sentence=sentence)
        problems = (*judge_problems(died.problems, part.files), culprit)
        return Answer((), (), problems, len(problems))


def _agreed(files: Sequence[FileIdentity], schemas: Sequence[TableSchema]) -> TableSchema:
    """The one schema of all files. Raises FilesRefused, naming each file that differs and how."""
    rule = reference(schemas)
    how = {id(schema): difference(schema, rule) for schema in distinct(schemas)}
    problems = [
        FileProblem(path=file.path, code="publish.schema_differs", sentence=f"{file.path}: {text}.")
        for file, schema in zip(files, schemas, strict=True)
        if (text := how[id(schema)]) is not None
    ]
    if problems:
        raise FilesRefused(problems)
    return rule
