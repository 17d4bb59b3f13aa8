"""J8: where a webhook may go. The corpus holds what is known to get past careless checks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.job.domain.webhook_targets import TargetRefused, TargetRules

RULES = TargetRules()
OPEN = TargetRules(["127.0.0.0/8", "fd00:1::/32"])

HOSTILE_URLS = [
    # Not https, or not a URL at all.
    "",
    "example.com/hook",
    "//example.com/hook",
    "https:example.com",
    "https:/example.com",
    "https:///example.com",
    "http://example.com/",
    "HTTP://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/_GET",
    "javascript:alert(1)",
    "https+unix://%2Fvar%2Frun%2Fdocker.sock/",
    # Read differently by different parsers.
    "https://example.com\\@127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1@example.com/",
    "https://user:password@example.com/",
    "https://:@example.com/",
    "https://example.com#@127.0.0.1/",
    "https://example.com/#fragment",
    "https://exa mple.com/",
    "https://example.com/a\r\nHost: 127.0.0.1",
    "https://example.com/\t",
    "https://127.0.0.1\n.example.com/",
    "https://127.0.0.1\0.example.com/",
    "https://127.0.0.1%2f.example.com/",
    "https://127%2e0%2e0%2e1/",
    "https://１２７.０.０.１/",
    "https://127。0。0。1/",
    "https://ⓛocalhost/",
    "https://[127.0.0.1]/",
    "https://[::1/",
    "https://::1/",
    "https://example.com:443:80/",
    "https://example.com:http/",
    "https://example.com:65536/",
    "https://-example.com/",
    "https://exa..mple.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 2030,
    # Names that mean something only inside.
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://foo.localhost/",
    "https://localhost.localdomain/",
    "https://postgres:5432/",
    "https://metadata/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://instance-data.ec2.internal/",
    "https://job.t2m.svc/",
    "https://kubernetes.default.svc.cluster.local/",
    "https://printer.local/",
    "https://router.lan/",
    "https://wiki.corp/",
    "https://1.0.0.127.in-addr.arpa/",
    "https://example.com./",
    # Addresses in odd spellings.
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0X7F.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://127.0.0.1.1/",
    "https://256.1.1.1/",
    "https://10.0x0.0.1/",
    "https://example.0x/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[v1.fe80]/",
    # Ports of services that are not the web.
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:80/",
]

HOSTILE_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1:a::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2002:808:808::1",
    "2a00:1450::5efe:10.0.0.1",
    "2a00:1450::200:5efe:192.168.0.1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff::1",
    "fe80::1",
    "fe80::5efe:8.8.8.8",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]

PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "2a00:1450::5efe:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


def test_j8_corpus_is_large_enough() -> None:
    assert len(HOSTILE_URLS) + len(HOSTILE_ADDRESSES) >= 60


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_j8_hostile_url_is_refused(url: str) -> None:
    """J8: with a text that completes the sentence about the field."""
    with pytest.raises(TargetRefused) as caught:
        RULES.read(url)
    assert str(caught.value).startswith("must ")


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_j8_address_inside_is_refused(address: str) -> None:
    """J8: as the address of a name, and written into a URL."""
    with pytest.raises(TargetRefused, match="must not lead to"):
        RULES.check(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(TargetRefused, match="must not lead to"):
        RULES.read(f"https://{host}/")


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_j8_public_address_is_taken(address: str) -> None:
    RULES.check(ip_address(address))


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/Hook?a=B", "https://example.com/Hook?a=B"),
        ("https://example.com:8443/a%20b", "https://example.com:8443/a%20b"),
        ("https://example.com?x=1", "https://example.com/?x=1"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700:0::1111]:1024/", "https://[2606:4700::1111]:1024/"),
        ("https://127.0.0.1.nip.io/", "https://127.0.0.1.nip.io/"),
    ],
)
def test_j8_url_has_one_spelling(url: str, kept: str) -> None:
    """J8: the last one leads inside, which only its address tells: it is refused when the connection is made."""
    assert RULES.read(url).url == kept
    assert RULES.read(kept).url == kept


def test_j8_longest_url_survives_its_own_spelling() -> None:
    """J8: the contract lets 2000 characters in; what is kept must still be readable when it is used."""
    url = "https://example.com?" + "a" * 1980
    assert len(url) == 2000
    assert RULES.read(RULES.read(url).url).url == RULES.read(url).url


def test_j8_allowed_networks_are_open() -> None:
    """J8: also without TLS and on any port, but only by address; everything else stays closed."""
    assert OPEN.read("http://127.0.0.1:80/x").url == "http://127.0.0.1/x"
    assert OPEN.read("http://[fd00:1::5]:81/").port == 81
    for url in ("http://localhost/", "http://10.0.0.1/", "http://example.com/", "https://[::ffff:127.0.0.1]/"):
        with pytest.raises(TargetRefused):
            OPEN.read(url)


@given(number=st.integers(0, 2**32 - 1))
def test_j8_embedding_never_makes_an_address_public(number: int) -> None:
    """J8: an IPv4 address that is refused is refused in every IPv6 clothing too."""
    try:
        RULES.check(IPv4Address(number))
    except TargetRefused:
        prefixes = ("::", "::ffff:0:0", "64:ff9b::", "64:ff9b:1::", "2001::", "2a00::5efe:0:0")
        clothed = [int(IPv6Address(prefix)) | number for prefix in prefixes]
        for value in (*clothed, 0x2002 << 112 | number << 80):
            with pytest.raises(TargetRefused):
                RULES.check(IPv6Address(value))
