"""google.protobuf.Any: the type that a URL names, and the forms of those whose JSON is no object of their fields."""

from __future__ import annotations

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor

from gateway.codec.fields import TEXT_FORMS

ANY = "google.protobuf.Any"
TYPE, VALUE = "@type", "value"
_IN_VALUE = TEXT_FORMS | {ANY, *(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue"))}


def type_named(url: str) -> Descriptor | None:
    """The message type that `type.googleapis.com/<full name>` names, of those that this process was built with.

    The host is not asked, and may be any other.
    """
    host, slash, name = url.rpartition("/")
    if not slash or not host:
        return None
    try:
        return descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return None


def is_in_value(message: Descriptor) -> bool:
    """Whether its JSON stands under `value`, next to `@type`, and not its fields there."""
    return message.full_name in _IN_VALUE
