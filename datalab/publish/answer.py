"""An inspector's answer, judged: every part of it is checked, whatever the process says.

Owns the form of answers. Must never take more from one than was asked for: an inspector may have been taken over by what it
read, and then speaks for the provider whose files these are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.contract import FileIdentity
from datalab.publish.agreement import TableSchema
from datalab.publish.errors import FileProblem, InspectionFailed

MAX_ROWS: Final = 10**12  # of one file
MAX_COLUMNS: Final = 5000
MAX_SCHEMAS: Final = 1000
MAX_TEXT: Final = 1000
MAX_TYPE: Final = 1 << 20  # the text of a wide STRUCT
_CODE = re.compile(r"(publish|storage)\.[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Answer:
    """About some files, in their order: either problems (and how many there are in all), or rows and schema of each."""

    rows: tuple[int, ...]
    schemas: tuple[TableSchema, ...]
    problems: tuple[FileProblem, ...] = ()
    total: int = 0


def judge(result: Mapping[str, Any], files: Sequence[FileIdentity]) -> Answer:
    """Raises InspectionFailed: this is no answer about these files."""
    try:
        if "problems" in result:
            return _problems(result, {file.path for file in files})
        rows = tuple(_count(rows) for rows in result["rows"])
        schemas = [_schema(one) for one in result["schemas"][:MAX_SCHEMAS]]
        of_files = tuple(schemas[_count(index)] for index in result["schema_of"])
        if len(rows) == len(files) == len(of_files):
            return Answer(rows, of_files)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, binascii.Error):
        pass
    raise InspectionFailed("publish.inspector", "The inspection failed; try again later.")


def judge_problems(found: Sequence[object], files: Sequence[FileIdentity]) -> tuple[FileProblem, ...]:
    """What a process said before it ended. Raises InspectionFailed: it is not about these files."""
    if not found:
        return ()
    return judge({"problems": found, "total": len(found)}, files).problems


def _problems(result: Mapping[str, Any], paths: set[str]) -> Answer:
    problems = []
    for one in result["problems"]:
        path, code, sentence = _text(one["path"]), _text(one["code"]), _text(one["sentence"])
        if path not in paths or not _CODE.fullmatch(code):
            raise ValueError("a problem that is none of ours")
        problems.append(FileProblem(path=path, code=code, sentence=sentence[:MAX_TEXT]))
    total = _count(result["total"])
    if not 0 < len(problems) <= total <= len(paths):
        raise ValueError("a refusal without a problem")
    return Answer((), (), tuple(problems), total)


def _schema(message: Mapping[str, Any]) -> TableSchema:
    columns = tuple((_text(name), _text(type_, MAX_TYPE)) for name, type_ in message["columns"])
    nullable = tuple(_flag(one) for one in message["nullable"])
    if not 0 < len(columns) <= MAX_COLUMNS or len(columns) != len(nullable):
        raise ValueError("no table")
    return TableSchema(columns, nullable, base64.b64decode(message["arrow"], validate=True))


def _text(value: object, longest: int = 4 * MAX_TEXT) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise TypeError("no text of the expected size")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("no boolean")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_ROWS:
        raise TypeError("no count")
    return value
