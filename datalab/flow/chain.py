"""The arithmetic of the audit chain: canonical bodies, hashes, keyed codes, commitments to what may be erased later.

Owns no state and reads no clock. A record's hash covers its body and the hash before it, and the body names its chain and
place, so that a record can be told apart from one that was changed, moved or left out. The hash needs no key: whoever holds
a signed checkpoint can follow a chain with it. The code (HMAC-SHA-256, RFC 2104) needs the audit key: without it nobody
can add a record that passes.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

import orjson

HASH_TAG = b"datalab-audit-record-1\0"
LITERALS_TAG = b"datalab-audit-literals-1\0"
START = "0" * 64
"""What stands for the hash before the first record of a chain."""

SALT_BYTES = 32
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many records it has, and the hash of the last one (hex)."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A record as it is stored. previous, hash, mac: 64 hex digits; body: canonical JSON."""

    chain: str
    seq: int
    previous: str
    body: str
    hash: str
    mac: str


def canonical(value: object) -> bytes:
    """The one JSON text of a value: keys sorted, no blanks, UTF-8. Raises TypeError for what JSON cannot hold.

    Integers beyond 64 bits, which orjson refuses, and lone surrogates must have been replaced by `storable` before.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def storable(value: object) -> object:
    """The value in a form that `canonical` accepts whatever a caller sent: big integers as text, broken text repaired."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, Mapping):
        return {str(storable(str(key))): storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(one) for one in value]
    return str(storable(str(value)))


def record_hash(previous: str, body: bytes) -> str:
    return hashlib.sha256(HASH_TAG + bytes.fromhex(previous) + body).hexdigest()


def record_mac(key: bytes, hash_: str) -> str:
    return hmac.digest(key, HASH_TAG + bytes.fromhex(hash_), "sha256").hex()


def authentic(key: bytes, hash_: str, mac: str) -> bool:
    """Whether someone who holds the key sealed the record with this hash."""
    return hmac.compare_digest(record_mac(key, hash_), mac)


def seal(key: bytes, chain: str, head: Head, content: Mapping[str, object]) -> tuple[Sealed, Head]:
    """The record that follows `head`, and the head it makes. content: must not hold the keys `chain` and `seq`."""
    seq = head.seq + 1
    body = canonical({**content, "chain": chain, "seq": seq})
    hash_ = record_hash(head.hash, body)
    sealed = Sealed(
        chain=chain, seq=seq, previous=head.hash, body=body.decode(), hash=hash_, mac=record_mac(key, hash_)
    )
    return sealed, Head(seq, hash_)


class Randomness:
    """The operating system's random bytes, fetched many at once, because each query needs a few and a call may cost 0.4 ms.

    Each byte is handed out once; a forked process starts afresh.
    """

    FETCH = 4096

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = Lock()
        self._rest = b""

    def take(self, size: int) -> bytes:
        with self._lock:
            if len(self._rest) < size:
                self._rest = os.urandom(self.FETCH)
            taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


randomness = Randomness()


def new_ref() -> str:
    """The id of a query or another operation: 32 hex digits, not to be guessed."""
    return randomness.take(16).hex()


@dataclass(frozen=True, slots=True)
class Literals:
    """What may be erased from the trail: SQL text, parameters, the detail of an administrative write.

    content: canonical JSON. The salt is erased with it, so that the commitment left in the chain cannot be guessed at.
    """

    salt: str
    content: str

    @staticmethod
    def of(value: object) -> Literals:
        return Literals(randomness.take(SALT_BYTES).hex(), canonical(storable(value)).decode())

    def commitment(self) -> str:
        return hashlib.sha256(LITERALS_TAG + bytes.fromhex(self.salt) + self.content.encode()).hexdigest()

    def fit(self, commitment: object) -> bool:
        """Whether these are the literals that were committed to."""
        try:
            return self.commitment() == commitment
        except ValueError:  # the salt is not even hex
            return False
