"""Addresses of services, in the forms of gRPC's naming.md that need no resolver beyond the system's.

`host:port`, `dns:host:port`, `dns://authority/host:port` (the system's resolver is asked, whatever the authority),
`ipv4:a:port,b:port`, `ipv6:[a]:port,[b]:port`, `unix:path`, `unix:///path`. A name may resolve to several addresses, as
that of a headless service in Kubernetes does: they are tried in the resolver's order until one answers, and all
calls go there until that connection ends (`pick_first`, the default of gRPC).
"""

from __future__ import annotations

from dataclasses import dataclass

_DEFAULT_PORT = 443


class TargetError(ValueError):
    """An address in none of the forms."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: to the first of these hosts and ports that answers, or to a socket of this machine."""

    authority: str
    hosts: tuple[tuple[str, int], ...] = ()
    unix_path: str = ""


def parse_target(text: str) -> Target:
    """Raises TargetError."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "unix":
        path = rest.removeprefix("//")
        if not path or (rest.startswith("//") and not path.startswith("/")):
            raise TargetError(f"{text}: expected unix:path or unix:///path")
        return Target("localhost", unix_path=path)
    if colon and scheme == "dns":
        if rest.startswith("//"):
            rest = rest[2:].partition("/")[2]
        return _named(rest, text)
    if colon and scheme in ("ipv4", "ipv6"):
        parts = rest.split(",")
        return Target(parts[0], tuple(_host_and_port(part, text) for part in parts))
    if "/" in text:
        raise TargetError(f"{text}: no such scheme here")
    return _named(text, text)


def _named(address: str, text: str) -> Target:
    return Target(address, (_host_and_port(address, text),))


def _host_and_port(address: str, text: str) -> tuple[str, int]:
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    else:
        host, port = address, ""
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise TargetError(f"{text}: expected host:port")
    return host, int(port) if port else _DEFAULT_PORT
