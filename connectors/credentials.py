"""Keys to other people's storages: in memory a value that never shows itself, at rest sealed.

Sealed with AES-256-GCM (NIST SP 800-38D) under a key that the application gives, bound to the uid of the storage: a blob
moved to another storage's record does not open. Must never return a secret to anything but a connector.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.errors import CredentialsRefused, SealBroken

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FORMAT: Final = 1
_CONTEXT: Final = b"datalab storage credentials"
_LONGEST: Final = {"access_key": 256, "secret_key": 1024, "session_token": 8192}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Keys of an S3 account; session_token where they are temporary. Its text and repr show nothing."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, document: Mapping[str, str]) -> Self:
        """From its JSON form, as a storage document has it: `access_key`, `secret_key`, optional `session_token`.

        Raises:
            CredentialsRefused: a field is missing, unknown, too long or not printable ASCII. Names fields, never values.
        """
        unknown = sorted(set(document) - set(_LONGEST))
        if unknown:
            raise CredentialsRefused("Credentials have the fields access_key, secret_key and session_token only.")
        for name in ("access_key", "secret_key"):
            if not document.get(name):
                raise CredentialsRefused(f"Credentials need `{name}`.", field=name)
        for name, value in document.items():
            if not isinstance(value, str) or len(value) > _LONGEST[name] or not _plain(value):
                raise CredentialsRefused(f"`{name}` is too long or holds characters that no key has.", field=name)
        return cls(
            key_id=document["access_key"],
            secret=document["secret_key"],
            session_token=document.get("session_token") or None,
        )

    def document(self) -> dict[str, str]:
        """The JSON form. Carries the secret."""
        fields = {"access_key": self.key_id, "secret_key": self.secret}
        return fields | ({"session_token": self.session_token} if self.session_token else {})


def _plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


class CredentialSealer:
    """Seals and opens credentials.

    keys: key id -> 32 bytes; more than one while keys are being rotated. current: the id of the one that seals.
    """

    def __init__(self, keys: Mapping[str, bytes], *, current: str) -> None:
        if current not in keys:
            raise ValueError("the current key id has no key")
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES or not 0 < len(key_id.encode()) < 256:
                raise ValueError("a sealing key has 32 bytes and an id of 1 to 255 bytes")
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = current

    def __repr__(self) -> str:
        return f"CredentialSealer(current={self._current!r})"

    def seal(self, uid: str, credentials: Mapping[str, str] | Credentials) -> bytes:
        """The sealed form of a storage's credentials. uid: the storage's. Raises CredentialsRefused."""
        if not isinstance(credentials, Credentials):
            credentials = Credentials.parse(credentials)
        key_id = self._current.encode()
        nonce = os.urandom(_NONCE_BYTES)
        head = bytes([_FORMAT, len(key_id)]) + key_id
        plain = json.dumps(credentials.document()).encode()
        return head + nonce + self._keys[self._current].encrypt(nonce, plain, _bound(head, uid))

    def open(self, uid: str, sealed: bytes) -> Credentials:
        """The credentials. Raises SealBroken: altered, moved from another storage, or sealed with a key we lack."""
        head, key_id = _head(sealed)
        key = self._keys.get(key_id)
        if key is None:
            raise SealBroken("The storage's credentials are sealed with a key that this gateway does not have.")
        nonce = sealed[len(head) : len(head) + _NONCE_BYTES]
        try:
            plain = key.decrypt(nonce, sealed[len(head) + _NONCE_BYTES :], _bound(head, uid))
        except (InvalidTag, ValueError) as error:
            raise SealBroken("The storage's sealed credentials do not open.") from error
        return Credentials.parse(json.loads(plain))

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is sealed with the current key; if not, open it and seal it again. Raises SealBroken."""
        return _head(sealed)[1] == self._current


def _head(sealed: bytes) -> tuple[bytes, str]:
    if len(sealed) < 2 or sealed[0] != _FORMAT or len(sealed) < 2 + sealed[1] + _NONCE_BYTES:
        raise SealBroken("The storage's sealed credentials are damaged.")
    head = sealed[: 2 + sealed[1]]
    return head, head[2:].decode(errors="replace")


def _bound(head: bytes, uid: str) -> bytes:
    return b"\0".join((_CONTEXT, head, uid.encode()))
