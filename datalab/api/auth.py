"""Who calls: the one dependency by which an endpoint names its scope and gets its Principal.

Owns the reading of the Authorization header (RFC 6750: the header only, never the query string) and the challenge that a
refusal carries (RFC 9728). Must never remember an answer: a revocation counts at the next request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Security
from fastapi.openapi.models import OAuth2, OAuthFlowClientCredentials, OAuthFlows
from fastapi.security.base import SecurityBase

from datalab.flow.errors import FlowError, ScopeRefused, TokenRefused
from datalab.flow.principal import Principal, Resolver, require
from datalab.flow.token import Scope, Verifier

SCOPE_TITLES = {
    Scope.CATALOG_READ: "Read the catalogue",
    Scope.CATALOG_WRITE: "Register factories, spaces and labs",
    Scope.STORAGES_WRITE: "Register storages",
    Scope.DATASETS_WRITE: "Register datasets and versions",
    Scope.POLICIES_WRITE: "Write policies",
    Scope.AGREEMENTS_WRITE: "Ask for, grant and revoke access",
    Scope.PARTICIPANTS_WRITE: "Register participants and their clients",
    Scope.FEDERATION_WRITE: "Register other gateways",
    Scope.DATA_QUERY: "Query data",
    Scope.DATA_EXPORT: "Export data",
    Scope.AUDIT_READ: "Read the audit trail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """What it takes to know a caller; the `authentication` of the application's services.

    resource_metadata_url: where RFC 9728 metadata lies, for challenges.
    """

    verifier: Verifier
    resolver: Resolver
    resource_metadata_url: str


class BearerToken(SecurityBase):
    """Tells the OpenAPI document how to get a token; the checking is `caller`'s."""

    def __init__(self) -> None:
        flow = OAuthFlowClientCredentials(
            tokenUrl="/oauth/token", scopes={scope.value: title for scope, title in SCOPE_TITLES.items()}
        )
        self.model = OAuth2(flows=OAuthFlows(clientCredentials=flow))
        self.scheme_name = "oauth2"

    async def __call__(self) -> None:
        return None


BEARER_TOKEN = BearerToken()


def caller(scope: Scope) -> Callable[..., Principal]:
    """A dependency that yields the caller, who must hold `scope`: `Depends(caller(Scope.DATA_QUERY))`.

    The OpenAPI document lists the scope as the endpoint's security requirement. Raises TokenRefused, ScopeRefused or
    PrincipalRefused.
    """

    def dependency(request: Request, _documented: None = Security(BEARER_TOKEN, scopes=[scope.value])) -> Principal:
        request.state.needed_scope = scope.value
        authentication: Authentication = request.app.state.services.authentication
        claims = authentication.verifier.verify(bearer_text(request))
        principal = authentication.resolver.resolve(claims)
        require(principal, scope)
        request.state.principal = principal
        request.state.claims = claims
        return principal

    return dependency


def caller_again(request: Request) -> Callable[[], Principal]:
    """Resolves the caller of this request anew, for what outlives its start; raises where token or client was revoked.

    A token that merely expires does not end what it began.
    """
    authentication: Authentication = request.app.state.services.authentication
    claims = request.state.claims
    return lambda: authentication.resolver.resolve(claims)


def bearer_text(request: Request) -> str:
    """The token in the Authorization header. Raises TokenRefused if it is anywhere else, or there is none."""
    if "access_token" in request.query_params:
        raise TokenRefused("token.in_query", "Send the token in the Authorization header, never in the address.")
    headers = request.headers.getlist("authorization")
    if not headers:
        raise TokenRefused("token.missing", "Send an access token: `Authorization: Bearer TOKEN`.")
    scheme, _, text = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or not text.strip():
        raise TokenRefused("token.malformed", "Send one Authorization header of the form `Bearer TOKEN`.")
    return text.strip()


def challenge(request: Request, error: FlowError) -> dict[str, str]:
    """The WWW-Authenticate header that a refused token (401) or scope (403) is answered with; empty for other errors.

    RFC 6750 section 3: no `error` where the caller sent no token; RFC 9728 section 5.1: where to learn how to get one.
    """
    if not isinstance(error, TokenRefused | ScopeRefused):
        return {}
    authentication: Authentication = request.app.state.services.authentication
    parts = [f'resource_metadata="{authentication.resource_metadata_url}"']
    if scope := getattr(request.state, "needed_scope", None):
        parts.append(f'scope="{scope}"')
    if isinstance(error, ScopeRefused):
        parts.append('error="insufficient_scope"')
    elif error.code != "token.missing":
        parts.append('error="invalid_token"')
    return {"WWW-Authenticate": "Bearer " + ", ".join(parts)}
