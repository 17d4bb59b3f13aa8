"""Path, query, headers and body of an HTTP request → request message, compiled per binding at start-up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import EncodeError, Message

from gateway.catalog import BODY_TYPE, CatalogError, HttpBinding, Rpc
from gateway.codec import DecoderSet, Violation, json_name
from gateway.codec.decoder import Convert
from gateway.codec.fields import TEXT_FORMS, is_map, is_repeated
from gateway.errors import malformed, unsupported_media_type, validation_failed
from gateway.http import Request
from gateway.http_rules import Template

MAX_QUERY_FIELDS = 100
_MAX_QUERY_DEPTH = 4


class FieldSetter:
    """Sets one field, possibly nested, from its text form."""

    __slots__ = ("_convert", "_is_message", "_name", "_parents", "label", "repeated")

    def __init__(self, path: str, fields: list[FieldDescriptor], convert: Convert) -> None:
        leaf = fields[-1]
        self.label = path
        self.repeated = is_repeated(leaf)
        self._parents = [field.name for field in fields[:-1]]
        self._name = leaf.name
        self._is_message = leaf.message_type is not None
        self._convert = convert

    def __call__(self, message: Message, texts: list[str], violations: list[Violation]) -> None:
        """Convert and set; one text per value."""
        if len(texts) > 1 and not self.repeated:
            violations.append(Violation(self.label, "given more than once"))
            return
        target: Any = message
        for parent in self._parents:
            target = getattr(target, parent)
        for index, text in enumerate(texts):
            label = f"{self.label}[{index}]" if self.repeated else self.label
            value = self._convert(text, label, violations)
            if value is None:
                continue
            if self.repeated:
                getattr(target, self._name).append(value)
            elif self._is_message:
                getattr(target, self._name).CopyFrom(value)
            else:
                setattr(target, self._name, value)


class Binder:
    """Builds the serialised request message of one binding."""

    def __init__(self, rpc: Rpc, binding: HttpBinding, template: Template, decoders: DecoderSet) -> None:
        self._class: type[Message] = message_factory.GetMessageClass(rpc.input)
        self._path = {
            variable.field_path: _setter(rpc, variable.field_path, decoders) for variable in template.variables
        }
        self._headers = [
            (bound.header.lower().encode(), _setter(rpc, bound.field, decoders)) for bound in rpc.extras.headers
        ]
        taken = {*self._path, *(bound.field for bound in rpc.extras.headers)}
        if rpc.extras.HasField("event_stream") and rpc.extras.event_stream.resume_field:
            resume = rpc.extras.event_stream.resume_field
            self._headers.append((b"last-event-id", _setter(rpc, resume, decoders, label="Last-Event-ID")))
        self._taken = frozenset(path.split(".")[0] for path in taken)
        self._body = binding.body
        self._raw = takes_bytes(rpc, binding)
        self._bind_body = None if self._raw else _body_binder(rpc, binding, decoders, self._taken)
        self._query = {} if binding.body == "*" else _query_setters(rpc.input, decoders, taken | {binding.body})

    @property
    def query_parameters(self) -> Mapping[str, FieldSetter]:
        """Query parameters by name, for the API document."""
        return self._query

    @property
    def takes_body(self) -> bool:
        """Whether the request has a JSON body."""
        return bool(self._body)

    def bind(self, request: Request, variables: Mapping[str, str], body: bytes) -> bytes:
        """Serialised request message. Raises ApiError 400, 415 or 422 with every violation."""
        violations: list[Violation] = []
        if self._raw:
            content_type = (request.header(b"content-type") or b"").decode("latin-1")
            message = self._class(**{self._body: {"content_type": content_type, "data": body}})
        elif self._bind_body is not None:
            message = self._bind_body(_parse_json(request, body), violations)
        else:
            if body.strip() not in (b"", b"{}"):
                raise malformed("this call takes no body")
            message = self._class()
        query = request.scope["query_string"]
        if query:
            self._apply_query(query, message, violations)
        for name, setter in self._headers:
            header = request.header(name)
            if header:
                setter(message, [header.decode("latin-1")], violations)
        for path, text in variables.items():
            self._path[path](message, [text], violations)
        if violations:
            raise validation_failed(violations)
        try:
            return message.SerializeToString()
        except EncodeError as error:
            raise validation_failed([Violation("body", "nested too deeply")]) from error

    def _apply_query(self, query: bytes, message: Message, violations: list[Violation]) -> None:
        values: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError as error:
            raise malformed("the query is not UTF-8, or has too many fields") from error
        for key, value in pairs:
            values.setdefault(key, []).append(value)
        for key, texts in values.items():
            setter = self._query.get(key)
            if setter is None:
                violations.append(Violation(key, "unknown query parameter"))
            else:
                setter(message, texts, violations)


def takes_bytes(rpc: Rpc, binding: HttpBinding) -> bool:
    """Whether the body is taken as it is, into a field of type `google.api.HttpBody`: signed bytes may not change."""
    field = rpc.input.fields_by_name.get(binding.body)
    return field is not None and field.message_type is not None and field.message_type.full_name == BODY_TYPE


def _parse_json(request: Request, body: bytes) -> object:
    if not body:
        return {}
    content_type = (request.header(b"content-type") or b"").decode("latin-1")
    essence, _, parameters = content_type.partition(";")
    essence = essence.strip().lower()
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    is_json = essence == "application/json" or (essence.startswith("application/") and essence.endswith("+json"))
    if not is_json or (charset and charset not in ("utf-8", "utf8", "us-ascii")):
        raise unsupported_media_type(content_type)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"malformed JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error


def _body_binder(
    rpc: Rpc, binding: HttpBinding, decoders: DecoderSet, taken: frozenset[str]
) -> Callable[[object, list[Violation]], Message] | None:
    message_class: type[Message] = message_factory.GetMessageClass(rpc.input)
    if not binding.body:
        return None
    if binding.body == "*":
        decoder = decoders.message(rpc.input)

        def whole(value: object, violations: list[Violation]) -> Message:
            if not isinstance(value, dict):
                decoder.convert(value, "", violations)
                return message_class()
            return message_class(**decoder.arguments(value, "", violations, taken))

        return whole
    field = rpc.input.fields_by_name.get(binding.body)
    if field is None:
        raise CatalogError(f"{rpc.path}: body selector {binding.body!r} is no field of {rpc.input.full_name}")
    convert = decoders.field(field)

    def part(value: object, violations: list[Violation]) -> Message:
        converted = convert(value, binding.body, violations)
        return message_class() if converted is None else message_class(**{binding.body: converted})

    return part


def _setter(rpc: Rpc, path: str, decoders: DecoderSet, label: str = "") -> FieldSetter:
    fields: list[FieldDescriptor] = []
    descriptor: Descriptor | None = rpc.input
    for name in path.split("."):
        field = descriptor.fields_by_name.get(name) if descriptor is not None else None
        if field is None:
            raise CatalogError(f"{rpc.path}: {path!r} is no field path of {rpc.input.full_name}")
        fields.append(field)
        descriptor = field.message_type
    if is_repeated(fields[-1]):
        raise CatalogError(f"{rpc.path}: {path!r} is repeated; a path or a header carries one value")
    return FieldSetter(label or ".".join(map(json_name, fields)), fields, decoders.text(fields[-1]))


def _query_setters(descriptor: Descriptor, decoders: DecoderSet, taken: set[str]) -> dict[str, FieldSetter]:
    return {
        label: FieldSetter(label, fields, decoders.text(fields[-1]))
        for label, fields in query_leaves(descriptor, taken).items()
    }


def query_leaves(descriptor: Descriptor, taken: Collection[str]) -> dict[str, list[FieldDescriptor]]:
    """Query parameters of a request message and the fields they lead through; `taken` field paths are left
    out.
    """
    leaves = {}
    for fields in _text_leaves(descriptor, []):
        names = [field.name for field in fields]
        if not any(".".join(names[:depth]) in taken for depth in range(1, len(names) + 1)):
            leaves[".".join(map(json_name, fields))] = fields
    return leaves


def _text_leaves(descriptor: Descriptor, above: list[FieldDescriptor]) -> Iterator[list[FieldDescriptor]]:
    """Fields that a query can carry: scalars, enums, their lists, and messages with a text form."""
    for field in descriptor.fields:
        fields = [*above, field]
        message = field.message_type
        if message is None or message.full_name in TEXT_FORMS:
            if not is_map(field):
                yield fields
        elif not is_repeated(field) and not message.full_name.startswith("google.") and len(fields) < _MAX_QUERY_DEPTH:
            yield from _text_leaves(message, fields)
