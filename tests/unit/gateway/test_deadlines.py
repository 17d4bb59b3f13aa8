"""The client's own deadline (O6)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.deadlines import deadline_s
from gateway.errors import ApiError
from gateway.http import Request


def request_with(*timeouts: bytes) -> Request:
    """A request with such a `Grpc-Timeout`."""
    unused: Any = None
    return Request({"headers": [(b"grpc-timeout", value) for value in timeouts]}, unused, unused)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (b"5S", 5),
        (b"500m", 0.5),
        (b"250u", 250e-6),
        (b"0n", 0),
        (b"15S", 15),
        (b"16S", 15),
        (b"1M", 15),
        (b"99999999H", 15),
    ],
)
def test_O6_it_shortens_and_never_lengthens(given: bytes, seconds: float) -> None:
    """O6: by gRPC's units."""
    assert deadline_s(request_with(given), 15.0) == pytest.approx(seconds)


def test_O6_without_one_the_gateways_own_holds() -> None:
    """O6."""
    assert deadline_s(request_with(), 15.0) == 15.0


@pytest.mark.parametrize(
    "given", [b"", b"5", b"S", b"5s", b"5 S", b"-5S", b"1.5S", b"123456789S", b"soon", b"\xd9\xa5S"]
)
def test_O6_what_is_no_timeout_is_named(given: bytes) -> None:
    """O6: 422 with the header's name."""
    with pytest.raises(ApiError) as caught:
        deadline_s(request_with(given), 15.0)
    assert caught.value.status == 422
    assert [item["field"] for item in caught.value.details["violations"]] == ["Grpc-Timeout"]
