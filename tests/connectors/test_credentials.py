"""Keys: never shown, sealed at rest, bound to their storage."""

from __future__ import annotations

import pytest

from connectors.credentials import Credentials, CredentialSealer
from connectors.errors import CredentialsRefused, SealBroken

SECRET = {"access_key": "AKIA-KEY", "secret_key": "very/secret+text=", "session_token": "token-text"}
KEY = bytes(range(32))
SEALER = CredentialSealer({"k1": KEY}, current="k1")


def test_a_sealed_credential_opens_again() -> None:
    sealed = SEALER.seal("uid-1", SECRET)
    assert SEALER.open("uid-1", sealed) == Credentials.parse(SECRET)
    assert all(text.encode() not in sealed for text in SECRET.values())


def test_sealing_twice_gives_two_texts() -> None:
    assert SEALER.seal("uid-1", SECRET) != SEALER.seal("uid-1", SECRET)


def test_a_seal_does_not_open_for_another_storage() -> None:
    with pytest.raises(SealBroken):
        SEALER.open("uid-2", SEALER.seal("uid-1", SECRET))


def test_any_altered_byte_breaks_the_seal() -> None:
    sealed = SEALER.seal("uid-1", SECRET)
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(SealBroken):
            SEALER.open("uid-1", bytes(altered))


def test_any_shortened_seal_is_broken() -> None:
    sealed = SEALER.seal("uid-1", SECRET)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            SEALER.open("uid-1", sealed[:length])


def test_keys_rotate() -> None:
    old = SEALER.seal("uid-1", SECRET)
    rotated = CredentialSealer({"k1": KEY, "k2": bytes(32)}, current="k2")
    assert rotated.open("uid-1", old).secret == SECRET["secret_key"]
    assert not rotated.is_current(old)
    new = rotated.seal("uid-1", rotated.open("uid-1", old))
    assert rotated.is_current(new)
    with pytest.raises(SealBroken):
        SEALER.open("uid-1", new)


def test_a_key_under_another_id_does_not_open() -> None:
    sealed = SEALER.seal("uid-1", SECRET)
    with pytest.raises(SealBroken):
        CredentialSealer({"k1": bytes(32)}, current="k1").open("uid-1", sealed)


@pytest.mark.parametrize(
    ("keys", "current"),
    [({}, "k"), ({"k": b"short"}, "k"), ({"k": KEY}, "other"), ({"": KEY}, ""), ({"k" * 256: KEY}, "k" * 256)],
)
def test_a_wrong_key_set_is_a_programming_error(keys: dict[str, bytes], current: str) -> None:
    with pytest.raises(ValueError):
        CredentialSealer(keys, current=current)


def test_no_text_of_a_credential_shows_it() -> None:
    credentials = Credentials.parse(SECRET)
    shown = f"{credentials} {credentials!r} {SEALER!r} {[credentials]}"
    assert all(text not in shown for text in SECRET.values())


@pytest.mark.parametrize(
    "document",
    [
        {}, {"access_key": "a"}, {"secret_key": "b"}, {"access_key": "", "secret_key": "b"}, {"access_key": "a", "secret_key": "b", "more": "c"},
        {"access_key": "a\n", "secret_key": "b"}, {"access_key": "a", "secret_key": "b c"}, {"access_key": "a", "secret_key": "ü"},
        {"access_key": "a" * 300, "secret_key": "b"}, {"access_key": "a", "secret_key": 1},
    ],
)  # fmt: skip
def test_malformed_credentials_are_refused_without_being_quoted(document: dict[str, str]) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        Credentials.parse(document)
    assert "b c" not in str(caught.value)


def test_an_empty_session_token_is_none() -> None:
    assert Credentials.parse({"access_key": "a", "secret_key": "b", "session_token": ""}).session_token is None
