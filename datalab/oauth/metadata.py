"""The documents by which clients find their way: RFC 8414 for the authorization server, RFC 9728 for the API.

Owns their content. Must never promise what is not built: there is no OpenID Connect here, and so no such document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datalab.flow.token import Scope
from datalab.oauth.server import AUTH_METHODS, CLIENT_CREDENTIALS, REVOCATION_PATH, TOKEN_PATH, TokenServer

JWKS_PATH = "/oauth/jwks"
SERVER_METADATA_PATH = "/.well-known/oauth-authorization-server"
RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource"


def server_metadata(public_url: str) -> dict[str, object]:
    """RFC 8414. public_url: an origin; also the issuer's name. There are no response types: no authorization endpoint."""
    return {
        "issuer": public_url,
        "token_endpoint": public_url + TOKEN_PATH,
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint": public_url + REVOCATION_PATH,
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "jwks_uri": public_url + JWKS_PATH,
        "scopes_supported": [scope.value for scope in Scope],
        "response_types_supported": [],
        "grant_types_supported": [CLIENT_CREDENTIALS],
    }


def resource_metadata(public_url: str, issuers: Sequence[str]) -> dict[str, object]:
    """RFC 9728. issuers: whose tokens are accepted, our own first."""
    return {
        "resource": public_url,
        "resource_name": "datalab",
        "authorization_servers": list(issuers),
        "scopes_supported": [scope.value for scope in Scope],
        "bearer_methods_supported": ["header"],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The authorization server with its documents, as the application's services carry it."""

    server: TokenServer
    jwks: Mapping[str, object]
    server_metadata: Mapping[str, object]
    resource_metadata: Mapping[str, object]
