"""The field mask of a PATCH that brings none: what its body names (AIP-134, and grpc-gateway's patch feature)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.codec import json_name
from gateway.codec.fields import is_repeated

MASK_TYPE = "google.protobuf.FieldMask"

_Table = dict[str, tuple[str, Descriptor | None]]


def mask_field(message: Descriptor) -> FieldDescriptor | None:
    """The field of a request that says what to change: its only FieldMask."""
    found = [
        field
        for field in message.fields
        if field.message_type is not None and field.message_type.full_name == MASK_TYPE and not is_repeated(field)
    ]
    return found[0] if len(found) == 1 else None


def named_paths(resource: Descriptor) -> Callable[[object], list[str]]:
    """A function from the JSON of the resource to the paths of the fields in it, in their order, by proto names.

    A message is looked into; a list, a map and a well-known type count as a whole, and so does `{}`. A null is named,
    too: it clears the field.
    """
    tables: dict[str, _Table] = {}

    def table(message: Descriptor) -> _Table:
        known = tables.get(message.full_name)
        if known is None:
            known = tables[message.full_name] = {
                json_name(field): (field.name, _looked_into(field)) for field in message.fields
            }
        return known

    def walk(message: Descriptor, value: dict[str, object], prefix: str) -> Iterator[str]:
        fields = table(message)
        for key, item in value.items():
            name, inner = fields.get(key, ("", None))
            if not name:
                continue  # Unknown: the decoder has said so.
            if inner is not None and isinstance(item, dict) and item:
                yield from walk(inner, item, f"{prefix}{name}.")
            else:
                yield prefix + name

    return lambda value: list(walk(resource, value, "")) if isinstance(value, dict) else []


def _looked_into(field: FieldDescriptor) -> Descriptor | None:
    message = field.message_type
    if message is None or is_repeated(field) or message.full_name.startswith("google.protobuf."):
        return None
    return message
