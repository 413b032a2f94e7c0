"""The verifier against tokens that are forged, stretched or malformed: TokenRefused each time, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from datalab.flow.errors import TokenRefused
from datalab.flow.issuer import Issuer, IssuerRegistry
from datalab.flow.jwks import StaticKeys, import_keys
from datalab.flow.token import Claims, Verifier
from tests.oauth.gateway import Clock
from tests.oauth.tokens import (
    AUDIENCE,
    GOOD,
    ISSUER,
    NOW,
    b64,
    ec_key,
    hmac_signed,
    oct_key,
    segment,
    signed,
    signed_bytes,
)

KEY = ec_key()
OTHER = ec_key()
RSA = RSAKey.generate_key(2048, auto_kid=True)
STRANGER = ec_key()


def jwk(key: Any, **more: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key.kid, **more}


def issuer(name: str = ISSUER, *keys: dict[str, Any], **more: Any) -> Issuer:
    return Issuer(
        issuer=name,
        audience=AUDIENCE,
        keys=StaticKeys(import_keys({"keys": list(keys or (jwk(KEY), jwk(OTHER), jwk(RSA)))})),
        **{"algorithms": frozenset({"ES256", "RS256"}), **more},
    )


def verifier(*issuers: Issuer) -> Verifier:
    return Verifier(IssuerRegistry(issuers or (issuer(),)), Clock())


def verify(token: str, *issuers: Issuer) -> Claims:
    return verifier(*issuers).verify(token)


def code_of(token: str, *issuers: Issuer) -> str:
    with pytest.raises(TokenRefused) as refused:
        verify(token, *issuers)
    return refused.value.code


def test_a_good_token_yields_its_claims() -> None:
    claims = verify(signed(KEY, team="blue"))
    assert claims == Claims(
        issuer=ISSUER,
        subject="someone",
        client_id="app",
        token_id="1",
        scopes=frozenset({"data:query"}),
        issued_at=NOW,
        expires_at=NOW + 600,
        other={"team": "blue"},
    )


def test_an_rsa_token_of_the_same_issuer_is_accepted() -> None:
    assert verify(signed(RSA, {"alg": "RS256"})).subject == "someone"


def test_the_audience_may_be_one_of_several() -> None:
    assert verify(signed(KEY, aud=["https://other.example", AUDIENCE])).subject == "someone"


HOSTILE_HEADERS: Mapping[str, tuple[dict[str, Any], str]] = {
    "no typ": ({"typ": None}, "token.type"),  # trap 7
    "typ JWT": ({"typ": "JWT"}, "token.type"),
    "typ of an ID token": ({"typ": "id+jwt"}, "token.type"),
    "typ a number": ({"typ": 7}, "token.type"),
    "no kid with several keys": ({"kid": None}, "token.key"),  # trap 6
    "kid unknown": ({"kid": "nobody"}, "token.key"),
    "kid an integer": ({"kid": 1}, "token.malformed"),
    "kid of another key": ({"kid": OTHER.kid}, "token.signature"),
    "kid of a key of another type": ({"kid": RSA.kid}, "token.signature"),
    "kid a path": ({"kid": "../../etc/passwd"}, "token.key"),
    "crit unknown": ({"crit": ["exp"], "exp": 1}, "token.malformed"),
    "crit of b64": ({"crit": ["b64"], "b64": False}, "token.malformed"),
    "b64 false": ({"b64": False}, "token.malformed"),
}


@pytest.mark.parametrize("name", HOSTILE_HEADERS)
def test_a_header_that_asks_for_other_rules_is_refused(name: str) -> None:
    header, code = HOSTILE_HEADERS[name]
    assert code_of(signed(KEY, header)) == code


def test_application_at_jwt_is_the_same_type_and_case_does_not_matter() -> None:
    assert verify(signed(KEY, {"typ": "application/AT+JWT"})).subject == "someone"


def test_a_header_parameter_that_nobody_registered_is_ignored() -> None:  # trap 9
    assert verify(signed(KEY, {"x-tenant": "a", "jku": "https://evil.example"})).subject == "someone"


def test_a_key_in_the_token_is_never_used() -> None:
    assert code_of(signed(STRANGER, {"kid": KEY.kid, "jwk": jwk(STRANGER)})) == "token.signature"
    assert code_of(signed(STRANGER, {"kid": None, "jwk": jwk(STRANGER)})) == "token.key"
    assert code_of(signed(STRANGER, {"jku": "https://evil.example/jwks"})) == "token.key"


HOSTILE_CLAIMS: Mapping[str, tuple[dict[str, Any], str]] = {
    "another audience": ({"aud": "https://other.example"}, "token.audience"),
    "a list without us": ({"aud": ["https://other.example"]}, "token.audience"),
    "no audience": ({"aud": None}, "token.audience"),
    "our audience as a prefix": ({"aud": AUDIENCE + "/"}, "token.audience"),
    "an audience in a list in a list": ({"aud": [[AUDIENCE]]}, "token.audience"),
    "another issuer": ({"iss": "https://other.example"}, "token.issuer"),
    "the issuer with a slash": ({"iss": ISSUER + "/"}, "token.issuer"),
    "no issuer": ({"iss": None}, "token.malformed"),
    "an issuer in a list": ({"iss": [ISSUER]}, "token.malformed"),
    "expired by the leeway": ({"exp": NOW - 30}, "token.expired"),
    "no expiry": ({"exp": None}, "token.malformed"),
    "expiry as a text": ({"exp": str(NOW + 600)}, "token.malformed"),
    "expiry true": ({"exp": True}, "token.malformed"),
    "expiry beyond all bounds": ({"exp": 1e300}, "token.malformed"),
    "expiry an enormous integer": ({"exp": 10**400}, "token.malformed"),
    "not before the leeway": ({"nbf": NOW + 31}, "token.not_yet_valid"),
    "not before as a text": ({"nbf": "soon"}, "token.malformed"),
    "issued in an hour": ({"iat": NOW + 3600}, "token.not_yet_valid"),
    "issued never": ({"iat": None}, "token.malformed"),
    "no subject": ({"sub": None}, "token.malformed"),
    "an empty subject": ({"sub": ""}, "token.malformed"),
    "a subject with a line break": ({"sub": "a\nb"}, "token.malformed"),
    "a subject as an object": ({"sub": {"id": 1}}, "token.malformed"),
    "an endless subject": ({"sub": "a" * 300}, "token.malformed"),
    "a token id as a list": ({"jti": ["1"]}, "token.malformed"),
    "scopes as an object": ({"scope": {"data:query": True}}, "token.malformed"),
    "scopes as numbers": ({"scope": [1]}, "token.malformed"),
}


@pytest.mark.parametrize("name", HOSTILE_CLAIMS)
def test_claims_that_are_wrong_or_missing_are_refused(name: str) -> None:
    claims, code = HOSTILE_CLAIMS[name]
    assert code_of(signed(KEY, **claims)) == code


def test_the_leeway_ends_exactly_where_it_says() -> None:
    assert verify(signed(KEY, exp=NOW - 29)).expires_at == NOW - 29
    assert verify(signed(KEY, nbf=NOW + 30)).subject == "someone"
    assert verify(signed(KEY, iat=NOW + 30)).subject == "someone"


def test_no_unsigned_and_no_symmetric_token_is_accepted() -> None:  # trap 8
    unsigned = f"{segment({'alg': 'none', 'typ': 'at+jwt'})}.{segment(dict(GOOD))}."
    assert code_of(unsigned) == "token.malformed"
    assert code_of(unsigned + "AAAA") == "token.algorithm"
    for secret in (RSA.as_pem(private=False), json.dumps(jwk(KEY)).encode(), b""):
        for kid in (RSA.kid, KEY.kid, None):
            header = {"alg": "HS256", "typ": "at+jwt", **({"kid": kid} if kid else {})}
            assert code_of(hmac_signed(secret, header)) == "token.algorithm"


def test_a_symmetric_key_in_a_key_set_verifies_nothing() -> None:  # trap 8
    secret = oct_key()
    lax = issuer(ISSUER, jwk(KEY), secret.as_dict() | {"kid": "shared"})
    assert (
        code_of(hmac_signed(secret.raw_value, {"alg": "HS256", "typ": "at+jwt", "kid": "shared"}), lax)
        == "token.algorithm"
    )


@pytest.mark.parametrize("algorithm", ["PS256", "RS512"])
def test_an_algorithm_that_the_issuers_entry_does_not_list_is_refused(algorithm: str) -> None:
    assert code_of(signed(RSA, {"alg": algorithm})) == "token.algorithm"


def test_a_keys_own_algorithm_is_honoured() -> None:
    only_ps = issuer(ISSUER, jwk(RSA, alg="PS256"))
    assert code_of(signed(RSA, {"alg": "RS256"}), only_ps) == "token.signature"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RSA-OAEP", "EdDSA", ""])
def test_no_issuer_can_be_configured_with_a_weak_algorithm(algorithm: str) -> None:
    with pytest.raises(ValueError, match="algorithms"):
        issuer(algorithms=frozenset({algorithm}))


def test_the_same_claims_signed_by_another_issuers_key_are_refused() -> None:
    second = issuer("https://second.example", jwk(STRANGER))
    forged = signed(STRANGER)
    assert code_of(forged, issuer(), second) == "token.key"
    assert code_of(signed(STRANGER, {"kid": KEY.kid}), issuer(), second) == "token.signature"


def test_ed25519_is_accepted_where_it_is_listed() -> None:
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    token = signed(key, {"alg": "Ed25519"})
    assert verify(token, issuer(ISSUER, jwk(key), algorithms=frozenset({"Ed25519"}))).subject == "someone"
    assert code_of(token) == "token.algorithm"


def test_a_token_without_kid_is_accepted_where_the_issuer_has_one_key() -> None:
    assert verify(signed(KEY, {"kid": None}), issuer(ISSUER, jwk(KEY))).subject == "someone"


PLAIN = frozenset({"at+jwt", "jwt"})


def test_a_plain_jwt_is_accepted_where_the_issuers_entry_says_so_and_it_names_a_client() -> None:
    lax = issuer(types=PLAIN)
    keycloak = signed(KEY, {"typ": "JWT"}, client_id=None, azp="portal", typ="Bearer")
    assert verify(keycloak, lax).client_id == "portal"
    assert code_of(signed(KEY, {"typ": "JWT"}, client_id=None), lax) == "token.type"
    assert code_of(signed(KEY, {"typ": "JWT"}, typ="ID"), lax) == "token.type"
    assert code_of(signed(KEY, {"typ": None}), lax) == "token.type"


def test_scopes_come_from_the_configured_claim_and_unknown_ones_are_dropped() -> None:
    azure = issuer(scope_claim="scp", scopes=frozenset({"catalog:read"}))
    claims = verify(signed(KEY, scope=None, scp=["data:query", "openid"]), azure)
    assert claims.scopes == {"data:query", "catalog:read"}


def test_a_token_without_id_gets_a_digest_of_itself() -> None:
    one, two = verify(signed(KEY, jti=None)), verify(signed(KEY, jti=None))
    assert one.token_id.startswith("sha256:")
    assert one.token_id != two.token_id


def mutilated() -> Mapping[str, str]:
    good = signed(KEY)
    header, payload, signature = good.split(".")
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    return {
        "nothing": "",
        "a dot": ".",
        "two dots": "..",
        "one part": header,
        "two parts": f"{header}.{payload}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{good}.a.b",
        "no signature": f"{header}.{payload}.",
        "no payload": f"{header}..{signature}",
        "no header": f".{payload}.{signature}",
        "ten megabytes": f"{header}.{'A' * 10_000_000}.{signature}",
        "non-ASCII": f"{header}.{payload}.{signature}\u00e9",
        "a full-width dot": good.replace(".", "\uff0e"),
        "white space": f"{header}. {payload}.{signature}",
        "padding": f"{header}=.{payload}.{signature}",
        "standard base64": f"{header}.+/+/.{signature}",
        "a header that is no object": f"{segment([1])}.{payload}.{signature}",
        "a header that is a text": f"{segment('ES256')}.{payload}.{signature}",
        "a header that is no JSON": f"{b64(b'{nonsense')}.{payload}.{signature}",
        "a header that is no UTF-8": f"{b64(bytes([0xFF, 0xFE]))}.{payload}.{signature}",
        "an algorithm that is a number": f"{segment({'alg': 5, 'typ': 'at+jwt'})}.{payload}.{signature}",
        "an algorithm that is a list": f"{segment({'alg': ['ES256'], 'typ': 'at+jwt'})}.{payload}.{signature}",
        "no algorithm": f"{segment({'typ': 'at+jwt'})}.{payload}.{signature}",
        "a payload that is a list": signed_bytes(KEY, b"[1]"),
        "a payload that is no UTF-8": signed_bytes(KEY, b'{"iss": "\xff"}'),
        "a payload that is nested deeply": signed_bytes(KEY, deep),
        "a payload nested as deep as fits": signed_bytes(KEY, b"[" * 6000 + b"]" * 6000),
        "a payload with a claim twice": signed_bytes(KEY, json.dumps(dict(GOOD)).encode()[:-1] + b', "iss": "x"}'),
        "a payload with NaN": signed_bytes(KEY, json.dumps(GOOD | {"exp": float("nan")}).encode()),
        "another payload": f"{header}.{segment(GOOD | {'sub': 'root'})}.{signature}",
        "a signature of zeros": f"{header}.{payload}.{b64(bytes(64))}",
        "a signature cut short": good[:-10],
        "a DER signature": f"{header}.{payload}.{b64(bytes.fromhex('3006020101020101'))}",
    }


@pytest.mark.parametrize("name", list(mutilated()))
def test_a_mutilated_token_is_refused(name: str) -> None:
    assert code_of(mutilated()[name]).startswith("token.")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_input_at_all_makes_the_verifier_fail(data: st.DataObject) -> None:
    good = signed(KEY)
    make: Callable[[], st.SearchStrategy[str]] = lambda: st.one_of(  # noqa: E731 - drawn below
        st.text(max_size=300),
        st.text(alphabet="ABCdef019-_.=", max_size=300),
        st.tuples(st.integers(0, len(good) - 1), st.characters()).map(lambda at: good[: at[0]] + at[1] + good[at[0] + 1 :]),
        st.tuples(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
        .map(lambda value: f"{segment({'alg': 'ES256', 'typ': 'at+jwt', 'kid': KEY.kid})}.{segment(value)}.AAAA"),
        st.dictionaries(st.sampled_from([*GOOD, "nbf"]), st.none() | st.integers() | st.floats() | st.text(max_size=9))
        .map(lambda claims: signed(KEY, **claims)),
    )  # fmt: skip
    token = data.draw(make())
    try:
        verify(token)
    except TokenRefused:
        return


def test_a_curve_that_does_not_fit_the_algorithm_is_refused() -> None:
    wide = ECKey.generate_key("P-384", auto_kid=True)
    both = issuer(ISSUER, jwk(wide), algorithms=frozenset({"ES256", "ES384"}))
    assert verify(signed(wide, {"alg": "ES384"}), both).subject == "someone"
    header, payload, signature = signed(wide, {"alg": "ES384"}).split(".")
    relabelled = f"{segment({'alg': 'ES256', 'typ': 'at+jwt', 'kid': wide.kid})}.{payload}.{signature}"
    assert header
    assert code_of(relabelled, both) == "token.signature"
