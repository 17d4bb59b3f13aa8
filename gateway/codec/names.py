"""Names that the dialect gives to fields and enum values, and the violation record."""

from __future__ import annotations

import re
from typing import NamedTuple

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Violation(NamedTuple):
    """One thing wrong with a request: the field's path (`configuration.theme`, `items[2].topic`) and why."""

    field: str
    message: str


def json_name(field: FieldDescriptor) -> str:
    """The proto name, unless the proto sets a `json_name` other than the default camelCase."""
    name: str = field.name
    explicit: str = field.json_name
    return name if explicit == _camel(name) else explicit


def _camel(name: str) -> str:
    out, upper = [], False
    for char in name:
        if char == "_":
            upper = True
        else:
            out.append(char.upper() if upper else char)
            upper = False
    return "".join(out)


def snake_case(name: str) -> str:
    """`JobProgress` → `job_progress`."""
    return _HUMP.sub("_", name).lower()


def enum_labels(enum: EnumDescriptor) -> dict[int, str]:
    """Number → label: the value's name without the enum's prefix, lower-case.

    Aliases keep the first name. A prefix that not every value carries is left alone.
    """
    prefix = snake_case(enum.name).upper() + "_"
    if not all(value.name.startswith(prefix) for value in enum.values):
        prefix = ""
    labels: dict[int, str] = {}
    for value in enum.values:
        labels.setdefault(value.number, value.name[len(prefix) :].lower())
    return labels


def kind_of(value: object) -> str:
    """The JSON type of a parsed value, for error messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
