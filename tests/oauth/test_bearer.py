"""How a token arrives, what a refusal says, and that every endpoint of the API names its scope."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

import pytest

from datalab.api.app import create_api
from datalab.api.services import Services
from datalab.flow.token import Scope
from tests.oauth.gateway import URL, Gateway

METADATA = f'resource_metadata="{URL}/.well-known/oauth-protected-resource"'


def ask(gateway: Gateway, *headers: tuple[str, str], query: str = "") -> Any:
    return gateway.http.get(f"/api/v1/probe{query}", headers=list(headers))


def test_without_a_token_the_challenge_says_where_to_learn_more(gateway: Gateway) -> None:
    answer = ask(gateway)
    assert (answer.status_code, answer.json()["code"]) == (401, "token.missing")
    assert answer.headers["www-authenticate"] == f'Bearer {METADATA}, scope="data:query"'


def test_with_a_wrong_token_the_challenge_says_so(gateway: Gateway) -> None:
    answer = ask(gateway, ("Authorization", "Bearer nonsense"))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer {METADATA}, scope="data:query", error="invalid_token"'


def test_the_scheme_is_compared_without_case(gateway: Gateway) -> None:
    token = gateway.token(gateway.admin)
    assert ask(gateway, ("Authorization", f"bearer  {token} ")).status_code == 200


def test_a_token_in_the_address_is_refused_even_beside_a_good_one(gateway: Gateway) -> None:
    token = gateway.token(gateway.admin)
    assert ask(gateway, query=f"?access_token={token}").json()["code"] == "token.in_query"
    both = ask(gateway, ("Authorization", f"Bearer {token}"), query=f"?access_token={token}")
    assert both.json()["code"] == "token.in_query"


def test_two_authorization_headers_are_refused(gateway: Gateway) -> None:
    header = ("Authorization", f"Bearer {gateway.token(gateway.admin)}")
    assert ask(gateway, header, header).json()["code"] == "token.malformed"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "Token abc", "abc"])
def test_anything_but_a_bearer_token_is_refused(gateway: Gateway, value: str) -> None:
    assert ask(gateway, ("Authorization", value)).status_code == 401


def test_a_token_that_is_not_ascii_is_refused(gateway: Gateway) -> None:
    answer = gateway.http.get("/api/v1/probe", headers=[(b"authorization", b"Bearer caf\xe9.a.b")])
    assert answer.json()["code"] == "token.malformed"


def test_the_token_is_never_repeated_in_an_answer(gateway: Gateway) -> None:
    token = gateway.token(gateway.admin)
    assert token not in ask(gateway, ("Authorization", f"Bearer {token}x")).text


def test_the_metadata_documents_agree_with_each_other(gateway: Gateway) -> None:
    resource = gateway.http.get("/.well-known/oauth-protected-resource").json()
    server = gateway.http.get("/.well-known/oauth-authorization-server").json()
    assert resource["resource"] == URL
    assert resource["authorization_servers"] == [server["issuer"]] == [URL]
    assert set(server["scopes_supported"]) == set(Scope)
    for member in ("jwks_uri", "token_endpoint", "revocation_endpoint"):
        path = server[member].removeprefix(URL)
        assert gateway.http.get(path).status_code in {200, 405}
    assert server["grant_types_supported"] == ["client_credentials"]


def test_no_openid_document_is_promised(gateway: Gateway) -> None:
    assert gateway.http.get("/.well-known/openid-configuration").status_code == 404


def document() -> dict[str, Any]:
    """The OpenAPI document of the whole interface, which needs no service to be written."""
    nothing: dict[str, Any] = {field.name: cast("Any", SimpleNamespace()) for field in fields(Services)}
    return create_api(Services(**nothing)).openapi()


def test_every_endpoint_of_the_api_names_exactly_one_scope() -> None:
    checked = 0
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            if not path.startswith("/api/"):
                continue
            checked += 1
            scopes = [scope for one in operation.get("security", []) for scope in one.get("oauth2", [])]
            assert len(scopes) == 1, f"{method.upper()} {path}"
            assert scopes[0] in set(Scope), f"{method.upper()} {path}"
    assert checked > 10


def test_the_document_lists_every_scope_and_where_to_get_a_token() -> None:
    flow = document()["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    assert set(flow["scopes"]) == set(Scope)
    assert flow["tokenUrl"] == "/oauth/token"
