"""Examples of messages, from the descriptors: what a field rule gives as its example, else what its name suggests."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.codec import DecoderSet, EncoderSet, enum_labels, json_name
from gateway.codec.fields import WRAPPERS, enum_of, is_map, is_repeated, map_entry, message_of
from gateway.openapi.schemas import field_rules

UUID = "018d5e2b-7c4a-7f31-9a56-3f1d2c4b5a69"
TIME = "2026-01-31T12:00:00Z"

_F = FieldDescriptor
_DECODERS, _ENCODERS = DecoderSet(), EncoderSet()
_WELL_KNOWN: Mapping[str, Any] = {
    "google.protobuf.Timestamp": TIME,
    "google.protobuf.Duration": "3.5s",
    "google.protobuf.FieldMask": "url,events",
    "google.protobuf.Struct": {"theme": "light"},
    "google.protobuf.ListValue": [],
    "google.protobuf.Value": None,
}
_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"(^|_)page_token$|^(batch|origin_job|failed_job)_id$|webhook_url$", ""),
        (r"^(erased_)?(plan)$", "pro"),
        (r"scene_id$", "formula"),
        (r"_ids?$", UUID),
        (r"email$", "ada@example.com"),
        (r"(^|_)ur[li]s?$", "https://example.com/t2m"),
        (r"filename$", "circle.pdf"),
        (r"content_type$", "application/pdf"),
        (r"sha256$|checksum$", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        (r"^topic$|^(video_)?title$", "The area of a circle"),
        (r"^context$", "Show why it grows with the square of the radius."),
        (r"^model$", "script"),
        (r"^theme$", "dark"),
        (r"quality(_levels?)?$|^qualities$|^rung", "720p"),
        (r"language$|^locale$", "en"),
        (r"time_zone$", "Europe/Zurich"),
        (r"currency$", "EUR"),
        (r"^scopes?$", "jobs:read"),
        (r"^(start|end|day|date)(_date)?$", "2026-01-31"),
        (r"token_type$", "Bearer"),
        (r"etags?$", "5d41402abc4b2a76b9719d911017c592"),
        (r"^math$", "A = pi r^2"),
        (r"^secret$", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        (r"(^|_)token$", "dGhlIHRva2VuIG9mIGEgc2Vzc2lvbg"),
        (r"address$", "192.0.2.7"),
        (r"user_agent$", "Mozilla/5.0"),
        (r"codec$", "h264"),
        (r"reason$", "The video was not what was asked for."),
    )
)
_NUMBERS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), number)
    for pattern, number in (
        (r"bytes", 1_048_576),
        (r"_ms$", 1500),
        (r"^width", 1280),
        (r"^height", 720),
        (r"progress|share|index|offset|attempt$|failed|refused|cancelled", 0),
        (r"duration|expires_in|seconds|_s$", 90),
        (r"frame_rate|fps", 30),
        (r"status_code$|http_status$", 200),
    )
)
_NOT_YET = re.compile(
    r"error|failure|refusal|problem|(?:started|completed|ended|expired|expires|cancelled|deleted|revoked|used|failed|"
    r"next_attempt|next_retry|drained|paid|settled)_at$"
)
"""Fields that only something that has happened to a resource sets; an example shows one that is new and well."""


def request_example(descriptor: Descriptor, without: Collection[str] = ()) -> Any:
    """A request: what must be sent, and what has an example of its own. `without` are proto names of fields."""
    return _message(descriptor, request=True, without=without, above=())


def response_example(descriptor: Descriptor) -> Any:
    """An answer as it is of something new: everything that is always there, and the rest where it makes sense."""
    return _message(descriptor, request=False, without=(), above=())


def field_example(field: FieldDescriptor, *, request: bool) -> Any:
    """The value of one field."""
    return _value(field, request=request, above=())


def _message(descriptor: Descriptor, *, request: bool, without: Collection[str], above: tuple[str, ...]) -> Any:
    if descriptor.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[descriptor.full_name]
    if descriptor.full_name in WRAPPERS:
        return _scalar(descriptor.fields_by_name["value"])
    chosen = {oneof.fields[0].name for oneof in descriptor.oneofs}
    isolated = {name for field in descriptor.fields if (name := field_rules(field).isolate_items)}
    above = (*above, descriptor.full_name)
    shown = _asked if request else _answered
    return {
        json_name(field): _value(field, request=request, above=above)
        for field in descriptor.fields
        if field.name not in without and field.name not in isolated and shown(field, chosen, above)
    }


def _asked(field: FieldDescriptor, chosen: Collection[str], above: tuple[str, ...]) -> bool:
    rules = field_rules(field)
    if _in_choice(field):
        return field.name in chosen
    return bool(rules.required or rules.example or rules.min_items) and not _recurs(field, above)


def _answered(field: FieldDescriptor, chosen: Collection[str], above: tuple[str, ...]) -> bool:
    if _in_choice(field):
        return field.name in chosen
    if not field.has_presence:
        return True
    return field.message_type is not None and not _NOT_YET.search(field.name) and not _recurs(field, above)


def _in_choice(field: FieldDescriptor) -> bool:
    return field.containing_oneof is not None and len(field.containing_oneof.fields) > 1


def _recurs(field: FieldDescriptor, above: tuple[str, ...]) -> bool:
    return field.message_type is not None and field.message_type.full_name in above


def _value(field: FieldDescriptor, *, request: bool, above: tuple[str, ...]) -> Any:
    rules = field_rules(field)
    if rules.example:
        return json.loads(rules.example) if request else _as_answered(field, json.loads(rules.example))
    if is_map(field):
        _, value = map_entry(field)
        return {"name": _single(value, request=request, above=above)}
    if is_repeated(field):
        empty = _recurs(field, above) or _NOT_YET.search(field.name) or (not request and field.name == "log_excerpt")
        return [] if empty else [_single(field, request=request, above=above)]
    return _single(field, request=request, above=above)


def _as_answered(field: FieldDescriptor, sent: Any) -> Any:
    """A value as an answer has it: with every field that is always there."""
    if field.message_type is None or field.containing_type is None:
        return sent
    parent = message_factory.GetMessageClass(field.containing_type)
    message = parent(**{field.name: _DECODERS.field(field)(sent, "", [])})
    return _ENCODERS.field(field.containing_type, field.name)(message)


def _single(field: FieldDescriptor, *, request: bool, above: tuple[str, ...]) -> Any:
    if field.message_type is not None:
        return _message(message_of(field), request=request, without=(), above=above)
    return _scalar(field)


def _scalar(field: FieldDescriptor) -> Any:
    rules = field_rules(field)
    if field.enum_type is not None:
        labels = enum_labels(enum_of(field))
        return labels[min(number for number in labels if number) if len(labels) > 1 else 0]
    if field.type == _F.TYPE_BOOL:
        return False
    if field.type == _F.TYPE_BYTES:
        return "dDJt"
    if field.type != _F.TYPE_STRING:
        number = next((value for pattern, value in _NUMBERS if pattern.search(field.name)), 1)
        low = rules.gte if rules.HasField("gte") else number
        high = rules.lte if rules.HasField("lte") else number
        bounded = max(low, min(number, high))
        return int(bounded) if field.type not in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT) else float(bounded)
    if allowed := [text for text in getattr(rules, "in") if text]:
        return allowed[0]
    if rules.format == "uuid":
        return UUID
    words = next((text for pattern, text in _TEXTS if pattern.search(field.name)), field.name.replace("_", " "))
    return words or ("" if not rules.required else UUID)
