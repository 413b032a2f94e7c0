"""What a request can be refused with before it reaches any stage, and the one table from error class to HTTP status.

    RequestRefused           .code "request.slug", .sentence, .detail
    +- BadRequest            request.*           the request itself is malformed: JSON, characters, a cursor, a header
    +- NotAcceptable         request.accept      no format that the client accepts
    +- BodyTooLarge          request.too_large
    +- MediaTypeRefused      request.media_type
    +- PreconditionRequired  request.if_match    a change must say which state it changes

Owns the table; a test walks all error classes of the house and fails on one that it does not cover. Must never invent a
sentence: `problems.py` renders what the error says.
"""

from __future__ import annotations

from collections.abc import Mapping

from catalog.errors import CatalogError
from connectors import errors as storage
from connectors.errors import StorageError
from datalab.flow import errors as flow
from datalab.oauth import errors as oauth
from datalab.publish import errors as publish
from datalab.registry import errors as registry
from policies.errors import PolicyError


class RequestRefused(Exception):
    """Base of the refusals of the HTTP layer itself."""

    def __init__(self, code: str, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class BadRequest(RequestRefused):
    pass


class NotAcceptable(RequestRefused):
    pass


class BodyTooLarge(RequestRefused):
    pass


class MediaTypeRefused(RequestRefused):
    pass


class PreconditionRequired(RequestRefused):
    def __init__(self) -> None:
        sentence = "Send If-Match with the ETag that you read, so that nobody else's change is lost."
        super().__init__("request.if_match", sentence)


BASES: tuple[type[Exception], ...] = (
    RequestRefused,
    flow.FlowError,
    registry.RegistryError,
    oauth.OAuthError,
    publish.PublishError,
    StorageError,
    PolicyError,
    CatalogError,
)
"""The base of each package's errors: whatever derives from one is answered as a problem, and must be in the table."""

STATUS: Mapping[type[Exception], int] = {
    BadRequest: 400,
    NotAcceptable: 406,
    BodyTooLarge: 413,
    MediaTypeRefused: 415,
    PreconditionRequired: 428,
    flow.TokenRefused: 401,
    flow.ScopeRefused: 403,
    flow.PrincipalRefused: 403,
    flow.StatementRefused: 400,
    flow.DatasetUnknown: 404,
    flow.DecisionRefused: 403,
    flow.DecisionConflict: 409,
    flow.PlanConflict: 409,
    flow.PlanRefused: 422,
    flow.EngineRefused: 400,
    flow.ValueRefused: 422,
    flow.TimedOut: 408,
    flow.TooLarge: 413,
    flow.Busy: 429,
    flow.QueryUnknown: 404,
    flow.EngineFailed: 503,
    flow.StorageUnavailable: 503,
    flow.AuditUnavailable: 503,
    registry.NotFound: 404,
    registry.NotAllowed: 403,
    registry.Invalid: 422,
    registry.Conflict: 409,
    registry.Stale: 412,
    registry.Unavailable: 503,
    oauth.ClientUnknown: 404,
    oauth.ClientRefused: 403,
    oauth.ClientInvalid: 422,
    oauth.ClientConflict: 409,
    publish.LocationRefused: 422,
    publish.FilesRefused: 422,
    publish.FilesChanged: 409,
    publish.VersionNotFound: 404,
    publish.VersionConflict: 409,
    publish.NotProvider: 403,
    publish.Busy: 429,
    publish.InspectionFailed: 503,
    storage.StorageRefused: 422,
    storage.FileChanged: 409,
    storage.StorageFailed: 503,
    PolicyError: 422,
    CatalogError: 422,
}


def status_of(error: Exception) -> int:
    """The status of the nearest class in the table; 500 for what it does not know."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500
