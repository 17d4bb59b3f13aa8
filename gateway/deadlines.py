"""The client's own deadline: `Grpc-Timeout`, in the syntax that gRPC gives it on the wire."""

from __future__ import annotations

import re

from gateway.codec import Violation
from gateway.errors import validation_failed
from gateway.http import Request

HEADER = b"grpc-timeout"
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def deadline_s(request: Request, longest_s: float) -> float:
    """Seconds that the call of this request may take: what the client gives it, never more than `longest_s`.

    Raises ApiError 422 for a header that is no timeout.
    """
    given = request.header(HEADER)
    if given is None:
        return longest_s
    match = _TIMEOUT.fullmatch(given)
    if match is None:
        raise validation_failed([Violation("Grpc-Timeout", "expected up to 8 digits and one of H, M, S, m, u, n")])
    return min(longest_s, int(match.group(1)) * _SECONDS[match.group(2)])
