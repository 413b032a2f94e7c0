"""One run over some of a dataset's files: each file's rows and schema, or what is wrong with it.

Owns the threads and the words. Runs only inside the inspector process. Must never put a library's words into an answer.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

from connectors.contract import Connector, FileIdentity, Opener
from connectors.errors import StorageError
from datalab.publish.agreement import TableSchema
from datalab.publish.examine import Examiner, FileFacts
from datalab.publish.footer import FooterRefused, FooterSchema

CHUNK_FILES: Final = 64
MAX_PROBLEMS: Final = 100

Problem = dict[str, str]


class Survey:
    """The files as one connector yields them. describe, careful: as `Examiner` takes them."""

    def __init__(
        self,
        files: Sequence[FileIdentity],
        connector: Connector,
        describe: Callable[[bytes, FooterSchema], TableSchema],
        *,
        careful: bool = False,
    ) -> None:
        self._files = files
        self._connector = connector
        self._examiner = Examiner(describe, careful=careful)

    def run(self, threads: int, report: Callable[[int], None]) -> dict[str, Any]:
        """Each file's rows and schema in order, or the first problems and their number; report: files done so far."""
        count = len(self._files)
        chunks = [range(start, min(start + CHUNK_FILES, count)) for start in range(0, count, CHUNK_FILES)]
        found: list[FileFacts | Problem] = []
        with ThreadPoolExecutor(threads) as pool:
            for some in pool.map(self._examine_chunk, chunks):
                found += some
                report(len(found))
        return self._answer(found)

    def run_one_by_one(self, at: Callable[[int], None], problem: Callable[[Problem], None]) -> dict[str, Any]:
        """The same, told of each file before it is looked at and of each problem at once, should the process end there."""
        found: list[FileFacts | Problem] = []
        for index in range(len(self._files)):
            at(index)
            found += self._examine_chunk(range(index, index + 1))
            if not isinstance(found[-1], FileFacts):
                problem(found[-1])
        return self._answer(found)

    def _answer(self, found: Sequence[FileFacts | Problem]) -> dict[str, Any]:
        facts = [one for one in found if isinstance(one, FileFacts)]
        problems = [one for one in found if not isinstance(one, FileFacts)]
        if problems:
            return {"problems": problems[:MAX_PROBLEMS], "total": len(problems)}
        return {
            "rows": [one.rows for one in facts],
            "schema_of": [one.schema for one in facts],
            "schemas": [_message(schema) for schema in self._examiner.schemas],
        }

    def _examine_chunk(self, chunk: range) -> list[FileFacts | Problem]:
        try:
            with self._connector.opening() as open_file:
                return [self._examine(open_file, self._files[index]) for index in chunk]
        except StorageError as error:  # the storage as a whole is gone
            return [_refused(self._files[index], error) for index in chunk]

    def _examine(self, open_file: Opener, file: FileIdentity) -> FileFacts | Problem:
        try:
            with closing(open_file(file.path, file)) as opened:
                return self._examiner.examine(opened, file.size_bytes)
        except FooterRefused as refusal:
            return {"path": file.path, "code": refusal.code, "sentence": f"{file.path} {refusal.sentence}."}
        except StorageError as error:
            return _refused(file, error)


def _refused(file: FileIdentity, error: StorageError) -> Problem:
    return {"path": file.path, "code": error.code, "sentence": f"{file.path}: {error.sentence}"}


def _message(schema: TableSchema) -> dict[str, object]:
    return {
        "columns": [list(column) for column in schema.columns],
        "nullable": list(schema.nullable),
        "arrow": base64.b64encode(schema.arrow).decode("ascii"),
    }
