"""Content codings: who gets gzip, what is worth it, and what a packed body may hold (O7)."""

from __future__ import annotations

import gzip as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content_coding import accepts_gzip, compressible, decoded, gzip
from gateway.errors import ApiError


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        (b"", False),
        (b"gzip", True),
        (b"GZip", True),
        (b"x-gzip", True),
        (b"deflate, gzip, br", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000", False),
        (b"gzip; q=0.001", True),
        (b"gzip;Q=1", True),
        (b"*", True),
        (b"*;q=0", False),
        (b"gzip;q=0, *", False),
        (b"*;q=0, gzip", True),
        (b"identity;q=1, *;q=0", False),
        (b"br", False),
        (b"notgzip", False),
        (b"gzip;q=much", False),
        (b"gzip;level=1", True),
        (b"\xff", False),
    ],
)
def test_O7_gzip_for_who_asks(header: bytes | None, accepted: bool) -> None:
    """O7: RFC 9110 section 12.5.3, weights and all."""
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("content_type", "worth_it"),
    [
        (b"application/json", True),
        (b"application/json; charset=utf-8", True),
        (b"application/schema+json", True),
        (b"application/jsonish", False),
        (b"Text/HTML", True),
        (b"text/vtt", True),
        (b"image/svg+xml", True),
        (b"image/png", False),
        (b"video/mp4", False),
        (b"application/zip", False),
        (b"application/octet-stream", False),
        (b"application/vnd.apple.mpegurl", True),
    ],
)
def test_O7_text_is_packed_and_nothing_else(content_type: bytes, worth_it: bool) -> None:
    """O7: what is packed already only grows."""
    assert compressible(content_type) is worth_it


@given(st.binary(max_size=200))
def test_O7_what_was_packed_is_the_same(body: bytes) -> None:
    """O7: by our own packer and by another."""
    assert decoded(gzip(body), b"gzip", 200) == decoded(reference.compress(body), b"gzip", 200) == body


def test_O7_no_more_is_inflated_than_is_allowed() -> None:
    """O7: exactly the bound passes; a bomb of 20 MB in 20 kB is 413 all the same."""
    assert decoded(reference.compress(b"x" * 100), b"gzip", 100) == b"x" * 100
    for size in (101, 20_000_000):
        with pytest.raises(ApiError) as caught:
            decoded(reference.compress(b"x" * size), b"gzip", 100)
        assert caught.value.status == 413
