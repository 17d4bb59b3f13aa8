"""From an HTTP answer to a typed error (O6), and what it says about when to come back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from gateway.client.core.effects import Answer
from gateway.client.errors import BY_STATUS, QuotaExhaustedError, T2MError

_RESET = re.compile(r";\s*t=(\d+)")


def error_of(answer: Answer) -> T2MError | None:
    """The error that an answer is; None for a success, a redirect or 304."""
    if answer.status < 400:
        return None
    body = _body(answer)
    details = body.get("details")
    details = details if isinstance(details, dict) else {}
    kind = BY_STATUS.get(answer.status, T2MError)
    if details.get("reason") == "QUOTA_EXHAUSTED":
        kind = QuotaExhaustedError
    return kind(
        answer.status,
        str(body.get("error_code", "UNKNOWN")),
        str(body.get("message", "")) or f"HTTP status {answer.status}",
        details,
        request_id=str(body.get("request_id", "")),
        retry_after_s=retry_after_s(answer.headers, details) if answer.status in (429, 503) else None,
    )


def _body(answer: Answer) -> dict[str, Any]:
    """The error body; what a proxy or a store says instead, shortened."""
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {"message": answer.content[:200].decode("utf-8", "replace").strip()}
    return error if isinstance(error, dict) else {"message": str(error)}


def retry_after_s(headers: Mapping[str, str], details: Mapping[str, Any], now: datetime | None = None) -> float | None:
    """Seconds by `Retry-After` (RFC 9110 §10.2.3: seconds or a date), else by the error body, else by the reset time
    of `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) or `RateLimit-Reset`; None when nothing says.
    """
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    if value:
        try:
            return max(0.0, (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds())
        except (ValueError, TypeError):
            pass
    asked = details.get("retry_after_seconds")
    if isinstance(asked, int | float):
        return float(asked)
    reset = [int(found) for found in _RESET.findall(headers.get("ratelimit", ""))]
    if reset:
        return float(max(reset))
    older = headers.get("ratelimit-reset", "").strip()
    return float(older) if older.isdigit() else None
