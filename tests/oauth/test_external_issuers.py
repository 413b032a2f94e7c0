"""Tokens of an operator-configured issuer on loopback: believed as its entry says, and not a bit more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.entities import ParticipantStatus
from datalab.app.issuers import read_issuers
from datalab.app.settings import SettingsRefused
from datalab.oauth.clients import Issued
from tests.oauth.gateway import URL, Clock, Gateway, open_gateway
from tests.oauth.idp import IdentityProvider, identity_provider
from tests.oauth.tokens import ec_key, signed

KEY = ec_key()
PUBLIC = {**KEY.as_dict(private=False), "kid": KEY.kid}


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        running.keys = [PUBLIC]
        yield running


@contextmanager
def gateway_with(tmp_path: Path, fresh_home: tuple[Path, Issued], entry: Mapping[str, Any]) -> Iterator[Gateway]:
    home, admin = fresh_home
    shutil.copytree(home, tmp_path / "home")
    file = tmp_path / "issuers.yaml"
    file.write_text(yaml.safe_dump({"issuers": [dict(entry)]}))
    with open_gateway(tmp_path / "home", admin, Clock(), issuers_file=file) as opened:
        opened.participant("acme")
        yield opened


def by_claim(provider: IdentityProvider, **more: Any) -> dict[str, Any]:
    return {
        "issuer": provider.url,
        "algorithms": ["ES256"],
        "participant_claim": "org.id",
        "participants": {"17": "acme", "18": "operator"},
        **more,
    }


def token(provider: IdentityProvider, **claims: Any) -> str:
    return signed(KEY, **{"iss": provider.url, "aud": URL, "org": {"id": "17"}, **claims})


def test_a_token_of_a_configured_issuer_is_believed(
    tmp_path: Path, fresh_home: tuple[Path, Issued], provider: IdentityProvider
) -> None:
    with gateway_with(tmp_path, fresh_home, by_claim(provider)) as gateway:
        answer = gateway.probe(token(provider))
        assert answer.json() == {
            "issuer": provider.url,
            "subject": "someone",
            "participant": "acme",
            "roles": ["member"],
            "scopes": ["data:query"],
        }
        assert provider.url in gateway.http.get("/.well-known/oauth-protected-resource").json()["authorization_servers"]
        # What our own clients can do to their tokens, a foreign token cannot pretend to.
        assert gateway.probe(gateway.token(gateway.admin)).status_code == 200


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"org": {"id": "99"}}, "principal.unknown"),
        ({"org": None}, "principal.unknown"),
        ({"org": "17"}, "principal.unknown"),
        ({"org": {"id": ["17", "18"]}}, "principal.unknown"),
        ({"org": {"id": ["17", 18]}}, "principal.unknown"),
        ({"org": {"id": {"17": True}}}, "principal.unknown"),
        ({"participant": "operator", "org": None}, "principal.unknown"),
        ({"aud": "https://elsewhere.example"}, "token.audience"),
        ({"iss": URL}, "token.key"),
        ({"iss": "https://nobody.example"}, "token.issuer"),
        ({"agreements": "all"}, "token.malformed"),
    ],
)
def test_a_token_that_does_not_name_one_participant_is_refused(
    tmp_path: Path,
    fresh_home: tuple[Path, Issued],
    provider: IdentityProvider,
    claims: dict[str, Any],
    code: str,
) -> None:
    with gateway_with(tmp_path, fresh_home, by_claim(provider)) as gateway:
        assert gateway.probe(token(provider, **claims)).json()["code"] == code


def test_roles_are_given_only_by_the_entrys_map(
    tmp_path: Path, fresh_home: tuple[Path, Issued], provider: IdentityProvider
) -> None:
    entry = by_claim(provider, roles_claim="realm_access.roles", roles={"datalab-auditor": "auditor"})
    with gateway_with(tmp_path, fresh_home, entry) as gateway:
        granted = token(provider, realm_access={"roles": ["datalab-auditor", "gateway_operator", "admin"]})
        assert gateway.probe(granted).json()["roles"] == ["auditor"]
        assert gateway.probe(token(provider, roles=["gateway_operator"])).json()["roles"] == ["member"]


def test_only_claims_that_policies_can_hold_reach_them(
    tmp_path: Path, fresh_home: tuple[Path, Issued], provider: IdentityProvider
) -> None:
    with gateway_with(tmp_path, fresh_home, by_claim(provider)) as gateway:
        entry = gateway.identity.authentication
        kept = {"team": "blue", "levels": [1, 2], "ratio": 0.5, "active": True}
        dropped = {"nested": {"a": 1}, "mixed": [{"a": 1}], "endless": list(range(200)), "half": "\ud800", "none": None}
        principal = entry.resolver.resolve(entry.verifier.verify(token(provider, **kept, **dropped)))
        assert principal.claims == kept


def test_an_unverified_participants_tokens_are_refused(
    tmp_path: Path, fresh_home: tuple[Path, Issued], provider: IdentityProvider
) -> None:
    with gateway_with(tmp_path, fresh_home, by_claim(provider, participants={"17": "fresh"})) as gateway:
        assert gateway.probe(token(provider)).json()["code"] == "principal.unknown"
        gateway.participant("fresh", status=ParticipantStatus.APPLIED)
        refused = gateway.probe(token(provider))
        assert (refused.status_code, refused.json()["code"]) == (403, "principal.unverified")


def test_a_foreign_token_that_names_one_of_our_clients_is_not_that_client(
    tmp_path: Path, fresh_home: tuple[Path, Issued], provider: IdentityProvider
) -> None:
    with gateway_with(tmp_path, fresh_home, by_claim(provider)) as gateway:
        admin = gateway.admin.client.client_id
        answer = gateway.probe(token(provider, sub=admin, client_id=admin, participant="operator"))
        assert answer.json()["participant"] == "acme"
        assert answer.json()["roles"] == ["member"]


def test_keys_that_cannot_be_had_refuse_the_token_and_nothing_else(
    tmp_path: Path, fresh_home: tuple[Path, Issued], provider: IdentityProvider
) -> None:
    provider.keys = []
    with gateway_with(tmp_path, fresh_home, by_claim(provider)) as gateway:
        assert gateway.probe(token(provider)).json()["code"] == "token.keys_unavailable"
        assert gateway.probe(gateway.token(gateway.admin)).status_code == 200


def test_nothing_is_fetched_for_an_issuer_that_is_not_configured(
    tmp_path: Path, fresh_home: tuple[Path, Issued], provider: IdentityProvider
) -> None:
    entry = {
        "issuer": "https://else.example",
        "jwks": {"keys": [PUBLIC]},
        "participant": "acme",
        "algorithms": ["ES256"],
    }
    with gateway_with(tmp_path, fresh_home, entry) as gateway:
        assert gateway.probe(token(provider)).json()["code"] == "token.issuer"
        assert (
            gateway.probe(signed(KEY, {"jku": f"{provider.url}/jwks"}, iss="https://else.example", aud=URL)).status_code
            == 200
        )
    assert provider.asked == []


WRONG_FILES: Mapping[str, str] = {
    "no YAML": "issuers: [",
    "an unknown member": "issuers: [{issuer: https://a.example, participant: acme, trust: all}]",
    "plain http": "issuers: [{issuer: http://a.example, participant: acme}]",
    "no participant": "issuers: [{issuer: https://a.example}]",
    "both kinds of participant": "issuers: [{issuer: https://a.example, participant: a, participant_claim: b, participants: {c: d}}]",
    "a claim without a map": "issuers: [{issuer: https://a.example, participant_claim: org}]",
    "roles without a claim": "issuers: [{issuer: https://a.example, participant: a, roles: {x: auditor}}]",
    "a role that is none": "issuers: [{issuer: https://a.example, participant: a, roles_claim: r, roles: {x: king}}]",
    "a symmetric algorithm": "issuers: [{issuer: https://a.example, participant: a, algorithms: [HS256]}]",
    "no algorithm": "issuers: [{issuer: https://a.example, participant: a, algorithms: []}]",
    "a type of ID tokens": "issuers: [{issuer: https://a.example, participant: a, types: [id+jwt]}]",
    "an empty key set": "issuers: [{issuer: https://a.example, participant: a, jwks: {keys: []}}]",
    "two key sources": "issuers: [{issuer: https://a.example, participant: a, jwks: {keys: []}, jwks_url: https://a.example/k}]",
    "twice the same": "issuers: [{issuer: https://a.example, participant: a}, {issuer: https://a.example, participant: b}]",
    "ourselves": f"issuers: [{{issuer: '{URL}', participant: a}}]",
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_issuers_file_stops_the_start(tmp_path: Path, name: str) -> None:
    file = tmp_path / "issuers.yaml"
    file.write_text(WRONG_FILES[name])
    with pytest.raises(SettingsRefused) as refused:
        read_issuers(file, audience=URL, clock=Clock())
    assert refused.value.problems
    assert all(str(file) in problem for problem in refused.value.problems)


def test_the_example_on_the_settings_page_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    file = tmp_path / "issuers.yaml"
    file.write_text(page.split("```yaml\n")[1].split("```")[0])
    (issuer,) = read_issuers(file, audience=URL, clock=Clock()).issuers
    assert issuer.issuer == "https://login.example.org/realms/research"


def test_a_missing_issuers_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused):
        read_issuers(tmp_path / "none.yaml", audience=URL, clock=Clock())
