"""The log: one line per entry, and nothing in it that should be nowhere."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from datalab.app.logs import QUIET, REDACTED, configure_logs, redacted
from datalab.app.settings import LogSettings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def fail() -> None:
    try:
        int("dls_topsecret")
    except ValueError:
        logging.getLogger("x").exception("it failed")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {secret}",
        "authorization: bearer {secret}",
        "Basic {secret}",
        "postgresql+psycopg://user:{secret}@host/db",
        "GET /f?X-Amz-Credential=a&X-Amz-Signature={secret}&x=1",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert "c2VjcmV0c2VjcmV0" not in redacted(text.format(secret="c2VjcmV0c2VjcmV0"))
    assert REDACTED in redacted(text.format(secret="c2VjcmV0c2VjcmV0"))


@pytest.mark.parametrize("text", ["dls_abcDEF-123", "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"])
def test_our_own_secrets_and_tokens_are_taken_out_wherever_they_are(text: str) -> None:
    assert redacted(f"it said {text}, alas") == f"it said {REDACTED}, alas"


@pytest.mark.parametrize(
    "text", ["space health/cohort version 3", "https://data.example.org:8443/path", "a basic test"]
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text


def test_tracebacks_are_cleaned_too(stream: io.StringIO) -> None:
    configure_logs(LogSettings(), stream)
    fail()
    assert "Traceback" in stream.getvalue()
    assert "topsecret" not in stream.getvalue()


def test_json_entries_are_one_object_per_line(stream: io.StringIO) -> None:
    configure_logs(LogSettings(format="json"), stream)
    logging.getLogger("x").info("two\nlines with %s", "dls_topsecret")
    fail()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "x", f"two\nlines with {REDACTED}")
    assert "topsecret" not in second["traceback"]


def test_the_level_is_the_settings(stream: io.StringIO) -> None:
    configure_logs(LogSettings(level="warning"), stream)
    logging.getLogger("x").info("quiet")
    assert stream.getvalue() == ""


def test_a_line_break_in_a_value_cannot_forge_an_entry(stream: io.StringIO) -> None:
    configure_logs(LogSettings(), stream)
    logging.getLogger("x").info("refused %s", "a\n2026-11-01 INFO audit: all is well")
    assert len(stream.getvalue().splitlines()) == 1
