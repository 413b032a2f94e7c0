"""Which file names and locations we follow: relative, plain, and meaning the same to every part that reads them.

A path goes to the engine's globbing, to S3 request lines and to the file system, and each of these gives characters a
meaning of its own: `?s3_endpoint=` redirects signed requests, `[1]` globs, `%2e%2e` climbs. Owns the refusal of all of
them. Must never touch a file: resolving beneath a root is the connectors' work.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from catalog.errors import PathRefused

_FORBIDDEN = frozenset("?#*[]{}\\")
_MAX_BYTES = 1024  # of an S3 key, https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MAX_SEGMENT_BYTES = 255  # NAME_MAX of Linux file systems
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.=+@,:-]+"
_PLAIN = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")  # most names: no doubt, and quickly checked
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def check_relative_path(text: str) -> str:
    r"""The text itself if it is a relative path of a file; raises PathRefused (`catalog.path`) otherwise.

    `/` separates. Refused: an empty path or segment, `.` and `..`, a leading or trailing `/`, `? # * [ ] { } \`, control
    characters, lone surrogates, more than 1024 bytes in all or 255 in a segment; and percent escapes that hide any of
    these or a `/` (others, as in the hive partition `city=S%C3%A3o`, are plain characters).
    """
    if len(text) <= _MAX_SEGMENT_BYTES and _PLAIN.fullmatch(text):
        return text
    if not text:
        raise PathRefused("A file name must not be empty.")
    _refuse_characters(text)
    _refuse_segments(text)
    hidden = text
    while _ESCAPE.search(hidden):
        shown = unquote(hidden, errors="replace")
        if shown.count("/") != text.count("/"):
            raise PathRefused("A file name must not hide a `/` in a percent escape.")
        _refuse_characters(shown)
        _refuse_segments(shown)
        if shown == hidden:
            break
        hidden = shown
    return text


def check_location(text: str) -> str:
    """The text itself if it is the location of a dataset in its storage; raises PathRefused otherwise.

    As `check_relative_path`, but `""` is the whole storage and a prefix may end in `/`.
    """
    if text:
        check_relative_path(text.removesuffix("/"))
    return text


def _refuse_characters(text: str) -> None:
    found = sorted(_FORBIDDEN & set(text))
    if found:
        raise PathRefused(f"A file name must not contain {' '.join(found)}.")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise PathRefused("A file name must not contain control characters.")


def _refuse_segments(text: str) -> None:
    if text.startswith("/"):
        raise PathRefused("A file name must be relative to its storage: without a leading `/`.")
    segments = text.split("/")
    if "" in segments:
        raise PathRefused("A file name must not contain an empty segment.")
    if any(segment in {".", ".."} for segment in segments):
        raise PathRefused("A file name must not contain `.` or `..` as a segment.")
    sizes = [len(segment.encode()) for segment in segments]
    if max(sizes) > _MAX_SEGMENT_BYTES or sum(sizes) + len(sizes) - 1 > _MAX_BYTES:
        raise PathRefused("A file name must not be longer than 1024 bytes, nor any segment than 255.")
