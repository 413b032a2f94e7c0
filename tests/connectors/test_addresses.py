"""Endpoints: only what the operator allows, whatever the spelling, checked on what a name resolves to."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from connectors.addresses import AddressRules
from connectors.errors import AddressRefused, Unreachable

DEFAULT = AddressRules()
PLAIN = AddressRules(schemes=frozenset({"http", "https"}))


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def answer(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.parametrize(
    "text",
    [
        "", "s3.example.org", "//s3.example.org", "ftp://s3.example.org", "file:///etc/passwd", "https://",
        "https://user@s3.example.org", "https://user:password@s3.example.org", "https://s3.example.org/bucket",
        "https://s3.example.org?x=1", "https://s3.example.org#x", "https://s3.example.org:0", "https://s3.example.org:65536",
        "https://s3.example.org:port", "https://s3.example.org\\@127.0.0.1", "https://s3.example.org 127.0.0.1",
        "https://s3.example.org\r\nHost: x", "https://-bad.example.org", "https://a..b", "https://.example.org",
        "https://example.org.", "https://[fe80::1%25eth0]", "https://[::1", "https://exämple.org", "https://①②⑦.0.0.1",
        "https://" + "a" * 64 + ".org", "https://%31%32%37.0.0.1", "https://s3.example.org:443:80",
    ],
)  # fmt: skip
def test_what_is_not_a_plain_endpoint_is_refused(text: str) -> None:
    with pytest.raises(AddressRefused):
        DEFAULT.endpoint(text)


def test_plain_http_needs_the_operators_consent() -> None:
    with pytest.raises(AddressRefused):
        DEFAULT.endpoint("http://s3.example.org")
    assert PLAIN.endpoint("http://s3.example.org").port == 80


def test_an_endpoint_is_taken_apart_and_put_together() -> None:
    assert DEFAULT.endpoint("https://S3.Example.org/").authority() == "s3.example.org"
    assert DEFAULT.endpoint("https://s3.example.org:443").authority() == "s3.example.org"
    assert DEFAULT.endpoint("https://s3.example.org:9000").authority() == "s3.example.org:9000"
    assert DEFAULT.endpoint("https://[2001:DB8::1]:9000").authority() == "[2001:db8::1]:9000"
    assert DEFAULT.endpoint("https://s3.example.org:9000").authority("192.0.2.1") == "192.0.2.1:9000"


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "00000177.0.0.1", "127.0.0.0x1",
        "3232235777", "0251.0376.0251.0376", "127.0.0.01", "1.2.3.4.5", "256.1.1.1", "127.0.0.1.", "0x",
    ],
)  # fmt: skip
def test_an_ip_address_in_an_unusual_spelling_is_refused_before_anyone_resolves_it(host: str) -> None:
    with pytest.raises(AddressRefused):
        PLAIN.endpoint(f"http://{host}:9000")
    with pytest.raises(AddressRefused):
        PLAIN.resolve(host, 80)


NOT_PUBLIC = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "169.254.170.2", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "100.100.100.200", "168.63.129.16",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "::169.254.169.254",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::10.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_as_written(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused):
        PLAIN.check(f"http://{host}:9000")


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_resolves_to_what_is_not_public_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, address)
    with pytest.raises(AddressRefused):
        DEFAULT.check("https://innocent.example.org")


def test_one_bad_address_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.215.14", "127.0.0.1")
    with pytest.raises(AddressRefused):
        DEFAULT.check("https://both.example.org")


def test_a_public_address_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")
    assert DEFAULT.check("https://s3.example.org").host == "s3.example.org"


def test_names_of_this_machine_are_refused_by_what_they_resolve_to() -> None:
    for name in ("localhost", "LOCALHOST", socket.gethostname()):
        with pytest.raises((AddressRefused, Unreachable)):
            DEFAULT.check(f"https://{name}")


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        DEFAULT.check("https://nothing.invalid")


def test_a_named_host_may_be_private_but_never_a_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = AddressRules(hosts=("minio.internal", "*.storage.internal"))
    resolving(monkeypatch, "10.1.2.3")
    assert rules.check("https://minio.internal").host == "minio.internal"
    assert rules.check("https://a.storage.internal").host == "a.storage.internal"
    for other in ("other.internal", "storage.internal", "evil-minio.internal", "xstorage.internal"):
        with pytest.raises(AddressRefused):
            rules.check(f"https://{other}")
    resolving(monkeypatch, "169.254.169.254")
    with pytest.raises(AddressRefused):
        rules.check("https://minio.internal")


def test_a_listed_network_is_allowed_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = AddressRules(networks=(ipaddress.ip_network("10.1.0.0/16"),))
    resolving(monkeypatch, "10.1.2.3")
    assert rules.check("https://minio.internal").port == 443
    resolving(monkeypatch, "::ffff:10.1.2.3")
    assert rules.check("https://minio.internal").port == 443
    resolving(monkeypatch, "10.2.2.3")
    with pytest.raises(AddressRefused):
        rules.check("https://minio.internal")


def test_public_addresses_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = AddressRules(public=False, hosts=("s3.example.org",))
    resolving(monkeypatch, "93.184.215.14")
    assert rules.check("https://s3.example.org").host == "s3.example.org"
    with pytest.raises(AddressRefused):
        rules.check("https://other.example.org")
