"""Numbers, times and other people's text as a terminal shows them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
STYLES = {
    "completed": "green",
    "delivered": "green",
    "failed": "red",
    "error": "red",
    "cancelled": "yellow",
    "warning": "yellow",
    "partially_completed": "yellow",
    "processing": "cyan",
    "debug": "dim",
    "queued": "dim",
}
"""Colour of a state; the word itself always stands there, too."""


def safe(text: object) -> str:
    """Somebody's text without what could move the cursor or turn the line around."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(text))


def line(text: object) -> str:
    """The same in one line."""
    return " ".join(safe(text).split())


def when(timestamp: str | None) -> datetime | None:
    """An RFC 3339 time."""
    return datetime.fromisoformat(timestamp) if timestamp else None


def ago(timestamp: str | None, now: datetime | None = None) -> str:
    """`3 min ago`; the date from a week on."""
    moment = when(timestamp)
    if moment is None:
        return "–"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 60:
        return "just now"
    for unit, size, until in (("min", 60, 3600), ("h", 3600, 86400), ("d", 86400, 7 * 86400)):
        if seconds < until:
            return f"{int(seconds // size)} {unit} ago"
    return f"{moment.astimezone():%Y-%m-%d}"


def local(timestamp: str | None) -> str:
    """The time here, to the second."""
    moment = when(timestamp)
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else "–"


def span(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration_s(value: str | None) -> float:
    """Seconds of a protobuf duration, `12.5s`."""
    return float((value or "0s").removesuffix("s"))


def size(count: float) -> str:
    """`17 B`, `1.2 MB`, in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def short(identity: str) -> str:
    """The end of an id: of a UUIDv7 that is the part that differs. The command takes it for the id."""
    return identity[-8:]
