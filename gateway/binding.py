"""Path, query, headers and body of an HTTP request → request message, compiled per binding at start-up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, EncodeError, Message

from gateway.catalog import BODY_TYPE, CatalogError, HttpBinding, Rpc
from gateway.codec import DecoderSet, Violation, json_name
from gateway.codec.decoder import Convert
from gateway.codec.fields import TEXT_FORMS, is_map, is_repeated
from gateway.errors import malformed, validation_failed
from gateway.field_masks import mask_field, named_paths
from gateway.http import Request
from gateway.http_rules import Template
from gateway.json_bodies import body_binder, parse_json

MAX_QUERY_FIELDS = 100
_MAX_QUERY_DEPTH = 4
_TAKEN = "already given by the path or a header"


class FieldSetter:
    """Sets one field, possibly nested, from its text form."""

    __slots__ = ("_convert", "_is_message", "_name", "_oneofs", "_parents", "label", "repeated")

    def __init__(self, path: str, fields: list[FieldDescriptor], convert: Convert) -> None:
        leaf = fields[-1]
        self.label = path
        self.repeated = is_repeated(leaf)
        self._parents = [field.name for field in fields[:-1]]
        self._oneofs = [
            (depth, field.containing_oneof, field)
            for depth, field in enumerate(fields)
            if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1
        ]
        self._name = leaf.name
        self._is_message = leaf.message_type is not None
        self._convert = convert

    def __call__(self, message: Message, texts: list[str], violations: list[Violation]) -> None:
        """Convert and set; one text per value."""
        if len(texts) > 1 and not self.repeated:
            violations.append(Violation(self.label, "given more than once"))
            return
        if self._oneofs and (rival := self._rival(message)):
            violations.append(Violation(self.label, f"only one of {rival} may be set"))
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

    def _rival(self, message: Message) -> str:
        """What is set already in place of this field, and it, where both cannot be; else empty."""
        for depth, oneof, field in self._oneofs:
            owner: Any = message
            for parent in self._parents[:depth]:
                owner = getattr(owner, parent)
            other = owner.WhichOneof(oneof.name)
            if other not in (None, field.name):
                members = {member.name: member for member in oneof.fields}
                return f"{json_name(members[other])}, {json_name(field)}"
        return ""


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
        self._body = binding.body
        self._raw = takes_bytes(rpc, binding)
        self._bind_body = None if self._raw else body_binder(rpc, binding, decoders, taken)
        self._taken = [] if self._raw else _taken_within(rpc, binding, taken)
        self._mask, self._paths = _mask_filler(rpc, binding)
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
        try:
            return self._bind(request, variables, body)
        except (DecodeError, EncodeError, RecursionError) as error:
            # Python and upb each have a limit; recursive messages of JSON can be nested beyond both.
            raise validation_failed([Violation("body", "nested too deeply")]) from error

    def _bind(self, request: Request, variables: Mapping[str, str], body: bytes) -> bytes:
        violations: list[Violation] = []
        message, value = self._from_body(request, body, violations)
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
        if self._mask and not message.HasField(self._mask):
            getattr(message, self._mask).paths.extend(self._paths(value))
        serialised: bytes = message.SerializeToString()
        return serialised

    def _from_body(self, request: Request, body: bytes, violations: list[Violation]) -> tuple[Any, object]:
        """The message as far as the body gives it, and what the body is in JSON."""
        if self._raw:
            content_type = (request.header(b"content-type") or b"").decode("latin-1")
            content: dict[str, Any] = {"content_type": content_type, "data": body}
            return self._class(**(content if self._body == "*" else {self._body: content})), None
        if self._bind_body is None:
            if body.strip() not in (b"", b"{}"):
                raise malformed("this call takes no body")
            return self._class(), None
        if not body:
            return self._class(), None
        value = parse_json(request, body)
        message = self._bind_body(value, violations)
        for label, keys in self._taken:
            if _is_given(value, keys):
                violations.append(Violation(label, _TAKEN))
        return message, value

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
    """Whether the body is taken as it is, as a `google.api.HttpBody`: signed bytes may not change."""
    if binding.body == "*":
        return bool(rpc.input.full_name == BODY_TYPE)
    field = rpc.input.fields_by_name.get(binding.body)
    return field is not None and field.message_type is not None and field.message_type.full_name == BODY_TYPE


def _taken_within(rpc: Rpc, binding: HttpBinding, taken: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Fields within messages of the body that path or headers give: what a violation calls them, and where they are
    in the JSON.
    """
    found = []
    for path in taken:
        names = [json_name(field) for field in _fields_of(rpc, path)]
        if binding.body == "*" and len(names) > 1:
            found.append((".".join(names), names))
        elif path.startswith(binding.body + "."):
            found.append((".".join(names), names[1:]))
    return found


def _is_given(value: object, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(value, dict) or value.get(key) is None:
            return False
        value = value[key]
    return True


def _mask_filler(rpc: Rpc, binding: HttpBinding) -> tuple[str, Callable[[object], list[str]]]:
    """Name of the mask that a PATCH without one has filled from its body, and how; the name is empty for none."""
    resource, mask = rpc.input.fields_by_name.get(binding.body), mask_field(rpc.input)
    if binding.verb != "PATCH" or mask is None or resource is None or resource.message_type is None:
        return "", lambda _: []
    return mask.name, named_paths(resource.message_type)


def _setter(rpc: Rpc, path: str, decoders: DecoderSet, label: str = "") -> FieldSetter:
    fields = _fields_of(rpc, path)
    leaf = fields[-1]
    if is_repeated(leaf):
        raise CatalogError(f"{rpc.path}: {path!r} is repeated; a path or a header carries one value")
    if leaf.message_type is not None and leaf.message_type.full_name not in TEXT_FORMS:
        raise CatalogError(f"{rpc.path}: {path!r} is a message; a path or a header carries text")
    return FieldSetter(label or ".".join(map(json_name, fields)), fields, decoders.text(leaf))


def _fields_of(rpc: Rpc, path: str) -> list[FieldDescriptor]:
    fields: list[FieldDescriptor] = []
    descriptor: Descriptor | None = rpc.input
    for name in path.split("."):
        field = descriptor.fields_by_name.get(name) if descriptor is not None else None
        if field is None:
            raise CatalogError(f"{rpc.path}: {path!r} is no field path of {rpc.input.full_name}")
        fields.append(field)
        descriptor = field.message_type
    return fields


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
