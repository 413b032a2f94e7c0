"""What can be wrong with a storage.

    StorageError                 .code "storage.slug", .sentence, .detail (JSON-able, safe to show to the provider)
    +- StorageRefused            the place, its name or its keys must change; logged at info
    |  +- PathRefused            storage.path         a name that could mean something else, or leads out of the root
    |  +- RootRefused            storage.root         a directory the operator did not open, or the gateway's own home
    |  +- AddressRefused         storage.address      an endpoint that is, or resolves to, what the operator does not allow
    |  +- Redirected             storage.redirect     the endpoint sends us elsewhere; signed requests never follow
    |  +- AuthorityRefused       storage.authority    the private certificate authority is not one, or not the others'
    |  +- CredentialsRefused     storage.credentials  keys are missing, malformed, unknown, expired or wrong
    |  +- AccessDenied           storage.denied       the keys are right but may not do this
    |  +- NotFound               storage.not_found    no such file, bucket or directory
    |  +- NothingFound           storage.empty        no data file at this location
    |  +- TooMany                storage.too_many     more files than one dataset version may have
    |  +- FileChanged            storage.changed      a file is not the one that was recorded
    +- StorageFailed             it may work later; logged at error
       +- Unreachable            storage.unreachable  no connection, no answer in time, or no trusted certificate
       +- Malformed              storage.answer       an answer that is not S3, or larger than any right one
       +- SealBroken             storage.seal         sealed credentials that our keys do not open

Must never carry a credential, a server's own words, or an absolute path of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class StorageError(Exception):
    """Base of all. code: stable `storage.slug`; sentence: plain English, what is wrong and what to do."""

    code: ClassVar[str] = "storage.failed"

    def __init__(self, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class StorageRefused(StorageError):
    pass


class PathRefused(StorageRefused):
    code = "storage.path"


class RootRefused(StorageRefused):
    code = "storage.root"


class AddressRefused(StorageRefused):
    code = "storage.address"


class Redirected(StorageRefused):
    code = "storage.redirect"


class AuthorityRefused(StorageRefused):
    code = "storage.authority"


class CredentialsRefused(StorageRefused):
    code = "storage.credentials"


class AccessDenied(StorageRefused):
    code = "storage.denied"


class NotFound(StorageRefused):
    code = "storage.not_found"


class NothingFound(StorageRefused):
    code = "storage.empty"


class TooMany(StorageRefused):
    code = "storage.too_many"


class FileChanged(StorageRefused):
    code = "storage.changed"


class StorageFailed(StorageError):
    pass


class Unreachable(StorageFailed):
    code = "storage.unreachable"


class Malformed(StorageFailed):
    code = "storage.answer"


class SealBroken(StorageFailed):
    code = "storage.seal"
