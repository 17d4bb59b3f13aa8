"""Conditional and range requests on an object (RFC 9110 §13 and §14), as pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

from gateway.errors import range_not_satisfiable

_SINGLE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.ASCII | re.IGNORECASE)
_MANY = re.compile(r"bytes\s*=\s*(\d*-\d*)(\s*,\s*(\d*-\d*)?)+", re.ASCII | re.IGNORECASE)
_ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')
_MAX_DIGITS = 19


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte that a `Range` header asks for; None when the whole object is to be sent.

    Another unit than bytes and a list of ranges are ignored, which RFC 9110 allows. What claims to be a byte
    range and is not one is refused like one beyond the end: ApiError 416.
    """
    if header is None or not header.strip().lower().startswith("bytes"):
        return None
    match = _SINGLE.fullmatch(header.strip())
    if match is None:
        if _MANY.fullmatch(header.strip()):
            return None
        raise range_not_satisfiable("malformed Range header", size)
    first_text, last_text = match.groups()
    if max(len(first_text), len(last_text)) > _MAX_DIGITS or not (first_text or last_text):
        raise range_not_satisfiable("malformed Range header", size)
    if not first_text:
        length = min(int(last_text), size)
        first, last = size - length, size - 1
    else:
        first, last = int(first_text), min(int(last_text), size - 1) if last_text else size - 1
        if last_text and int(last_text) < first:
            raise range_not_satisfiable("malformed Range header: it ends before it begins", size)
    if first > last or first >= size:
        raise range_not_satisfiable(f"the object has {size} bytes", size)
    return first, last


def not_modified(
    if_none_match: str | None, if_modified_since: str | None, etag: str, modified: datetime | None
) -> bool:
    """Whether the client's copy is still good; `etag` comes quoted."""
    if if_none_match is not None:
        tags = _ENTITY_TAG.findall(if_none_match)
        return if_none_match.strip() == "*" or any(tag.removeprefix("W/") == etag for tag in tags)
    since = _http_date(if_modified_since)
    return since is not None and modified is not None and modified.replace(microsecond=0) <= since


def precondition_failed(
    if_match: str | None, if_unmodified_since: str | None, etag: str, modified: datetime | None
) -> bool:
    """Whether the client wants only what this no longer is; `etag` comes quoted, and weak tags never match."""
    if if_match is not None:
        return if_match.strip() != "*" and etag not in _ENTITY_TAG.findall(if_match)
    since = _http_date(if_unmodified_since)
    return since is not None and modified is not None and modified.replace(microsecond=0) > since


def range_applies(if_range: str | None, etag: str, modified: datetime | None) -> bool:
    """Whether an `If-Range` still holds; when not, the whole object is sent. Weak tags never match."""
    if if_range is None:
        return True
    if if_range.strip().startswith(('"', "W/")):
        return if_range.strip() == etag
    since = _http_date(if_range)
    return since is not None and modified is not None and modified.replace(microsecond=0) == since


def http_date(moment: datetime) -> str:
    """IMF-fixdate."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def content_disposition(filename: str, *, inline: bool) -> str:
    """RFC 6266: a plain name for old clients and, where it differs, the real one by RFC 8187."""
    kind = "inline" if inline else "attachment"
    name = "".join(char for char in filename if char.isprintable()).replace("/", "_").replace("\\", "_")
    if not name:
        return kind
    plain = "".join(char if char.isascii() and char not in '"%' else "_" for char in name)
    header = f'{kind}; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"
