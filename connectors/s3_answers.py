"""What an S3 server's answers and a connection's failures mean in the storages' own words.

Owns the mapping. Must never pass on the server's own text: it can hold anything, keys and other people's names included.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from connectors.errors import (
    AccessDenied,
    CredentialsRefused,
    FileChanged,
    Malformed,
    NotFound,
    Redirected,
    StorageError,
    Unreachable,
)

_WRONG_KEYS: Final = frozenset({
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
    "InvalidSecurity", "AuthorizationHeaderMalformed",
})  # fmt: skip
_DENIED: Final = frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp"})
_ELSEWHERE: Final = frozenset({"PermanentRedirect", "TemporaryRedirect", "Redirect", "MovedPermanently"})

_DENIED_SENTENCE: Final = "The storage's keys do not allow this, or are not known there."
_KEYS_SENTENCE: Final = "The storage does not accept these keys: unknown, wrong, expired, or for another region."


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Turns whatever leaves the block into a StorageError."""
    try:
        yield
    except StorageError:
        raise
    except S3Error as error:
        raise _from_code(error.code or "", error.response.status) from None
    except InvalidResponseError as error:
        raise _from_status(error._code) from None  # noqa: SLF001  minio gives the status no public name
    except ServerError as error:
        raise _from_status(error.status_code) from None
    except MaxRetryError as error:
        raise _from_failure(error.reason) from None
    except (HTTPError, OSError) as error:
        raise _from_failure(error) from None
    except (MinioException, ParseError, ValueError, TypeError, AttributeError, LookupError):
        # minio's parsers assume well-formed answers and stumble in as many ways over others.
        raise Malformed("The endpoint's answer is not S3.") from None


def _from_code(code: str, status: int) -> StorageError:
    if code in _WRONG_KEYS:
        return CredentialsRefused(_KEYS_SENTENCE)
    if code == "RequestTimeTooSkewed":
        return CredentialsRefused("The clocks of the gateway and the storage differ too much.")
    if code in _DENIED:
        return AccessDenied(_DENIED_SENTENCE)
    if code == "NoSuchBucket":
        return NotFound("There is no such bucket.")
    if code in {"PreconditionFailed", "InvalidRange"}:
        return FileChanged("The file is no longer the one that was recorded.")
    if code in _ELSEWHERE:
        return Redirected("The endpoint sends requests elsewhere. Register the place where the files are.")
    return _from_status(status)


def _from_status(status: int) -> StorageError:
    if status == 401:
        return CredentialsRefused(_KEYS_SENTENCE)
    if status == 403:
        return AccessDenied(_DENIED_SENTENCE)
    if status == 404:
        return NotFound("There is no such file.")
    if status in {412, 416}:
        return FileChanged("The file is no longer the one that was recorded.")
    if status in {408, 429} or status >= 500:
        return Unreachable("The storage is out of order or overloaded.", status=status)
    return Malformed("The endpoint's answer is not S3.", status=status)


def _from_failure(reason: BaseException | None) -> StorageError:
    if isinstance(reason, SSLError):
        return Unreachable("The endpoint's certificate is not one that the gateway trusts.")
    return Unreachable("The storage cannot be reached, or does not answer in time.")
