"""Where a webhook may go (J8): which URLs are taken, and which addresses are never connected to.

A URL is read here once, strictly, and used only in the parts that were read: no second parser can understand it
differently. Names are not looked up here; their addresses are judged by the same rules when a connection is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 2048
"""More than the contract lets in: the one spelling of a URL can be longer than the one it came in."""
_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # ASCII without spaces and the backslash, which browsers read as a slash
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"https": 443, "http": 80}
_FIRST_FREE_PORT = 1024

_INSIDE = ("localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "svc", "arpa")
"""Last labels of names that mean something only inside a machine, a network or a cluster."""

_REFUSED_V4 = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared (carrier-grade NAT)",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a metadata service",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_REFUSED_V6 = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::ffff:0:0/96": "an IPv4 address mapped into IPv6",
    "::/96": "an IPv4 address inside IPv6",
    "64:ff9b:1::/48": "NAT64 of a local network",
    "2001::/32": "Teredo",
    "2001::/23": "reserved for protocols",
    "2001:db8::/32": "for documentation",
    "2002::/16": "6to4",
    "3fff::/20": "for documentation",
    "fc00::/7": "private (unique local)",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason) for table in (_REFUSED_V4, _REFUSED_V6) for network, reason in table.items()
)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_V6 = IPv6Network("2000::/3")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_LOW_32 = 0xFFFF_FFFF


class TargetRefused(Exception):
    """The URL or the address is not one that webhooks are sent to; the text ends a sentence about it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query, as it is sent."""
    address: Address | None = None
    """The host, when it is an address and not a name."""

    @property
    def url(self) -> str:
        """The URL in its one spelling: endpoints are told apart by it."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


class TargetRules:
    """What is refused; addresses in the `allowed` networks never are, and may be spoken to without TLS."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = tuple(ip_network(network) for network in allowed)

    def read(self, url: str) -> Target:
        """The parts of the URL. Raises TargetRefused, also for a host that is an address which is not public."""
        split = _split(url)
        host = split.hostname or ""
        address = _address_in(host, bracketed="[" in split.netloc)
        open_door = address is not None and self._is_allowed(address)
        if address is not None:
            self.check(address)
        else:
            _check_name(host)
        if split.scheme != "https" and not open_door:
            raise TargetRefused("must be an https URL")
        port = _port_of(split)
        if port != _PORTS["https"] and port < _FIRST_FREE_PORT and not open_door:
            raise TargetRefused(f"must use port 443 or one from {_FIRST_FREE_PORT} up")
        path = (split.path or "/") + (f"?{split.query}" if split.query else "")
        return Target(split.scheme, str(address) if address else host, port, path, address)

    def check(self, address: Address) -> None:
        """Raises TargetRefused unless the address is public, or allowed."""
        reason = "" if self._is_allowed(address) else _why_not_public(address)
        if reason:
            raise TargetRefused(f"must not lead to {address}, which is {reason}")

    def _is_allowed(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._allowed)


def _split(url: str) -> SplitResult:
    """The URL in pieces that say what they seem to say."""
    if len(url) > MAX_URL:
        raise TargetRefused(f"must not be longer than {MAX_URL} characters")
    if not _PRINTABLE.fullmatch(url):
        raise TargetRefused("must be printable ASCII without spaces and backslashes; a host in its xn-- form")
    try:
        split = urlsplit(url)
    except ValueError as error:
        raise TargetRefused("must be a URL") from error
    if split.scheme not in _PORTS or not url.lower().startswith(f"{split.scheme}://"):
        raise TargetRefused("must be an https URL")
    if "#" in url:
        raise TargetRefused("must have no fragment")
    if "@" in split.netloc:
        raise TargetRefused("must have no user name and no password")
    if not split.hostname:
        raise TargetRefused("must name a host")
    return split


def _port_of(split: SplitResult) -> int:
    try:
        port = split.port
    except ValueError as error:
        raise TargetRefused("must have a port between 1 and 65535") from error
    return _PORTS[split.scheme] if port is None else port


def _address_in(host: str, *, bracketed: bool) -> Address | None:
    """The address that a host spells; None for a name.

    A name cannot end in a number, so a host that does is an IPv4 address, and only its plain spelling is taken: no
    octal, hexadecimal, short or single-number form, which resolvers read in ways of their own.
    """
    if bracketed:
        if "%" in host:
            raise TargetRefused("must have no zone in its address")
        try:
            return IPv6Address(host)
        except ValueError as error:
            raise TargetRefused("must have an IPv6 address between its brackets") from error
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return None
    try:
        return IPv4Address(host)
    except ValueError as error:
        raise TargetRefused("must write an IPv4 address as four decimal numbers") from error


def _check_name(host: str) -> None:
    if host.endswith("."):
        raise TargetRefused("must have a host without a dot at its end")
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise TargetRefused("must have a host of letters, digits, hyphens and dots")
    if labels[-1] in _INSIDE or len(labels) == 1:
        raise TargetRefused(f"must not lead to `{host}`, a name of a local network")


def _why_not_public(address: Address) -> str:
    """Why webhooks do not go there; empty for a public address."""
    for network, reason in _REFUSED:
        if address.version == network.version and address in network:
            return reason
    if isinstance(address, IPv4Address):
        return ""
    if address in _NAT64:
        return _embedded(address, "NAT64")
    if address not in _GLOBAL_V6:
        return "not a public address"
    if (int(address) >> 32) & _LOW_32 in _ISATAP:
        return _embedded(address, "ISATAP")
    return ""


def _embedded(address: IPv6Address, kind: str) -> str:
    """Judges the IPv4 address at the end of an IPv6 one: a gateway would pass the connection on to it."""
    inner = ip_address(int(address) & _LOW_32)
    reason = _why_not_public(inner)
    return f"{kind} of {inner}, {reason}" if reason else ""
