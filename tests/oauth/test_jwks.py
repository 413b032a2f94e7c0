"""Foreign key sets: what is taken from them, how seldom they are asked for, and what they cannot do to us."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import OKPKey, RSAKey
from joserfc.util import int_to_base64

from datalab.flow import jwks
from datalab.flow.jwks import KeysUnavailable, RemoteKeys, discover_jwks, fetch_json, fetch_jwks, import_keys
from tests.oauth.gateway import Clock
from tests.oauth.idp import IdentityProvider, identity_provider, send
from tests.oauth.tokens import ec_key

GOOD = {**ec_key().as_dict(private=False), "kid": "good"}


def public(key: Any, **more: object) -> dict[str, object]:
    return {**key.as_dict(private=False), **more}


def weak_rsa() -> dict[str, object]:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    return {"kty": "RSA", "n": int_to_base64(numbers.n), "e": int_to_base64(numbers.e)}


BAD_KEYS: dict[str, object] = {
    "post-quantum": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "bad"},
    "X25519 for encryption": public(OKPKey.generate_key("X25519"), use="enc", kid="bad"),
    "X25519 as if for signatures": public(OKPKey.generate_key("X25519"), kid="bad"),
    "unknown curve": {"kty": "EC", "crv": "P-999", "x": "AAAA", "y": "AAAA", "kid": "bad"},
    "secp256k1": {**GOOD, "crv": "secp256k1", "kid": "bad"},
    "unknown use": public(ec_key(), use="tls", kid="bad"),
    "RSA for encryption": public(RSAKey.generate_key(2048), use="enc", alg="RSA-OAEP", kid="bad"),
    "RSA too short": {**weak_rsa(), "kid": "bad"},
    "symmetric": {"kty": "oct", "k": "AAAAAAAA", "kid": "bad"},
    "private": {**ec_key().as_dict(private=True), "kid": "bad"},
    "a point off the curve": {**GOOD, "kid": "bad", "x": "A" * 43},
    "no point": {"kty": "EC", "crv": "P-256", "kid": "bad"},
    "kid a number": {**GOOD, "kid": 1},
    "kid endless": {**GOOD, "kid": "k" * 1000},
    "kty a list": {**GOOD, "kty": ["EC"], "kid": "bad"},
    "not for verifying": {**GOOD, "kid": "bad", "key_ops": ["sign"]},
    "a text": "bad",
    "null": None,
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key_is_left_out_and_the_good_one_stays(name: str) -> None:  # trap 10
    assert import_keys({"keys": [BAD_KEYS[name], GOOD]}).keys() == {"good"}


def test_a_broken_certificate_does_not_matter() -> None:
    assert import_keys({"keys": [{**GOOD, "x5c": ["garbage"]}]}).keys() == {"good"}


def test_of_two_keys_with_one_id_the_first_counts() -> None:
    second = {**ec_key().as_dict(private=False), "kid": "good"}
    assert import_keys({"keys": [GOOD, second]})["good"].as_dict()["x"] == GOOD["x"]


def test_a_key_without_id_is_found_by_its_thumbprint() -> None:
    key = ec_key()
    without = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
    assert import_keys({"keys": [without]}).keys() == {key.thumbprint()}


@pytest.mark.parametrize("document", [None, [], "x", {}, {"keys": None}, {"keys": "x"}, {"keys": []}, {"keys": [None]}])
def test_a_set_without_a_usable_key_is_none(document: object) -> None:
    with pytest.raises(KeysUnavailable):
        import_keys(document)


def test_no_more_than_fifty_keys_are_looked_at() -> None:
    many = [{**GOOD, "kid": str(number)} for number in range(80)]
    assert len(import_keys({"keys": many})) == 50


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        running.keys = [GOOD]
        yield running


def remote(provider: IdentityProvider, clock: Clock) -> RemoteKeys:
    return RemoteKeys(discover_jwks(provider.url), clock)


def asked(provider: IdentityProvider) -> int:
    return provider.asked.count("/jwks")


def test_keys_are_fetched_once_and_remembered(provider: IdentityProvider, clock: Clock) -> None:
    keys = remote(provider, clock)
    for _ in range(5):
        assert keys.find("good") is not None
    assert asked(provider) == 1


def test_a_flood_of_unknown_ids_asks_once_per_interval(provider: IdentityProvider, clock: Clock) -> None:
    keys = remote(provider, clock)
    keys.find("good")
    for second in range(60):
        clock.move(seconds=1)
        for number in range(20):
            assert keys.find(f"random-{second}-{number}") is None
    assert asked(provider) <= 3


def test_a_new_key_is_found_when_a_token_names_it(provider: IdentityProvider, clock: Clock) -> None:
    keys = remote(provider, clock)
    keys.find("good")
    provider.keys = [GOOD, {**GOOD, "kid": "new"}]
    clock.move(seconds=31)
    assert keys.find("new") is not None


def test_a_removed_key_is_forgotten_within_ten_minutes(provider: IdentityProvider, clock: Clock) -> None:
    keys = remote(provider, clock)
    keys.find("good")
    provider.keys = [{**GOOD, "kid": "new"}]
    clock.move(seconds=600)
    assert keys.find("good") is None


def test_while_the_issuer_is_down_its_keys_are_kept_for_twelve_hours(provider: IdentityProvider, clock: Clock) -> None:
    keys = remote(provider, clock)
    keys.find("good")
    provider.answers["/jwks"] = lambda handler: send(handler, b"", status=503)
    clock.move(hours=11)
    assert keys.find("good") is not None
    clock.move(hours=1)
    with pytest.raises(KeysUnavailable):
        keys.find("good")


def test_one_request_runs_at_a_time(clock: Clock) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def fetch() -> object:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return {"keys": [GOOD]}

    keys = RemoteKeys(fetch, clock)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(keys.find("good"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(found) == 10
    assert None not in found


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


BAD_ANSWERS = {
    "an error": lambda handler: send(handler, b"{}", status=500),
    "no content": lambda handler: send(handler, b"", status=204),
    "a redirect": lambda handler: send(handler, b"", status=302, Location="/elsewhere"),
    "no JSON": lambda handler: send(handler, b"<html>"),
    "nested deeply": lambda handler: send(handler, b"[" * 100_000),
    "no UTF-8": lambda handler: send(handler, b'{"keys": "\xff"}'),
    "too large": lambda handler: send(handler, json.dumps({"keys": [GOOD], "x": "a" * 300_000}).encode()),
    "a drip": drip,
    "a broken connection": lambda handler: handler.connection.close(),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_is_unavailable_soon(provider: IdentityProvider, name: str) -> None:
    provider.answers["/jwks"] = BAD_ANSWERS[name]
    provider.answers["/elsewhere"] = lambda handler: send(handler, json.dumps({"keys": [GOOD]}).encode())
    began = time.monotonic()
    with pytest.raises(KeysUnavailable):
        import_keys(fetch_jwks(f"{provider.url}/jwks", timeout_s=0.5)())
    assert time.monotonic() - began < 3
    assert "/elsewhere" not in provider.asked


def test_nobody_listening_is_unavailable() -> None:
    with pytest.raises(KeysUnavailable):
        fetch_json("http://127.0.0.1:1/jwks", timeout_s=1)


def test_metadata_of_another_issuer_is_refused(provider: IdentityProvider) -> None:
    provider.metadata = {"issuer": "https://evil.example"}
    with pytest.raises(KeysUnavailable, match="another issuer"):
        discover_jwks(provider.url)()


@pytest.mark.parametrize("address", ["http://169.254.169.254/jwks", "file:///etc/passwd", "http://[", 7, None])
def test_metadata_cannot_send_us_to_another_origin(provider: IdentityProvider, address: object) -> None:
    provider.metadata = {"jwks_uri": address}
    with pytest.raises(KeysUnavailable):
        discover_jwks(provider.url)()


def test_rfc_8414_metadata_is_found_where_there_is_no_openid(provider: IdentityProvider) -> None:
    issuer = f"{provider.url}/realms/a"
    document = json.dumps({"issuer": issuer, "jwks_uri": f"{provider.url}/jwks"}).encode()
    provider.answers["/.well-known/oauth-authorization-server/realms/a"] = lambda handler: send(handler, document)
    assert import_keys(discover_jwks(issuer)()).keys() == {"good"}


def test_no_proxy_of_the_environment_is_used(provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert jwks.fetch_json(f"{provider.url}/jwks", timeout_s=2)
