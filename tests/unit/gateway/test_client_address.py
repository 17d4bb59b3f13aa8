"""Whose address a request comes from (A7): spoofed, relayed, malformed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.client_address import UNKNOWN, ClientAddresses, canonical, rate_key

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def found(peer: str | None, *fields: str, header: str = "x-forwarded-for", trusted: bool = True) -> str:
    """The client of a request with these header fields."""
    headers = [(header.encode(), field.encode("latin-1")) for field in fields]
    addresses = ClientAddresses(PROXIES if trusted else (), header.encode())
    return addresses.of({"type": "http", "client": (peer, 1) if peer else None, "headers": headers})


@pytest.mark.parametrize(
    ("peer", "fields", "client"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # The peer is no proxy: what it says is its own invention.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # A client that sent a list of its own.
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # Two fields are one list.
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # All of it ours: the farthest.
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),  # Nothing beyond what cannot be read is believed.
        ("10.0.0.1", ["203.0.113.9, "], "10.0.0.1"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("fd00::1", ["[2001:DB8::1]:4711"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, ["203.0.113.9"], UNKNOWN),
    ],
)
def test_A7_the_client_is_the_right_most_address_that_is_no_proxy(peer: str, fields: list[str], client: str) -> None:
    """A7: through trusted proxies only."""
    assert found(peer, *fields) == client


def test_A7_without_trusted_proxies_no_header_counts() -> None:
    """A7: the default."""
    assert found("10.0.0.1", "203.0.113.9", trusted=False) == "10.0.0.1"


@pytest.mark.parametrize(
    ("field", "client"),
    [
        ("for=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        ('proto=https;For="[2001:db8::17]:4711"', "2001:db8::17"),
        ("for=1.1.1.1, for=203.0.113.9", "203.0.113.9"),
        ("for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
        ("for=203.0.113.9, for=_hidden", "10.0.0.1"),
        ('for="1.1.1.1, for=203.0.113.9', "203.0.113.9"),  # An open quote of the client's swallows nothing.
        ("by=10.0.0.1", "10.0.0.1"),
    ],
)
def test_A7_the_standard_field_is_read_like_the_other(field: str, client: str) -> None:
    """A7, RFC 7239."""
    assert found("10.0.0.1", field, header="forwarded") == client


def test_A7_a_list_without_end_is_not_followed() -> None:
    """A7: 32 hops at most."""
    assert found("10.0.0.1", "203.0.113.9," + ",".join(["10.0.0.2"] * 40)) == "10.0.0.2"


def test_A7_an_ipv6_network_is_one_client() -> None:
    """A7: its /64; an IPv4 address is itself."""
    assert rate_key("2001:db8:1:2:3:4:5:6") == rate_key("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert rate_key("2001:db8:1:3::1") != rate_key("2001:db8:1:2::1")
    assert (rate_key("203.0.113.9"), rate_key(UNKNOWN)) == ("203.0.113.9", UNKNOWN)


def test_A7_addresses_have_one_spelling() -> None:
    """A7: no two budgets for one address."""
    assert canonical("2001:0DB8:0:0::0001") == canonical("2001:db8::1") == "2001:db8::1"
    assert canonical("010.0.0.1") is None
