"""Questions about a field descriptor that every part of the codec asks."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)

TEXT_FORMS = WRAPPERS | {f"google.protobuf.{name}" for name in ("Timestamp", "Duration", "FieldMask")}
"""Message types that have a text form, so that a query parameter can carry them."""


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field that has one."""
    assert field.message_type is not None
    return field.message_type


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """The enum type of a field that has one."""
    assert field.enum_type is not None
    return field.enum_type


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether the field is a list or a map."""
    return bool(field.is_repeated)


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Key and value field of a map."""
    key, value = message_of(field).fields
    return key, value
