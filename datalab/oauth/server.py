"""The embedded authorization server: Authlib's grammar of grants and errors, with our own authentication and tokens.

Owns what the token and revocation endpoints answer (RFC 6749, 7009, 8707). Must never log what it reads or hands out, and
never tells an unknown client from a wrong secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint

from catalog.entities import Participant, ParticipantStatus
from datalab.flow.errors import TokenRefused
from datalab.flow.jwks import Clock
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Principal
from datalab.flow.token import Claims, Verifier
from datalab.oauth.client import Client, matching
from datalab.oauth.form import Credentials, Posted, not_authenticated, read_credentials, read_form
from datalab.oauth.issue import AccessContext, AccessTokens
from datalab.oauth.ports import ClientStore, Journal, Revocations

AUTH_METHODS = ("client_secret_basic", "client_secret_post")
TOKEN_PATH = "/oauth/token"  # noqa: S105 - an address
REVOCATION_PATH = "/oauth/revoke"
CLIENT_CREDENTIALS = "client_credentials"
CHALLENGE = 'Basic realm="datalab", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Answer:
    """status, JSON body and headers; members are never null (RFC 6749 section 5.1)."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A client that proved itself, for Authlib to carry around. grant_id: the secret it proved itself with."""

    client: Client
    principal: Principal
    grant_id: str

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == CLIENT_CREDENTIALS


class InvalidTargetError(OAuth2Error):  # type: ignore[misc] # Authlib carries no types
    """RFC 8707: a resource that is not ours."""

    error = "invalid_target"
    description = "Tokens are given for this gateway only."


class FormRequest(OAuth2Request):  # type: ignore[misc] # Authlib carries no types
    """A request to one of our endpoints. url: its public address, from configuration and never from the Host header."""

    def __init__(self, url: str, form: Mapping[str, Sequence[str]], credentials: Credentials) -> None:
        super().__init__("POST", url)
        self.payload = BasicOAuth2Payload({name: values[0] for name, values in form.items()})
        self.credentials = credentials
        self.resources = tuple(form.get("resource", ()))

    @property
    def form(self) -> Mapping[str, str]:
        fields: Mapping[str, str] = self.payload.data
        return fields

    @property
    def args(self) -> Mapping[str, str]:
        return {}


class ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc] # Authlib carries no types
    """RFC 6749 section 4.4, with tokens made by `AccessTokens`: the stock generator knows neither request nor expiry."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def validate_requested_scope(self) -> None:
        known: Authenticated = self.request.client
        if set(_scopes(self.request)) - known.client.scopes:
            raise InvalidScopeError("The client may not have a scope that it asks for.")
        if set(self.request.resources) - {self.server.tokens.audience}:
            raise InvalidTargetError

    def create_token_response(self) -> tuple[int, object, object]:
        """Issues; the stock method would write the token into the debug log."""
        known: Authenticated = self.request.client
        scopes = _scopes(self.request) or known.client.scopes
        context = AccessContext(
            client=known.client, principal=known.principal, scopes=tuple(sorted(scopes)), grant_id=known.grant_id
        )
        return 200, self.server.tokens.issue(context), self.TOKEN_RESPONSE_HEADER


class Revocation(RevocationEndpoint):  # type: ignore[misc] # Authlib carries no types
    """RFC 7009 by token id: a token of the client's own is refused from the next request on; any other text is fine."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def check_params(self, request: FormRequest, client: Authenticated) -> None:
        if "token" not in request.form:
            raise InvalidRequestError("The parameter token is missing.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> OwnToken | None:
        try:
            claims = self.server.verifier.verify(token_string)
        except TokenRefused:
            return None
        return OwnToken(claims) if claims.issuer == self.server.public_url else None

    def revoke_token(self, token: OwnToken, request: FormRequest) -> None:
        self.server.revoke(request.client, token.claims)


@dataclass(frozen=True, slots=True)
class OwnToken:
    claims: Claims

    def check_client(self, known: Authenticated) -> bool:
        return self.claims.client_id == known.client.client_id


class TokenServer(AuthorizationServer):  # type: ignore[misc] # Authlib carries no types
    """Public methods: `token` and `revocation`; all others are what Authlib calls."""

    def __init__(
        self,
        *,
        public_url: str,
        tokens: AccessTokens,
        verifier: Verifier,
        clients: ClientStore,
        revocations: Revocations,
        catalogue: Catalogue,
        journal: Journal,
        clock: Clock,
    ) -> None:
        """public_url: where this gateway is reached, an origin without a slash at its end."""
        super().__init__()
        self.public_url = public_url
        self.tokens = tokens
        self.verifier = verifier
        self._clients = clients
        self._revocations = revocations
        self._catalogue = catalogue
        self._journal = journal
        self._clock = clock
        self.register_grant(ClientCredentials)
        self.register_endpoint(Revocation)

    def token(self, posted: Posted) -> Answer:
        """POST /oauth/token."""
        return self._answer(posted, TOKEN_PATH)

    def revocation(self, posted: Posted) -> Answer:
        """POST /oauth/revoke."""
        return self._answer(posted, REVOCATION_PATH)

    def _answer(self, posted: Posted, path: str) -> Answer:
        try:
            form = read_form(posted)
            if path == TOKEN_PATH and "grant_type" not in form:
                raise InvalidRequestError("The parameter grant_type is missing.")
            request = FormRequest(self.public_url + path, form, read_credentials(posted, form))
        except OAuth2Error as error:
            return self.handle_response(*error())
        made: Answer = (
            self.create_token_response(request)
            if path == TOKEN_PATH
            else self.create_endpoint_response(Revocation.ENDPOINT_NAME, request)
        )
        return made

    def revoke(self, known: Authenticated, claims: Claims) -> None:
        """Ends one token of this client."""
        with self._journal.administrative(
            known.principal, verb="revoke", resource=f"token:{claims.token_id}", detail={}
        ):
            self._revocations.revoke_token(
                claims.issuer, claims.token_id, expires_at=claims.expires_at, at=self._clock()
            )

    def authenticate_client(
        self, request: FormRequest, methods: Sequence[str], endpoint: str = "token"
    ) -> Authenticated:
        """Compares the presented secret; then, and only then, looks whether the client may act."""
        client = self._clients.find(request.credentials.client_id)
        secret = matching(client, request.credentials.secret, self._clock())
        if client is None or secret is None:
            raise not_authenticated()
        self._catalogue.revision()  # from here on no older state
        participant = self._catalogue.participant(client.participant)
        if participant is None or participant.uid != client.participant_uid:
            raise not_authenticated()
        if participant.status is not ParticipantStatus.VERIFIED:
            raise UnauthorizedClientError("The client's organisation has not been verified by the operator.")
        return Authenticated(client, self._principal(client, participant), secret.id)

    def _principal(self, client: Client, participant: Participant) -> Principal:
        """The client itself, as the one who asks for a token."""
        return Principal(
            issuer=self.public_url,
            subject=client.client_id,
            client_id=client.client_id,
            participant=participant,
            roles=client.roles,
            scopes=frozenset(),
            spaces=frozenset(),
            token_id="",
        )

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        return request

    def handle_response(self, status: int, body: Mapping[str, object], headers: object) -> Answer:
        """Nothing that is answered here may be stored anywhere."""
        extra = {"WWW-Authenticate": CHALLENGE} if status == 401 else {}
        return Answer(status, dict(body), {"Cache-Control": "no-store", "Pragma": "no-cache", **extra})

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Authlib's events; nobody listens."""


def _scopes(request: FormRequest) -> frozenset[str]:
    return frozenset((request.form.get("scope") or "").split())
