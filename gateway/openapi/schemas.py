"""JSON Schemas of messages and enums in the REST dialect, with the bounds of their field rules."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.codec import enum_labels, json_name
from gateway.codec.fields import WRAPPERS, enum_of, is_map, is_repeated, map_entry, message_of
from t2m.common.v1 import options_pb2

Schema = dict[str, Any]

_F = FieldDescriptor
_INT32 = {"type": "integer", "format": "int32"}
_INT64 = {"type": "integer", "format": "int64"}
_SCALARS: dict[int, Schema] = {
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    _F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _F.TYPE_FLOAT: {"type": "number", "format": "float"},
    _F.TYPE_INT32: _INT32,
    _F.TYPE_SINT32: _INT32,
    _F.TYPE_SFIXED32: _INT32,
    _F.TYPE_INT64: _INT64,
    _F.TYPE_SINT64: _INT64,
    _F.TYPE_SFIXED64: _INT64,
    _F.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    _F.TYPE_FIXED32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    _F.TYPE_UINT64: {"type": "integer", "minimum": 0},
    _F.TYPE_FIXED64: {"type": "integer", "minimum": 0},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "examples": ["type.googleapis.com/google.protobuf.Duration"]}},
        "additionalProperties": True,
    },
}


class SchemaSet:
    """Collects `components.schemas`. Requests list what must be sent, responses what is always there.

    `from_headers`: fields of a request message, by its full name, that are headers and never in a body, not even where
    the message is an item of another one. `exactly_one`: full names of messages that are sent with one member of each
    oneof.
    """

    def __init__(
        self,
        comments: Mapping[str, str],
        from_headers: Mapping[str, Collection[str]],
        exactly_one: Collection[str] = (),
    ) -> None:
        self.components: dict[str, Schema] = {}
        self._from_headers = from_headers
        self._exactly_one = exactly_one
        self._comments = comments
        self._names: dict[str, str] = {}

    def message(self, descriptor: Descriptor, *, request: bool, without: Collection[str] = ()) -> Schema:
        """A reference to the message's schema, leaving out the fields `without` (proto names)."""
        if descriptor.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[descriptor.full_name])
        if descriptor.full_name in WRAPPERS:
            return {**_SCALARS[descriptor.fields_by_name["value"].type]}
        name = self._name(descriptor, request=request)
        if name not in self.components:
            self.components[name] = {}  # Taken before the fields are visited: a message may contain itself.
            self.components[name] = self._object(descriptor, request=request, without=without)
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor, *, request: bool) -> Schema:
        """Schema of a field with its rules, comment and example."""
        rules = field_rules(field)
        if is_map(field):
            _, value = map_entry(field)
            schema: Schema = {"type": "object", "additionalProperties": self._single(value, request=request)}
        elif is_repeated(field):
            schema = {
                "type": "array",
                "items": {**self._single(field, request=request), **_bounds(field, rules)},
            }
            schema |= _list_bounds(rules)
        else:
            schema = {**self._single(field, request=request), **_bounds(field, rules)}
        comment = self._comments.get(field.full_name)
        if comment:
            schema["description"] = comment
        if rules.example and (request or field.message_type is None):  # An answer's message has more than it shows.
            schema["examples"] = [json.loads(rules.example)]
        return schema

    def _single(self, field: FieldDescriptor, *, request: bool) -> Schema:
        if field.message_type is not None:
            return self.message(message_of(field), request=request)
        if field.enum_type is not None:
            return {**self._enum(enum_of(field)), **(_no_zero(field) if request else {})}
        return dict(_SCALARS[field.type])

    def _object(self, descriptor: Descriptor, *, request: bool, without: Collection[str]) -> Schema:
        hidden = {*without, *(name for field in descriptor.fields if (name := field_rules(field).isolate_items))}
        if request:
            hidden |= set(self._from_headers.get(descriptor.full_name, ()))
        fields = [field for field in descriptor.fields if field.name not in hidden]
        schema: Schema = {
            "type": "object",
            "properties": {json_name(field): self.field(field, request=request) for field in fields},
        }
        if request:
            schema["additionalProperties"] = False
            required = [json_name(field) for field in fields if field_rules(field).required]
            if descriptor.full_name in self._exactly_one and (choice := _choice(descriptor)):
                schema["oneOf"] = choice
        else:
            required = [json_name(field) for field in fields if not field.has_presence]
        if required:
            schema["required"] = required
        if comment := self._comments.get(descriptor.full_name):
            schema["description"] = comment
        return schema

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = self._unique(enum.name, enum.full_name)
        if name not in self.components:
            labels = enum_labels(enum)
            lines = [self._comments.get(enum.full_name, "")]
            for value in enum.values:
                comment = self._comments.get(f"{enum.full_name}.{value.name}")
                if comment and value.name and value.number in labels:
                    lines.append(f"- `{labels[value.number]}`: {comment}")
            schema: Schema = {"type": "string", "enum": list(dict.fromkeys(labels.values()))}
            if text := "\n".join(line for line in lines if line):
                schema["description"] = text
            self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def _name(self, descriptor: Descriptor, *, request: bool) -> str:
        short = descriptor.full_name.removeprefix(descriptor.file.package + ".").replace(".", "_")
        if request and not short.endswith("Request"):
            short += "Input"
        return self._unique(short, descriptor.full_name)

    def _unique(self, short: str, full_name: str) -> str:
        """The short name, or one with its domain in front when another type has taken it."""
        owner = self._names.setdefault(short, full_name)
        if owner == full_name:
            return short
        domain = full_name.split(".")[1]
        return "".join(part.capitalize() for part in domain.split("_")) + short


def field_rules(field: FieldDescriptor) -> options_pb2.FieldRules:
    """The field's rules; empty when it has none."""
    rules: options_pb2.FieldRules = field.GetOptions().Extensions[options_pb2.rules]
    return rules


def _no_zero(field: FieldDescriptor) -> Schema:
    """Where a value must be given, the enum's zero is none."""
    rules = field_rules(field)
    label = enum_labels(enum_of(field)).get(0)
    return {"not": {"const": label}} if label is not None and (rules.required or is_repeated(field)) else {}


def _choice(descriptor: Descriptor) -> list[Schema]:
    """One alternative for each member of the message's oneof; none without one (an optional field is none)."""
    members = next((oneof.fields for oneof in descriptor.oneofs if len(oneof.fields) > 1), ())
    return [{"required": [json_name(field)]} for field in members]


def _bounds(field: FieldDescriptor, rules: options_pb2.FieldRules) -> Schema:
    """Bounds of one value."""
    schema: Schema = {}
    if field.type == FieldDescriptor.TYPE_STRING:
        if rules.required:
            schema["minLength"] = max(1, rules.min_len)
        if rules.HasField("max_len"):
            schema["maxLength"] = rules.max_len
        if rules.pattern:
            schema["pattern"] = f"^(?:{rules.pattern})$"
        elif rules.required and rules.min_len and not rules.format:
            schema["pattern"] = _not_blank(rules.min_len)
        if allowed := list(getattr(rules, "in")):
            schema["enum"] = allowed
        if rules.format:
            schema["format"] = rules.format
    for rule, keyword in (("gte", "minimum"), ("lte", "maximum")):
        if rules.HasField(rule):  # type: ignore[arg-type]
            bound = getattr(rules, rule)
            schema[keyword] = int(bound) if bound.is_integer() else bound
    return schema


def _not_blank(least: int) -> str:
    """A text that has so many characters when white space around it is taken off."""
    return r"\S" if least < 2 else rf"\S[\s\S]{{{least - 2},}}\S"


def _list_bounds(rules: options_pb2.FieldRules) -> Schema:
    schema: Schema = {}
    if rules.HasField("min_items") or rules.required:
        schema["minItems"] = rules.min_items or 1
    if rules.HasField("max_items"):
        schema["maxItems"] = rules.max_items
    if rules.unique:
        schema["uniqueItems"] = True
    return schema
