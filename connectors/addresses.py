"""Which network addresses the gateway may reach on behalf of others: endpoints, peers, harvest sources.

Owns the rules and their check, made on what a name resolves to and used again for each connection. Must never connect;
`connectors.transport` does, to an address that was checked here and to no other.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

from connectors.errors import AddressRefused, Unreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ENDPOINT: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS: Final = {"http": 80, "https": 443}

_NEVER: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8",
        # Instance metadata that does not lie in the link-local range: AWS over IPv6, Alibaba, Azure.
        "fd00:ec2::/32", "100.100.100.200/32", "168.63.129.16/32",
    )
)  # fmt: skip
"""What no host name opens, whoever allowed it: only a network that the operator lists can."""

# IPv6 addresses that carry an IPv4 address: RFC 4291 2.5.5, RFC 3056, RFC 6052, RFC 8215.
_CARRIERS: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: scheme `http` or `https`; host in lower case, IPv6 without brackets."""

    scheme: str
    host: str
    port: int

    def authority(self, host: str | None = None) -> str:
        """`host[:port]` as a Host header has it: IPv6 in brackets, no default port. host: in place of its own."""
        name = host or self.host
        name = f"[{name}]" if ":" in name else name
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """What the operator allows.

    schemes: `https`, and `http` where the operator wants it. hosts: names, or `*.example.org`, that are trusted to resolve
    to private addresses too. networks: ranges that may be reached although they are not public. public: whether any
    public address may be reached; False leaves the listed hosts and networks only.
    """

    schemes: frozenset[str] = frozenset({"https"})
    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    public: bool = True

    def endpoint(self, text: str) -> Endpoint:
        """Parses `scheme://host[:port]`; resolves nothing.

        Raises:
            AddressRefused: another form, a scheme that is not allowed, or an IP address in an unusual spelling.
        """
        match = _ENDPOINT.fullmatch(text.lower()) if text.isascii() and text.isprintable() else None
        if match is None:
            raise AddressRefused("An endpoint is `https://host` or `https://host:port`, without user, path or query.")
        scheme, host = match["scheme"], match["host"]
        if scheme not in self.schemes or scheme not in _PORTS:
            raise AddressRefused("The operator does not allow endpoints of this scheme.", scheme=scheme)
        port = int(match["port"]) if match["port"] else _PORTS[scheme]
        if not 0 < port < 65536:
            raise AddressRefused("An endpoint's port is a number from 1 to 65535.")
        return Endpoint(scheme, _checked_host(host), port)

    def trusts(self, host: str) -> bool:
        """Whether the operator named this host."""
        return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self.hosts)

    def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of a host, all of them allowed, in the resolver's order.

        Raises:
            AddressRefused: one of them is not allowed; a name with one bad address is not used at all.
            Unreachable: the name does not resolve.
        """
        name = _checked_host(host)
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except (OSError, UnicodeError) as error:
            raise Unreachable("The endpoint's host name cannot be resolved.", host=name) from error
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not addresses or not all(self._allows(address, named=self.trusts(name)) for address in addresses):
            raise AddressRefused("The operator does not allow the addresses that this host resolves to.", host=name)
        return addresses

    def check(self, text: str) -> Endpoint:
        """Parses and resolves. Raises AddressRefused, Unreachable."""
        endpoint = self.endpoint(text)
        self.resolve(endpoint.host, endpoint.port)
        return endpoint

    def _allows(self, text: str, *, named: bool) -> bool:
        try:
            addresses = _meanings(ipaddress.ip_address(text))
        except ValueError:  # a scope id, as in fe80::1%eth0
            return False
        return all(self._allows_one(address, named=named) for address in addresses)

    def _allows_one(self, address: Address, *, named: bool) -> bool:
        if any(address in network for network in self.networks):
            return True
        if any(address in network for network in _NEVER):
            return False
        return named or (self.public and address.is_global)


def _meanings(address: Address) -> tuple[Address, ...]:
    """What a connection to this address may reach: an IPv6 address that carries an IPv4 one means the latter."""
    if isinstance(address, ipaddress.IPv6Address) and int(address) > 1:  # `::` and `::1` carry nothing
        for network, shift in _CARRIERS:
            if address in network:
                return (ipaddress.IPv4Address(int(address) >> shift & 0xFFFF_FFFF),)
    return (address,)


def _checked_host(host: str) -> str:
    """The host in lower case without brackets, if it is a name or an IP address in its one usual spelling.

    `2130706433`, `0x7f.1` and `0177.0.0.1` are 127.0.0.1 to some resolvers and names to some checks.
    """
    bare = host.lower().removeprefix("[").removesuffix("]")
    labels = bare.split(".")
    if ":" in bare or _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.ip_address(bare))
        except ValueError:
            raise AddressRefused("Write an IP address in its usual form, as in 192.0.2.1 or [2001:db8::1].") from None
    if len(bare) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused("This is not a host name.")
    return bare
