"""Checkpoints: where every chain of the audit trail ended at a moment, signed, in an append-only file of its own.

Owns the file and its signatures (Ed25519, RFC 8032): whoever knows the public key can check them, without the audit key.
Lines are chained, several processes may write one file, and the trail records each line in turn. Must never rewrite a line.
Kept where the gateway's host cannot change it, the file shows any cut or rewriting of the trail up to its last line.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from datalab.flow.audit import Clock, Journal
from datalab.flow.chain import START, Head, canonical
from datalab.flow.errors import AuditUnavailable
from datalab.flow.trail import GATEWAY, Kind
from datalab.flow.trail_ports import Trail
from datalab.flow.verification import Checkpoint, Finding

log = logging.getLogger(__name__)

SIGNATURE_TAG = b"datalab-audit-checkpoint-1\0"
EMPTY = Head(0, START)


def public_key_of(key: bytes) -> str:
    """The public half of a checkpoint key, 64 hex digits: what an auditor keeps."""
    return Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw().hex()


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a checkpoint file, and what it says of each chain."""

    file: str
    number: int
    hash: str
    heads: Mapping[str, Head]


class CheckpointFile:
    """key: the checkpoint key, 32 bytes."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self._public = public_key_of(key)
        self._remembered: tuple[int, _End] | None = None

    def append(self, trail: Trail, at_us: int, *, fresh_us: int = 0) -> Checkpoint | None:
        """Writes a line with the heads of living chains and of those that moved since the line before; durable on return.

        None: nothing moved but by checkpoints themselves, or another process wrote a line less than `fresh_us` ago.
        Raises OSError, or what the trail raises.
        """
        with self._locked() as descriptor:
            end, written_us = self._end(descriptor)
            if 0 <= at_us - written_us < fresh_us:
                return None
            states = {state.chain: state for state in trail.heads() if state.head.seq > 0}
            moved = {chain for chain, state in states.items() if end.heads.get(chain) != state.head}
            if not any(trail.busy_since(chain, end.heads.get(chain, EMPTY).seq) for chain in moved):
                return None
            heads = {chain: one.head for chain, one in states.items() if chain in moved or not one.ended}
            line, checkpoint = self._sign(end, heads, at_us)
            _write_all(descriptor, line)
            os.fsync(descriptor)
            self._remember(descriptor, checkpoint, end)
            return checkpoint

    def _sign(self, end: _End, heads: Mapping[str, Head], at_us: int) -> tuple[bytes, Checkpoint]:
        content: dict[str, object] = {
            "file": end.file,
            "number": end.number + 1,
            "at_us": at_us,
            "previous": end.hash,
            "heads": {chain: [head.seq, head.hash] for chain, head in heads.items()},
            "key": self._public,
        }
        content["signature"] = self._key.sign(SIGNATURE_TAG + canonical(content)).hex()
        text = canonical(content)
        checkpoint = Checkpoint(
            file=end.file, number=end.number + 1, at_us=at_us, heads=heads, sha256=sha256(text).hexdigest()
        )
        return text + b"\n", checkpoint

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        created = not self._path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            if created:
                _sync_directory(self._path.parent)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _end(self, descriptor: int) -> tuple[_End, int]:
        """The file's end and the time of its last line; cheap while nobody else writes."""
        size = os.fstat(descriptor).st_size
        if self._remembered is not None and self._remembered[0] == size:
            return self._remembered[1], 0
        content = os.pread(descriptor, size, 0)
        if content and not content.endswith(b"\n"):  # a process died while it wrote; the rest is no line and never was
            _write_all(descriptor, b"\n")
        heads: dict[str, Head] = {}
        end, at_us = _End(uuid4().hex, 0, START, heads), 0
        for line in content.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                one = _parsed(line)
                heads.update(one.heads)
                end, at_us = _End(one.file, one.number, one.sha256, heads), one.at_us
        return end, at_us

    def _remember(self, descriptor: int, checkpoint: Checkpoint, before: _End) -> None:
        heads = {**before.heads, **checkpoint.heads}
        end = _End(checkpoint.file, checkpoint.number, checkpoint.sha256, heads)
        self._remembered = (os.fstat(descriptor).st_size, end)


def read_checkpoints(path: Path, public_key: str | None) -> tuple[list[Checkpoint], list[Finding]]:
    """The file's checkpoints, and what is wrong with it: lines altered, removed from the middle, signed by another key.

    public_key: 64 hex digits; None: the key that the first line names, which proves nothing about who wrote the file.
    Raises OSError.
    """
    checkpoints: list[Checkpoint] = []
    findings: list[Finding] = []
    previous = START
    lines = path.read_bytes().splitlines()
    for place, line in enumerate(lines, start=1):
        try:
            content = orjson.loads(line)
            one = _parsed(line)
            public_key = public_key or str(content["key"])
            _check_signature(content, public_key)
        except (ValueError, KeyError, TypeError, InvalidSignature):
            if not line.endswith(b"}"):
                continue  # the beginning of a line that a dying process did not finish
            findings.append(_finding(f"Line {place} of {path.name} was altered or not signed by this gateway."))
            continue
        if content["previous"] != previous:
            missing = one.number - (checkpoints[-1].number if checkpoints else 0) - 1
            findings.append(
                _finding(f"Before line {place} of {path.name}, {missing} checkpoints are missing or altered.")
            )
        previous = one.sha256
        checkpoints.append(one)
    return checkpoints, findings


def _finding(sentence: str) -> Finding:
    return Finding(code="verify.checkpoint_file", sentence=sentence)


def _parsed(line: bytes) -> Checkpoint:
    content = orjson.loads(line)
    heads = {chain: Head(seq, hash_) for chain, (seq, hash_) in content["heads"].items()}
    return Checkpoint(
        file=content["file"],
        number=content["number"],
        at_us=content["at_us"],
        heads=heads,
        sha256=sha256(line).hexdigest(),
    )


def _check_signature(content: dict[str, Any], public_key: str) -> None:
    """Raises InvalidSignature, ValueError, KeyError or TypeError."""
    signature = bytes.fromhex(content.pop("signature"))
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    key.verify(signature, SIGNATURE_TAG + canonical(content))


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seal_at_end(journal: Journal, file: CheckpointFile, trail: Trail, clock: Clock) -> None:
    """Has every process leave a checkpoint that pins the end of its chain, however short it lived."""
    journal.at_end(lambda: file.append(trail, microseconds(clock)))


def microseconds(clock: Clock) -> int:
    return round(clock().timestamp() * 1_000_000)


class Checkpointer:
    """Writes a checkpoint every interval. Start it after the journal."""

    def __init__(
        self, file: CheckpointFile, trail: Trail, journal: Journal, *, clock: Clock, interval_s: float = 60.0
    ) -> None:
        self._file = file
        self._trail = trail
        self._journal = journal
        self._clock = clock
        self._interval_s = interval_s
        self._stop = Event()
        self._thread = Thread(target=self._run, name="audit-checkpoints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; call it before the journal's stop."""
        self._stop.set()
        self._thread.join()

    def write(self) -> Checkpoint | None:
        """One checkpoint, now, recorded in the trail. Raises OSError, AuditUnavailable or what the trail raises."""
        now = microseconds(self._clock)
        checkpoint = self._file.append(self._trail, now, fresh_us=round(self._interval_s * 500_000))
        if checkpoint is not None:
            detail = {"file": checkpoint.file, "number": checkpoint.number, "sha256": checkpoint.sha256}
            self._journal.record(Kind.CHECKPOINT, GATEWAY, detail)
        return checkpoint

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self.write()
            except AuditUnavailable:
                log.warning("A checkpoint was written but could not be recorded: the audit trail cannot be written")
            except Exception:
                log.exception("No checkpoint of the audit trail could be written")
