"""What clients send to the token and revocation endpoints, read strictly.

Owns the parsing of form bodies and of HTTP Basic (RFC 6749 section 2.3.1: both halves are form-encoded). Must never guess:
what two readers could understand differently is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

FORM = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 64 * 1024
MAX_FIELDS = 50
REPEATABLE = frozenset({"resource", "audience"})
NOT_AUTHENTICATED = "The client is not known here, or its credentials are wrong."


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A POST as it arrived, free of HTTP's framework. query: the raw query string."""

    body: bytes
    content_type: str = ""
    authorization: Sequence[str] = ()
    query: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    client_id: str
    secret: str = field(repr=False)


def read_form(posted: Posted) -> Mapping[str, Sequence[str]]:
    """The parameters of the body. Raises InvalidRequestError unless they can be read in one way only."""
    if posted.query:
        raise InvalidRequestError("Send all parameters in the body, none in the address.")
    if posted.content_type.partition(";")[0].strip().lower() != FORM:
        raise InvalidRequestError(f"Send the parameters as {FORM}.")
    if len(posted.body) > MAX_BODY_BYTES:
        raise InvalidRequestError("The request is too large.")
    try:
        pairs = parse_qsl(posted.body.decode("ascii"), errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise InvalidRequestError("The form cannot be read as UTF-8.") from error
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    if any(len(values) > 1 and name not in REPEATABLE for name, values in form.items()):
        raise InvalidRequestError("A parameter is sent twice.")
    return form


def read_credentials(posted: Posted, form: Mapping[str, Sequence[str]]) -> Credentials:
    """The one pair of credentials that was presented, by client_secret_basic or client_secret_post.

    Raises InvalidRequestError if several mechanisms are used at once, InvalidClientError (401) if none can be read.
    """
    in_body = "client_secret" in form or "client_assertion" in form
    if len(posted.authorization) + in_body > 1:
        raise InvalidRequestError("Authenticate the client in one way only.")
    if not posted.authorization:
        if "client_id" in form and "client_secret" in form:
            return Credentials(form["client_id"][0], form["client_secret"][0])
        raise not_authenticated()
    credentials = _basic(posted.authorization[0])
    if form.get("client_id", [credentials.client_id]) != [credentials.client_id]:
        raise InvalidRequestError("The body names another client than the Authorization header.")
    return credentials


def not_authenticated() -> InvalidClientError:
    """The same for an unknown client, a wrong secret and unreadable credentials."""
    return InvalidClientError(description=NOT_AUTHENTICATED, status_code=401)


def _basic(authorization: str) -> Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise not_authenticated()
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = text.partition(":")
        credentials = Credentials(unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"))
    except (binascii.Error, ValueError) as error:
        raise not_authenticated() from error
    if not colon or not credentials.client_id or not credentials.secret:
        raise not_authenticated()
    return credentials
