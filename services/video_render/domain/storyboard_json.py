"""Dataclasses to plain JSON and back, with field paths in every complaint."""

from __future__ import annotations

import base64
import binascii
import math
import types
import typing
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from services.video_render.domain.violations import StoryboardInvalid, Violation


def encode(value: Any) -> Any:
    """A dataclass tree as dicts, lists and scalars; what is as it is by default is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((item, getattr(value, item.name)) for item in fields(value))
        return {item.name: encode(member) for item, member in pairs if member is not None and member != item.default}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return [encode(member) for member in value]
    if isinstance(value, StrEnum):
        return value.value
    return value


@lru_cache(maxsize=64)
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


class Reader:
    """Reads typed values out of parsed JSON and collects what does not fit.

    After a complaint it goes on with a stand-in value, so one pass names every bad field;
    call `raise_if_failed` before using what was read.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def fail(self, path: str, message: str) -> None:
        """Note a broken rule at `path`."""
        self.violations.append(Violation(path, message))

    def raise_if_failed(self) -> None:
        """Raise `StoryboardInvalid` when anything was noted."""
        if self.violations:
            raise StoryboardInvalid(self.violations)

    def mapping(self, value: object, path: str, known: set[str], required: set[str]) -> Mapping[str, Any]:
        """A JSON object whose keys are all `known`; complains about the others and about missing ones."""
        if not isinstance(value, Mapping):
            self.fail(path, "must be an object")
            return {}
        prefix = f"{path}." if path else ""
        for name in value:
            if name not in known:
                self.fail(f"{prefix}{name}", "unknown field")
        for name in sorted(required - set(value)):
            self.fail(f"{prefix}{name}", "is required")
        return value

    def read(self, kind: Any, value: object, path: str) -> Any:
        """`value` as `kind`: a scalar, a `StrEnum`, `tuple[X, ...]`, `X | None` or a dataclass of these."""
        origin = typing.get_origin(kind)
        if origin in (types.UnionType, typing.Union):
            if value is None:
                return None
            return self.read(next(a for a in typing.get_args(kind) if a is not type(None)), value, path)
        if origin is tuple:
            if not isinstance(value, (list, tuple)):
                self.fail(path, "must be a list")
                return ()
            item = typing.get_args(kind)[0]
            return tuple(self.read(item, member, f"{path}[{index}]") for index, member in enumerate(value))
        if is_dataclass(kind):
            return self._read_dataclass(typing.cast(type, kind), value, path)
        return self._read_scalar(kind, value, path)

    def _read_dataclass(self, cls: type, value: object, path: str) -> Any:
        members = fields(cls)
        required = {m.name for m in members if m.default is MISSING and m.default_factory is MISSING}
        body = self.mapping(value, path, {m.name for m in members}, required)
        if not required <= set(body):
            return None
        hints = _hints(cls)
        return cls(
            **{m.name: self.read(hints[m.name], body[m.name], f"{path}.{m.name}") for m in members if m.name in body}
        )

    def _read_scalar(self, kind: type, value: object, path: str) -> Any:
        if issubclass(kind, StrEnum):
            try:
                return kind(str(value))
            except ValueError:
                self.fail(path, f"must be one of: {', '.join(kind)}")
                return next(iter(kind))
        if kind is bytes:
            return self._read_bytes(value, path)
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            with suppress(OverflowError):  # an integer may be larger than every float
                if math.isfinite(value):
                    return float(value)
            self.fail(path, "must be a finite number")
            return 0.0
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        names = {str: "a string", float: "a number", int: "an integer", bool: "true or false"}
        self.fail(path, f"must be {names[kind]}")
        return kind()

    def _read_bytes(self, value: object, path: str) -> bytes:
        try:
            if isinstance(value, str):
                return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
        self.fail(path, "must be a string in base64")
        return b""
