"""Who is at the other end: the client's address, however many proxies of ours are in between.

Every hop that speaks HTTP may write what it likes into `X-Forwarded-For`. Only what a trusted proxy has written is
worth something, and a proxy appends: so the list is read from its right end, and the first address that is none of our
proxies is the client. What stands left of it was the client's to invent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import islice

from starlette.types import Scope

Network = IPv4Network | IPv6Network

UNKNOWN = "unknown"
"""The address of a peer that has none, as over a Unix socket. All of them share one budget."""
_IPV6_PREFIX = 64
"""What a provider hands to one customer (RFC 6177): within it, addresses cost nothing."""
_MAX_HOPS = 32
_FORWARDED_FOR = re.compile(r"""(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^\s;]+))\s*(?=;|$)""", re.IGNORECASE)


class ClientAddresses:
    """Finds the address of the client of a request. `header` is the one that the trusted proxies write."""

    def __init__(self, trusted: Sequence[Network] = (), header: bytes = b"x-forwarded-for") -> None:
        self._trusted = tuple(trusted)
        self._header = header
        self._is_trusted = lru_cache(maxsize=1024)(self._in_trusted_network)

    def of(self, scope: Scope) -> str:
        """The client's address in canonical form; that of the last known hop when it is not an address."""
        peer = scope.get("client")
        address = canonical(peer[0]) if peer else None
        if address is None:
            return UNKNOWN
        if not self._trusted or not self._is_trusted(address):
            return address
        for hop in islice(self._hops(scope["headers"]), _MAX_HOPS):
            found = canonical(hop)
            if found is None:
                break
            address = found
            if not self._is_trusted(address):
                break
        return address

    def _hops(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[str]:
        """What the proxies have written, the newest first. Several fields are one list (RFC 9110 §5.3)."""
        text = ",".join(value.decode("latin-1") for name, value in headers if name == self._header)
        for element in reversed(text.split(",")) if text else ():
            if self._header == b"forwarded":
                match = _FORWARDED_FOR.search(element.strip())
                yield (match[1] or match[2] or "") if match else ""
            else:
                yield element.strip()

    def _in_trusted_network(self, text: str) -> bool:
        address = ip_address(text)
        return any(address.version == network.version and address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def canonical(text: str) -> str | None:
    """One spelling for each address: without port, brackets and zone; an IPv4 address is never in IPv6's clothes."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.compressed


@lru_cache(maxsize=4096)
def rate_key(address: str) -> str:
    """Whom an address is counted under: itself, of IPv6 its network."""
    if ":" not in address:
        return address
    return str(IPv6Network((address, _IPV6_PREFIX), strict=False))
