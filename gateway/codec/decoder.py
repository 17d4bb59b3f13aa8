"""Parsed JSON → message: a table of converters per message type, built once.

Every converter collects violations instead of raising, so one answer names everything that is wrong. A
converter that found one returns None, which the caller leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from google.protobuf import any_pb2, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.codec import scalars, wellknown
from gateway.codec.any_types import ANY, TYPE, VALUE, is_in_value, type_named
from gateway.codec.fields import WRAPPERS, is_map, is_repeated, map_entry
from gateway.codec.names import Violation, json_name, kind_of
from t2m.common.v1 import options_pb2

Convert = Callable[[object, str, list[Violation]], Any]
"""(parsed JSON value, path of the field, violations to add to) → what the message constructor takes, or
None.
"""


class MessageDecoder:
    """Decodes objects of one message type."""

    __slots__ = ("_class", "_fields", "_isolated", "_oneofs", "descriptor")

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self._class: type[Message] = message_factory.GetMessageClass(descriptor)
        # JSON name → (proto name, type that needs no conversion, converter, whether null is a value)
        self._fields: dict[str, tuple[str, type | None, Convert, bool]] = {}
        # Proto names of lists whose items are read one by one, each with the field that lists what could not be read.
        self._isolated: dict[str, str] = {}
        self._oneofs = [
            {field.name: json_name(field) for field in oneof.fields}
            for oneof in descriptor.oneofs
            if len(oneof.fields) > 1
        ]

    def add_field(self, field: FieldDescriptor, convert: Convert) -> None:
        """Register a field; called while the set is built."""
        plain: type | None = None
        if not is_repeated(field):
            plain = {FieldDescriptor.TYPE_STRING: str, FieldDescriptor.TYPE_BOOL: bool}.get(field.type)
        takes_null = field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"
        self._fields[json_name(field)] = (field.name, plain, convert, takes_null and not is_repeated(field))

    def isolate(self, field: FieldDescriptor, sibling: str) -> None:
        """Let a bad item of the list not refuse the others; `sibling` is filled here and by nobody else."""
        self._isolated[field.name] = sibling
        self._fields = {key: known for key, known in self._fields.items() if known[0] != sibling}

    def convert(self, value: object, path: str, violations: list[Violation]) -> Message | None:
        """Decode `value` found at `path` ("" for the body)."""
        if not isinstance(value, dict):
            violations.append(Violation(path or "body", f"expected object, got {kind_of(value)}"))
            return None
        return self._class(**self.arguments(value, path + "." if path else "", violations))

    def arguments(
        self, value: dict[str, object], prefix: str, violations: list[Violation], taken: Collection[str] = ()
    ) -> dict[str, Any]:
        """Constructor arguments for the object. Fields in `taken` (proto names) are given elsewhere."""
        fields = self._fields
        out: dict[str, Any] = {}
        for key, item in value.items():
            known = fields.get(key)
            if known is None:
                violations.append(Violation(prefix + key, "unknown field"))
                continue
            name, plain, convert, takes_null = known
            if name in taken:
                violations.append(Violation(prefix + key, "already given by the path or a header"))
            elif plain is not None and type(item) is plain:
                out[name] = item
            elif item is not None or takes_null:
                converted = convert(item, prefix + key, violations)
                if converted is not None:
                    out[name] = converted
        for name, sibling in self._isolated.items():
            if name in out:
                out[name], out[sibling] = out[name]
        for members in self._oneofs:
            given = [label for name, label in members.items() if name in out]
            if len(given) > 1:
                violations.append(Violation(prefix + given[1], f"only one of {', '.join(given)} may be set"))
        return out


class DecoderSet:
    """Builds decoders and keeps them. A recursive message finds itself in the table."""

    def __init__(self) -> None:
        self._decoders: dict[str, MessageDecoder] = {}

    def message(self, descriptor: Descriptor) -> MessageDecoder:
        """The decoder of a message type."""
        decoder = self._decoders.get(descriptor.full_name)
        if decoder is None:
            decoder = self._decoders[descriptor.full_name] = MessageDecoder(descriptor)
            for field in descriptor.fields:
                decoder.add_field(field, self.field(field))
            for field in descriptor.fields:
                if sibling := isolation_of(field):
                    decoder.isolate(field, sibling)
        return decoder

    def field(self, field: FieldDescriptor) -> Convert:
        """The converter of a field, lists and maps included."""
        if is_map(field):
            key, value = map_entry(field)
            return _map_converter(scalars.json_converter(key), self.single(value))
        single = self.single(field)
        if not is_repeated(field):
            return single
        if field.message_type is not None and isolation_of(field):
            return _isolating_converter(self.message(field.message_type))
        return _list_converter(single)

    def text(self, field: FieldDescriptor) -> Convert:
        """The converter of the text form of one value, as paths, queries and headers carry it."""
        message = field.message_type
        if message is None:
            return scalars.text_converter(field)
        if message.full_name in WRAPPERS:
            return _wrapper_converter(message, scalars.text_converter)
        return _WELL_KNOWN[message.full_name]

    def single(self, field: FieldDescriptor) -> Convert:
        """The converter of one value of the field's type."""
        message = field.message_type
        return scalars.json_converter(field) if message is None else self._whole(message)

    def _any(self, value: object, path: str, violations: list[Violation]) -> any_pb2.Any | None:
        """`{"@type": "type.googleapis.com/…", …}`: decoders of types that nothing else names are built on first use."""
        if not isinstance(value, dict):
            violations.append(Violation(path, f"expected object, got {kind_of(value)}"))
            return None
        if not value:
            return any_pb2.Any()
        url = value.get(TYPE)
        message = type_named(url) if isinstance(url, str) else None
        if message is None:
            violations.append(Violation(f"{path}.{TYPE}", "expected the URL of a type that is known here"))
            return None
        content: object = {key: item for key, item in value.items() if key != TYPE}
        if is_in_value(message):
            content, path = value.get(VALUE), f"{path}.{VALUE}"
        converted = self._whole(message)(content, path, violations)
        return None if converted is None else any_pb2.Any(type_url=url, value=converted.SerializeToString())

    def _whole(self, message: Descriptor) -> Convert:
        """The converter of a message as a value of its own."""
        if message.full_name == ANY:
            return self._any
        if message.full_name in WRAPPERS:
            return _wrapper_converter(message)
        return _WELL_KNOWN.get(message.full_name) or self.message(message).convert


def _list_converter(single: Convert) -> Convert:
    def convert(value: object, path: str, violations: list[Violation]) -> list[Any] | None:
        if not isinstance(value, list):
            violations.append(Violation(path, f"expected array, got {kind_of(value)}"))
            return None
        return [single(item, f"{path}[{index}]", violations) for index, item in enumerate(value)]

    return _dropping_failures(convert)


def isolation_of(field: FieldDescriptor) -> str:
    """The sibling that lists unreadable items, where a list has its items read one by one; else empty."""
    sibling: str = field.GetOptions().Extensions[options_pb2.rules].isolate_items
    return sibling


def _isolating_converter(item_decoder: MessageDecoder) -> Convert:
    """Items and what could not be read of them; an item of which something could not is empty."""
    empty: type[Message] = message_factory.GetMessageClass(item_decoder.descriptor)

    def convert(value: object, path: str, violations: list[Violation]) -> tuple[list[Any], list[Any]] | None:
        if not isinstance(value, list):
            violations.append(Violation(path, f"expected array, got {kind_of(value)}"))
            return None
        items, unreadable = [], []
        for index, item in enumerate(value):
            bad: list[Violation] = []
            converted = item_decoder.convert(item, "item", bad)
            items.append(empty() if bad else converted)
            unreadable += [
                options_pb2.UnreadableItem(index=index, field=path[5:] if path != "item" else "", description=text)
                for path, text in bad
            ]
        return items, unreadable

    return convert


def _map_converter(key_of: Convert, single: Convert) -> Convert:
    def convert(value: object, path: str, violations: list[Violation]) -> dict[Any, Any] | None:
        if not isinstance(value, dict):
            violations.append(Violation(path, f"expected object, got {kind_of(value)}"))
            return None
        out = {}
        for key, item in value.items():
            at = f"{path}[{key!r}]"
            out[key_of(key, at, violations)] = single(item, at, violations)
        return out

    return _dropping_failures(convert)


def _dropping_failures(convert: Convert) -> Convert:
    """A list or map with a bad member would break the constructor; the violations are all that counts then."""

    def checked(value: object, path: str, violations: list[Violation]) -> Any:
        before = len(violations)
        converted = convert(value, path, violations)
        return converted if len(violations) == before else None

    return checked


def _wrapper_converter(
    message: Descriptor, scalar: Callable[[FieldDescriptor], Convert] = scalars.json_converter
) -> Convert:
    inner = scalar(message.fields_by_name["value"])
    wrapper: Callable[..., Message] = message_factory.GetMessageClass(message)

    def convert(value: object, path: str, violations: list[Violation]) -> Message | None:
        converted = inner(value, path, violations)
        return None if converted is None else wrapper(value=converted)

    return convert


def _text_converter(parse: Callable[[str], Message | None], wanted: str) -> Convert:
    def convert(value: object, path: str, violations: list[Violation]) -> Message | None:
        if not isinstance(value, str):
            violations.append(Violation(path, f"expected string, got {kind_of(value)}"))
            return None
        parsed = parse(value)
        if parsed is None:
            violations.append(Violation(path, f"expected {wanted}"))
        return parsed

    return convert


def _plain_json_converter(build: Callable[[Any], Message], wanted: type | None, name: str) -> Convert:
    def convert(value: object, path: str, violations: list[Violation]) -> Message | None:
        if wanted is not None and not isinstance(value, wanted):
            violations.append(Violation(path, f"expected {name}, got {kind_of(value)}"))
            return None
        try:
            return build(value)
        except wellknown.TooDeepError:
            violations.append(Violation(path, f"nested deeper than {wellknown.MAX_STRUCT_DEPTH} levels"))
            return None

    return convert


_WELL_KNOWN: dict[str, Convert] = {
    "google.protobuf.Timestamp": _text_converter(
        wellknown.decode_timestamp, "an RFC 3339 time such as 2030-01-31T12:00:00Z"
    ),
    "google.protobuf.Duration": _text_converter(wellknown.decode_duration, "a duration such as 3.5s"),
    "google.protobuf.FieldMask": _text_converter(wellknown.decode_field_mask, "comma-separated field paths"),
    "google.protobuf.Struct": _plain_json_converter(wellknown.decode_struct, dict, "object"),
    "google.protobuf.ListValue": _plain_json_converter(wellknown.decode_list, list, "array"),
    "google.protobuf.Value": _plain_json_converter(wellknown.decode_value, None, "value"),
}
