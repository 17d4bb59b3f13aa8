"""Converters of scalar values, from JSON and from text (path, query and headers carry only text)."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from gateway.codec.fields import enum_of
from gateway.codec.names import Violation, enum_labels, kind_of

Convert = Callable[[object, str, list[Violation]], Any]

_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
# Half a step above the largest float: up to here a double still rounds to it, and its shortest form lies there.
_FLOAT32_MAX = 3.4028235677973362e38

_F = FieldDescriptor
_INTEGER_BOUNDS = {
    _F.TYPE_INT32: (-(2**31), 2**31 - 1),
    _F.TYPE_SINT32: (-(2**31), 2**31 - 1),
    _F.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    _F.TYPE_INT64: (-(2**63), 2**63 - 1),
    _F.TYPE_SINT64: (-(2**63), 2**63 - 1),
    _F.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1),
    _F.TYPE_FIXED32: (0, 2**32 - 1),
    _F.TYPE_UINT64: (0, 2**64 - 1),
    _F.TYPE_FIXED64: (0, 2**64 - 1),
}


def json_converter(field: FieldDescriptor) -> Convert:
    """Converter of one JSON value of a scalar or enum field."""
    if field.type in _INTEGER_BOUNDS:
        return _integer(*_INTEGER_BOUNDS[field.type])
    match field.type:
        case _F.TYPE_STRING:
            return _string
        case _F.TYPE_BOOL:
            # Keys of a map<bool, …> arrive as text.
            return _text_boolean if _is_map_key(field) else _boolean
        case _F.TYPE_BYTES:
            return _bytes
        case _F.TYPE_DOUBLE:
            return _floating(math.inf)
        case _F.TYPE_FLOAT:
            return _floating(_FLOAT32_MAX)
        case _F.TYPE_ENUM:
            return _enum(enum_of(field), text=False)
        case _:
            raise ValueError(f"{field.full_name} is not a scalar")


def _is_map_key(field: FieldDescriptor) -> bool:
    owner = field.containing_type
    return owner is not None and bool(owner.GetOptions().map_entry) and field.number == 1


def text_converter(field: FieldDescriptor) -> Convert:
    """Converter of the text form of a scalar or enum field."""
    if field.type == _F.TYPE_BOOL:
        return _text_boolean
    if field.type == _F.TYPE_ENUM:
        return _enum(enum_of(field), text=True)
    return json_converter(field)


def _refuse(value: object, wanted: str, path: str, violations: list[Violation]) -> None:
    violations.append(Violation(path, f"expected {wanted}, got {kind_of(value)}"))


def _string(value: object, path: str, violations: list[Violation]) -> str | None:
    if isinstance(value, str):
        return value
    _refuse(value, "string", path, violations)
    return None


def _boolean(value: object, path: str, violations: list[Violation]) -> bool | None:
    if isinstance(value, bool):
        return value
    _refuse(value, "boolean", path, violations)
    return None


def _text_boolean(value: object, path: str, violations: list[Violation]) -> bool | None:
    if value in ("true", "false"):
        return value == "true"
    violations.append(Violation(path, "expected true or false"))
    return None


def _bytes(value: object, path: str, violations: list[Violation]) -> bytes | None:
    """Standard or URL-safe alphabet, padding optional."""
    if not isinstance(value, str):
        _refuse(value, "base64 string", path, violations)
        return None
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        violations.append(Violation(path, "expected base64"))
        return None


def _integer(low: int, high: int) -> Convert:
    def convert(value: object, path: str, violations: list[Violation]) -> int | None:
        number: int | None
        if type(value) is int:
            number = value
        elif isinstance(value, float):
            number = int(value) if value.is_integer() else None
        elif isinstance(value, str):
            number = int(value) if _INTEGER.fullmatch(value) else None
        else:
            _refuse(value, "integer", path, violations)
            return None
        if number is None:
            violations.append(Violation(path, f"expected integer, got {value!r:.40}"))
            return None
        if low <= number <= high:
            return number
        violations.append(Violation(path, f"out of range: {low} to {high}"))
        return None

    return convert


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _floating(limit: float) -> Convert:
    def convert(value: object, path: str, violations: list[Violation]) -> float | None:
        if type(value) in (float, int):
            number = float(value)  # type: ignore[arg-type]
        elif isinstance(value, str) and value in _SPECIAL:
            return _SPECIAL[value]
        elif isinstance(value, str) and _NUMBER.fullmatch(value):
            number = float(value)
        else:
            _refuse(value, "number", path, violations)
            return None
        if abs(number) <= limit and math.isfinite(number):
            return number
        violations.append(Violation(path, "out of range"))
        return None

    return convert


def _enum(enum: EnumDescriptor, *, text: bool) -> Convert:
    labels = enum_labels(enum)
    numbers = {value.name: value.number for value in enum.values}
    numbers |= {label: number for number, label in labels.items()}
    # The zero value means "not set"; offering it in an error message would only mislead.
    offered = ", ".join(label for number, label in labels.items() if number) or ", ".join(labels.values())

    def convert(value: object, path: str, violations: list[Violation]) -> int | None:
        if isinstance(value, str):
            number = numbers.get(value)
            if number is not None:
                return number
            if text and _INTEGER.fullmatch(value):
                value = int(value)
            else:
                violations.append(Violation(path, f"unknown value {value!r:.40}; expected one of {offered}"))
                return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is int:
            if -(2**31) <= value < 2**31:
                return value
            violations.append(Violation(path, "out of range"))
            return None
        _refuse(value, "string", path, violations)
        return None

    return convert
