"""What is logged, in which form, and what never is.

Owns the root logger's handler. Secrets, tokens and credentials are taken out of every line, tracebacks included, at any
level. Must never depend on each caller's care alone.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from datalab.app.settings import LogSettings

REDACTED = "[redacted]"
SECRETS = re.compile(
    r"""
    \beyJ[\w-]{8,}\.[\w-]+\.[\w-]*                                   # a JWT
    | \bdls_[\w-]+                                                    # a client secret of ours
    | (?<=\bBearer\s)\S+ | (?<=\bBasic\s)[\w+/=-]{8,}                 # Authorization values
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                                 # user and password in an address
    | (?<=X-Amz-Signature=)\w+ | (?<=X-Amz-Credential=)[^&\s]+        # presigned addresses
    """,
    re.VERBOSE | re.IGNORECASE,
)
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
QUIET = ("authlib", "httpx2", "httpcore2", "urllib3", "uvicorn.access", "multipart", "python_multipart")
"""Libraries whose debug lines show what they carry; they begin at warning."""


def redacted(text: str) -> str:
    """The text with everything that looks like a secret taken out."""
    return SECRETS.sub(REDACTED, text)


class TextFormatter(logging.Formatter):
    """`time level logger: message`, one line per entry but for tracebacks."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name in the base class
        """The entry's line without its traceback: one line, whatever a client put into it."""
        return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), super().formatMessage(record))


class JsonFormatter(logging.Formatter):
    """One JSON object per entry: time (RFC 3339, UTC), level, logger, message, and traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(entry)


def configure_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Sends the process's log to standard error (or `stream`), replacing what was set up before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
