"""Refusals of well-formed requests that no schema could have foretold. Everything else that is refused is a fault.

A 422 is excused only when each of its violations is: the field, and what is asked of it that JSON Schema cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FIELDS: Mapping[str, str] = {
    r"page_token": "made by the server, for the same list and filters",
    r"refresh_token": "in the body, or in a cookie",
    r"token|signature": "made by the server, and sent by mail or by Stripe",
    r"(new_|current_)?password": "hard to guess; the right one",
    r"email": "an address that a mail server would take",
    r"expires_at": "in the future",
    r"(requests\[\d+\]\.)?(webhook_)?url": "an address that may be called, with a host that can be",
    r"(requests\[\d+\]\.)?quality_levels": "none above the quality that is asked for",
    r"events\[\d+\]": "one that is announced: a test's is sent by a test alone",
    r"overlap": "from 0 to 7 days",
    r"filename": "a name, and no path",
    r"plan": "a plan of this deployment",
    r"scopes\[\d+\]": "a scope that some method asks for",
    r"preferences\.time_zone": "in the IANA database",
    r"preferences\.(language|locale)": "a tag of BCP 47",
    r"(storyboard|edits)(\..+|\[.+)?": "a lesson that can be drawn: mathematics, plots, programs",
    r"(start|end)_date": "a day of the calendar, in order, within a year",
    r"created_(after|before)": "a time that a database can hold",
    r"sha256|content|content_type|size_bytes|offset_bytes|etags.*": "of the very bytes that are sent",
    r"page_size|skip|take": "`take` is another name for `page_size`, `skip` not for deep pages: one of them",
    r"after_seq|Last-Event-ID": "a position of this stream",
}
"""Field (a regular expression) → what it has to be beside well-formed."""

REASONS: Mapping[str, str] = {
    "UNSUPPORTED": "what this deployment is configured without: models, documents for the planner",
    "UNSUPPORTED_MEDIA_TYPE": "what a file is, its bytes say",
    "REQUEST_TOO_LARGE": "how large one may be, the plan says",
}
"""Reasons that are excused wherever they are documented."""

MESSAGES: Mapping[str, str] = {
    r"must not contain the character U\+0000": "no text holds it, as the rules of the contract say once for all",
    r"control (or invisible )?characters": "names and titles are shown in one line",
}
"""What is asked of a value, wherever it is."""

ISOLATED: Mapping[str, tuple[str, str]] = {
    "createBatch": ("requests", "each item is accepted or refused on its own; the answer says which"),
}
"""Operation → list whose items do not refuse the request, and why."""

_FIELD = re.compile("|".join(f"(?:{pattern})" for pattern in FIELDS))

_MESSAGE = re.compile("|".join(MESSAGES))


def excused(body: Any) -> bool:
    """Whether an answer refuses for reasons of these tables alone."""
    details = body.get("error", {}).get("details", {}) if isinstance(body, dict) else {}
    if details.get("reason") in REASONS:
        return True
    violations = details.get("violations", [])
    return bool(violations) and all(
        _FIELD.fullmatch(violation["field"]) or _MESSAGE.search(violation["message"]) for violation in violations
    )
