"""Range and conditional requests (RFC 9110 §13, §14)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.byte_ranges import (
    content_disposition,
    http_date,
    not_modified,
    parse_range,
    precondition_failed,
    range_applies,
)
from gateway.errors import ApiError

MODIFIED = datetime(2030, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)
DATE = "Thu, 31 Jan 2030 12:00:00 GMT"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 0)),
        ("bytes=0-9", (0, 9)),
        ("bytes=0-99999", (0, 99)),
        ("bytes=99-", (99, 99)),
        ("bytes=-1", (99, 99)),
        ("bytes=-100", (0, 99)),
        ("bytes=-5000", (0, 99)),
        ("Bytes = 1 - 2", (1, 2)),
        ("bytes=0-1,3-4", None),
        ("bytes=0-1, -4", None),
        ("lines=0-1", None),
    ],
)
def test_V4_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    """V4: of 100 bytes."""
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    ["bytes=100-", "bytes=100-200", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=", "bytes", "bytes=x-", "bytes=0x1-2",
     "bytes=1--2", "bytes=+1-2", "bytes=" + "9" * 30 + "-"],
)  # fmt: skip
def test_V4_O6_bad_ranges_are_416(header: str) -> None:
    """V4, O6: with the size in Content-Range."""
    with pytest.raises(ApiError) as caught:
        parse_range(header, 100)
    assert caught.value.status == 416
    assert (b"content-range", b"bytes */100") in caught.value.headers


LATER, EARLIER = "Thu, 31 Jan 2030 12:00:01 GMT", "Thu, 31 Jan 2030 11:59:59 GMT"


@pytest.mark.parametrize(
    ("if_match", "if_unmodified_since", "failed"),
    [
        (None, None, False),
        ('"a"', None, False),
        ('"x", "a"', None, False),
        ("*", None, False),
        ('"x"', None, True),
        ('W/"a"', None, True),
        ("a", None, True),
        ('"a"', EARLIER, False),
        ('"x"', LATER, True),
        (None, LATER, False),
        (None, DATE, False),
        (None, EARLIER, True),
        (None, "yesterday", False),
    ],
)
def test_V4_preconditions(if_match: str | None, if_unmodified_since: str | None, failed: bool) -> None:
    """V4, RFC 9110 section 13.1: strong, and the tag before the date."""
    assert precondition_failed(if_match, if_unmodified_since, '"a"', MODIFIED) is failed
    assert precondition_failed(None, if_unmodified_since, '"a"', None) is False


def test_V4_nothing_of_an_empty_object_is_satisfiable() -> None:
    """V4."""
    for header in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        with pytest.raises(ApiError):
            parse_range(header, 0)


@given(first=st.integers(0, 10**9), length=st.integers(1, 10**9), size=st.integers(1, 10**9))
def test_V4_a_range_never_leaves_the_object(first: int, length: int, size: int) -> None:
    """V4."""
    try:
        found = parse_range(f"bytes={first}-{first + length - 1}", size)
    except ApiError:
        assert first >= size
    else:
        assert found is not None
        assert found[0] == first
        assert first <= found[1] < size
        assert found[1] - found[0] < length


@pytest.mark.parametrize(
    ("none_match", "since", "expected"),
    [
        (None, None, False),
        ('"a"', None, True),
        ('W/"a"', None, True),
        ('"b", "a"', None, True),
        ("*", None, True),
        ('"b"', DATE, False),
        (None, DATE, True),
        (None, "Thu, 31 Jan 2030 11:59:59 GMT", False),
        (None, "garbage", False),
    ],
)
def test_V7_not_modified(none_match: str | None, since: str | None, expected: bool) -> None:
    """V7: the tag decides where there is one."""
    assert not_modified(none_match, since, '"a"', MODIFIED) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, True), ('"a"', True), ('W/"a"', False), ('"b"', False), (DATE, True),
     ("Thu, 31 Jan 2030 12:00:01 GMT", False), ("garbage", False)],
)  # fmt: skip
def test_V4_if_range(header: str | None, expected: bool) -> None:
    """V4."""
    assert range_applies(header, '"a"', MODIFIED) is expected
    assert http_date(MODIFIED) == DATE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("video.mp4", 'attachment; filename="video.mp4"'),
        ("", "attachment"),
        ('a"b.mp4', "attachment; filename=\"a_b.mp4\"; filename*=UTF-8''a%22b.mp4"),
        ("ü.mp4", "attachment; filename=\"_.mp4\"; filename*=UTF-8''%C3%BC.mp4"),
        ("../etc/passwd", 'attachment; filename=".._etc_passwd"'),
        ("a\r\nSet-Cookie: x", 'attachment; filename="aSet-Cookie: x"'),
        ("100%.mp4", "attachment; filename=\"100_.mp4\"; filename*=UTF-8''100%25.mp4"),
    ],
)
def test_V4_content_disposition(name: str, expected: str) -> None:
    """V4: RFC 6266 and 8187; nothing that ends the header or leaves the folder."""
    assert content_disposition(name, inline=False) == expected
    assert content_disposition(name, inline=True).startswith("inline")
