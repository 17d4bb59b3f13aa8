"""Message → plain Python tree: one function per message type, generated as source and compiled once.

Straight-line attribute reads are about twice as fast as a loop over (name, converter) pairs
(tests/bench/gateway), which is the whole reason for generating source. Only names from descriptors enter it,
through `repr`.
"""

from __future__ import annotations

import base64
import keyword
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import any_pb2, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from gateway.codec import wellknown
from gateway.codec.any_types import TYPE, VALUE, is_in_value, type_named
from gateway.codec.fields import WRAPPERS, enum_of, is_map, is_repeated, map_entry, message_of
from gateway.codec.names import enum_labels, json_name

Encode = Callable[[Any], object]


class _EnumTable(dict[int, str]):
    """Labels by number; a number that this build does not know is passed on as a number."""

    def __missing__(self, number: int) -> int:
        return number


def _encode_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _encode_field_mask(value: Any) -> str:
    return ",".join(value.paths)


class EncoderSet:
    """Builds encoders and keeps them; the functions share one namespace, so recursive messages just work."""

    def __init__(self) -> None:
        self._namespace: dict[str, Any] = {
            "_bytes": _encode_bytes,
            "_double": wellknown.encode_float,
            "_float": wellknown.encode_float32,
            "google_protobuf_Timestamp": wellknown.encode_timestamp,
            "google_protobuf_Duration": wellknown.encode_duration,
            "google_protobuf_Struct": wellknown.encode_struct,
            "google_protobuf_ListValue": wellknown.encode_list,
            "google_protobuf_Value": wellknown.encode_value,
            "google_protobuf_FieldMask": _encode_field_mask,
            "google_protobuf_Any": self._any,
        }

    def message(self, descriptor: Descriptor) -> Encode:
        """The encoder of a message type."""
        encode: Encode = self._namespace[self._message_function(descriptor)]
        return encode

    def field(self, descriptor: Descriptor, name: str) -> Encode:
        """An encoder that takes the message and encodes only its field `name` (a `response_body`)."""
        field = descriptor.fields_by_name[name]
        function = f"_field_{_identifier(descriptor)}__{name}"
        self._compile(f"def {function}(m):\n    return {self._expression(field)}\n")
        encode: Encode = self._namespace[function]
        return encode

    def _any(self, packed: any_pb2.Any) -> dict[str, object]:
        """`@type` and the fields; of a type that is not known here the bytes, in base64 under `value`."""
        if not packed.type_url:
            return {}
        known = type_named(packed.type_url)
        try:
            if known is not None:
                content = self.message(known)(message_factory.GetMessageClass(known).FromString(packed.value))
                inner = {VALUE: content} if is_in_value(known) or not isinstance(content, dict) else content
                return {TYPE: packed.type_url, **inner}
        except DecodeError:
            pass  # Not what it says it is.
        return {TYPE: packed.type_url, VALUE: _encode_bytes(packed.value)}

    def _message_function(self, descriptor: Descriptor) -> str:
        function = _identifier(descriptor)
        if function in self._namespace:
            return function
        if descriptor.full_name in WRAPPERS:
            self._compile(f"def {function}(m):\n    return {self._expression(descriptor.fields_by_name['value'])}\n")
            return function
        self._namespace[function] = None  # Taken before the fields are visited: a message may contain itself.
        self._compile("\n".join(self._message_source(function, descriptor)) + "\n")
        return function

    def _message_source(self, function: str, descriptor: Descriptor) -> Iterator[str]:
        yield f"def {function}(m):"
        yield "    d = {"
        fields = list(descriptor.fields)
        while fields and not _has_presence(fields[0]):
            field = fields.pop(0)
            yield f"        {json_name(field)!r}: {self._expression(field)},"
        yield "    }"
        for field in fields:
            guard = f"if m.HasField({field.name!r}): " if _has_presence(field) else ""
            yield f"    {guard}d[{json_name(field)!r}] = {self._expression(field)}"
        yield "    return d"

    def _expression(self, field: FieldDescriptor) -> str:
        access = f"m.{field.name}" if not keyword.iskeyword(field.name) else f"getattr(m, {field.name!r})"
        if is_map(field):
            key, value = map_entry(field)
            key_text = "('true' if k else 'false')" if key.type == FieldDescriptor.TYPE_BOOL else "str(k)"
            key_text = "k" if key.type == FieldDescriptor.TYPE_STRING else key_text
            return f"{{{key_text}: {self._value(value, 'v')} for k, v in {access}.items()}}"
        if is_repeated(field):
            item = self._value(field, "v")
            return f"list({access})" if item == "v" else f"[{item} for v in {access}]"
        return self._value(field, access)

    def _value(self, field: FieldDescriptor, access: str) -> str:
        """Source that encodes one value of the field's type, found at `access`."""
        match field.type:
            case FieldDescriptor.TYPE_MESSAGE | FieldDescriptor.TYPE_GROUP:
                return f"{self._message_function(message_of(field))}({access})"
            case FieldDescriptor.TYPE_ENUM:
                if enum_of(field).full_name == "google.protobuf.NullValue":
                    return "None"
                return f"{self._enum_table(enum_of(field))}[{access}]"
            case FieldDescriptor.TYPE_BYTES:
                return f"_bytes({access})"
            case FieldDescriptor.TYPE_DOUBLE:
                return f"_double({access})"
            case FieldDescriptor.TYPE_FLOAT:
                return f"_float({access})"
            case _:
                return access

    def _enum_table(self, enum: EnumDescriptor) -> str:
        name = "_enum_" + _identifier(enum)
        self._namespace.setdefault(name, _EnumTable(enum_labels(enum)))
        return name

    def _compile(self, source: str) -> None:
        exec(compile(source, "<gateway.codec>", "exec"), self._namespace)  # noqa: S102 - see the module's docstring


def _identifier(descriptor: Descriptor | EnumDescriptor) -> str:
    name: str = descriptor.full_name
    return name.replace(".", "_")


def _has_presence(field: FieldDescriptor) -> bool:
    return bool(field.has_presence)
