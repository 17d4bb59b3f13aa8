"""JSON Schemas of messages that people write by hand and programs check: storyboards (V9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor

from gateway.codec.fields import message_of
from gateway.openapi.schemas import Schema, SchemaSet
from t2m.video_render.v1 import storyboard_pb2

PUBLISHED: Mapping[str, Descriptor] = {"storyboard": storyboard_pb2.Storyboard.DESCRIPTOR}
"""Name in the path `/schemas/{name}.json` → message."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(descriptor: Descriptor, comments: Mapping[str, str]) -> Schema:
    """The schema of a message as a document of its own. Of each oneof exactly one field must be there."""
    schemas = SchemaSet(comments, {}, exactly_one_of())
    root = schemas.message(descriptor, request=True)
    body = _moved({**root, "$defs": schemas.components})
    return {"$schema": _DIALECT, "title": descriptor.name, **body}


def exactly_one_of() -> frozenset[str]:
    """Messages that are sent with exactly one member of each oneof: those that something published is made of."""
    return frozenset(name for root in PUBLISHED.values() for name in _messages(root, {}))


def _messages(descriptor: Descriptor, found: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """The message and all that it is made of."""
    if descriptor.full_name not in found:
        found[descriptor.full_name] = descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                _messages(message_of(field), found)
    return found


def _moved(value: Any) -> Any:
    """References as they are in a document of its own."""
    if isinstance(value, dict):
        return {
            key: item.replace("#/components/schemas/", "#/$defs/") if key == "$ref" else _moved(item)
            for key, item in value.items()
        }
    return [_moved(item) for item in value] if isinstance(value, list) else value
