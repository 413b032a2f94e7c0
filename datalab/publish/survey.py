"""One run over one dataset's files: each file's footer, then whether they make one table.

Owns the order of the questions and the words of the answers. Runs only inside the inspector process. Must never put a
library's words into an answer.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, Protocol

import pyarrow as pa

from connectors.contract import Connector, FileIdentity
from connectors.errors import StorageError
from datalab.publish.agreement import TableSchema, difference, reference
from datalab.publish.examine import Examiner, FileFacts, fetch_footer
from datalab.publish.footer import FooterRefused, FooterSchema, shown
from datalab.publish.partitions import PartitionKey, PartitionsRefused, detect

CHUNK_FILES: Final = 64
MAX_PROBLEMS: Final = 100

Problem = dict[str, str]


class Engine(Protocol):
    """How the query engine sees a footer; both raise FooterRefused."""

    def describe(self, footer: bytes, schema: FooterSchema) -> TableSchema:
        """The columns of the files themselves."""
        ...

    def table(
        self, footer: bytes, path: str, keys: Sequence[PartitionKey]
    ) -> tuple[tuple[tuple[str, str], ...], pa.Schema]:
        """All columns, those of the partitions in `path` included, and the Arrow schema in which it would answer."""
        ...


class Survey:
    """The files of one dataset as one connector yields them."""

    def __init__(self, files: Sequence[FileIdentity], connector: Connector, engine: Engine) -> None:
        self._files = files
        self._connector = connector
        self._engine = engine
        self._examiner = Examiner(engine.describe)

    def examine(self, threads: int, report: Callable[[int], None]) -> tuple[list[FileFacts | None], list[Problem], int]:
        """Each file's facts (None: refused), the problems that are shown, and how many there are."""
        chunks = [
            range(start, min(start + CHUNK_FILES, len(self._files)))
            for start in range(0, len(self._files), CHUNK_FILES)
        ]
        facts: list[FileFacts | None] = []
        problems: list[Problem] = []
        total = 0
        with ThreadPoolExecutor(threads) as pool:
            for found in pool.map(self._examine_chunk, chunks):
                for one in found:
                    if isinstance(one, FileFacts):
                        facts.append(one)
                        continue
                    facts.append(None)
                    total += 1
                    if len(problems) < MAX_PROBLEMS:
                        problems.append(one)
                report(len(facts))
        return facts, problems, total

    def _examine_chunk(self, chunk: range) -> list[FileFacts | Problem]:
        return [self.examine_one(self._files[index]) for index in chunk]

    def examine_one(self, file: FileIdentity) -> FileFacts | Problem:
        try:
            with closing(self._connector.open(file.path, file)) as opened:
                return self._examiner.examine(opened, file.size_bytes)
        except FooterRefused as refusal:
            return problem(file.path, refusal.code, refusal.sentence)
        except StorageError as error:
            return {"path": file.path, "code": error.code, "sentence": f"{file.path}: {error.sentence}"}

    def conclude(self, facts: Sequence[FileFacts]) -> dict[str, Any]:
        """The result, when every file was examined without a problem."""
        schemas = self._examiner.schemas
        rule = reference(schemas, [one.schema for one in facts])
        problems, total = self._differing(facts, rule)
        if problems:
            return {"problems": problems, "total": total}
        try:
            keys = detect([file.path for file in self._files])
        except PartitionsRefused as refusal:
            return {"problems": [problem(refusal.path, "publish.partitions", refusal.sentence)], "total": 1}
        clash = _clash(keys, schemas[rule])
        if clash is not None:
            return {"problems": [problem(self._files[0].path, "publish.partition_column", clash)], "total": 1}
        try:
            typical = self._files[next(index for index, one in enumerate(facts) if one.schema == rule)]
            with closing(self._connector.open(typical.path, typical)) as opened:
                footer = fetch_footer(opened, typical.size_bytes)
            columns, arrow = self._engine.table(footer, typical.path, keys)
        except FooterRefused as refusal:
            return {"problems": [problem(typical.path, refusal.code, refusal.sentence)], "total": 1}
        used = {one.schema for one in facts}
        file_columns = len(schemas[rule].columns)
        nullable = [any(schemas[index].nullable[column] for index in used) for column in range(file_columns)]
        return {
            "rows": [one.rows for one in facts],
            "columns": [
                [name, type_, index >= file_columns or nullable[index], index >= file_columns]
                for index, (name, type_) in enumerate(columns)
            ],
            "arrow_schema": base64.b64encode(arrow.serialize().to_pybytes()).decode(),
            "hive_partitioning": bool(keys),
        }

    def _differing(self, facts: Sequence[FileFacts], rule: int) -> tuple[list[Problem], int]:
        schemas = self._examiner.schemas
        how = [difference(schema, schemas[rule]) for schema in schemas]
        differing = [(file, how[one.schema]) for file, one in zip(self._files, facts, strict=True) if how[one.schema]]
        listed = [
            {"path": file.path, "code": "publish.schema_differs", "sentence": f"{file.path}: {text}."}
            for file, text in differing[:MAX_PROBLEMS]
        ]
        return listed, len(differing)


def problem(path: str, code: str, sentence: str) -> Problem:
    return {"path": path, "code": code, "sentence": f"{path} {sentence}."}


def _clash(keys: Sequence[PartitionKey], schema: TableSchema) -> str | None:
    names = {name.casefold(): name for name, _type in schema.columns}
    for key in keys:
        if key.name.casefold() in names:
            return (
                f"lies in a partition named {shown(key.name)}, and its files have a column "
                f"{shown(names[key.name.casefold()])}: one of them must be renamed"
            )
    return None
