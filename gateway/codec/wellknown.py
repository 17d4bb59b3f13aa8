"""JSON forms of the well-known types: RFC 3339 timestamps, `3.5s` durations, plain JSON for Struct and
Value.
"""

from __future__ import annotations

import math
import re
import struct
from datetime import UTC, datetime, timedelta

from google.protobuf import duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2

MAX_STRUCT_DEPTH = 30
"""Nesting of Struct/Value that is accepted. upb refuses to read messages nested deeper than 100, and a level of
Struct takes three of those."""

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_MAX_DURATION_S = 315_576_000_000
_MIN_TIMESTAMP_S, _MAX_TIMESTAMP_S = -62_135_596_800, 253_402_300_799


def encode_timestamp(value: timestamp_pb2.Timestamp) -> str:
    """RFC 3339 in UTC with 0, 3, 6 or 9 fraction digits."""
    return (_NAIVE_EPOCH + timedelta(seconds=value.seconds)).isoformat() + _fraction(value.nanos) + "Z"


def decode_timestamp(text: str) -> timestamp_pb2.Timestamp | None:
    """Parse RFC 3339; None when the text is not a moment between the years 1 and 9999."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    date, time, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time}+00:00")
    except ValueError:
        return None
    seconds = int((moment - _EPOCH).total_seconds())
    if sign is not None:
        if int(hours) > 23 or int(minutes) > 59:
            return None
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == "-" else -offset
    if not _MIN_TIMESTAMP_S <= seconds <= _MAX_TIMESTAMP_S:
        return None
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=int((fraction or "").ljust(9, "0")))


def encode_duration(value: duration_pb2.Duration) -> str:
    """Seconds with 0, 3, 6 or 9 fraction digits and a trailing `s`."""
    sign = "-" if value.seconds < 0 or value.nanos < 0 else ""
    return f"{sign}{abs(value.seconds)}{_fraction(abs(value.nanos))}s"


def decode_duration(text: str) -> duration_pb2.Duration | None:
    """Parse `3.5s`; None when it is not a duration of at most 10,000 years."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    sign = -1 if match.group(1) else 1
    seconds = int(match.group(2))
    if seconds > _MAX_DURATION_S:
        return None
    return duration_pb2.Duration(seconds=sign * seconds, nanos=sign * int((match.group(3) or "").ljust(9, "0")))


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    if nanos % 1_000_000 == 0:
        return f".{nanos // 1_000_000:03d}"
    return f".{nanos // 1_000:06d}" if nanos % 1_000 == 0 else f".{nanos:09d}"


def encode_struct(value: struct_pb2.Struct) -> dict[str, object]:
    """A JSON object."""
    return {key: encode_value(item) for key, item in value.fields.items()}


def encode_list(value: struct_pb2.ListValue) -> list[object]:
    """A JSON array."""
    return [encode_value(item) for item in value.values]


def encode_value(value: struct_pb2.Value) -> object:
    """Any JSON value. Whole numbers that a double holds exactly are written without a fraction."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < 2**53 else encode_float(number)
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return encode_struct(value.struct_value)
        case "list_value":
            return encode_list(value.list_value)
        case _:
            return None


class TooDeepError(ValueError):
    """Struct or Value nested deeper than MAX_STRUCT_DEPTH."""


def decode_struct(value: dict[str, object], depth: int = 0) -> struct_pb2.Struct:
    """Plain JSON → Struct. Raises TooDeepError."""
    return struct_pb2.Struct(fields={key: decode_value(item, depth + 1) for key, item in value.items()})


def decode_list(value: list[object], depth: int = 0) -> struct_pb2.ListValue:
    """Plain JSON → ListValue. Raises TooDeepError."""
    return struct_pb2.ListValue(values=[decode_value(item, depth + 1) for item in value])


def decode_value(value: object, depth: int = 0) -> struct_pb2.Value:
    """Plain JSON → Value. Raises TooDeepError."""
    if depth > MAX_STRUCT_DEPTH:
        raise TooDeepError
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case list():
            return struct_pb2.Value(list_value=decode_list(value, depth))
        case dict():
            return struct_pb2.Value(struct_value=decode_struct(value, depth))
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def encode_float(value: float) -> float | str:
    """A double; what JSON numbers cannot say is a string, as in proto3 JSON."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def encode_float32(value: float) -> float | str:
    """A 32-bit float with the fewest digits that read back as the same float: 0.1, not 0.10000000149011612."""
    if not math.isfinite(value):
        return encode_float(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if struct.unpack("f", struct.pack("f", short))[0] == value:
            return short
    return float(f"{value:.9g}")


_FIELD_PATH = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*", re.ASCII)


def decode_field_mask(text: str) -> field_mask_pb2.FieldMask | None:
    """Comma-separated proto field paths; None when one is not a path."""
    paths = [path.strip() for path in text.split(",") if path.strip()]
    if not all(_FIELD_PATH.fullmatch(path) for path in paths):
        return None
    return field_mask_pb2.FieldMask(paths=paths)
