"""JSON bodies: their bytes → a parsed value → the request message, or the field of it that is the body."""

from __future__ import annotations

from collections.abc import Callable, Collection

import orjson
from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.catalog import CatalogError, HttpBinding, Rpc
from gateway.codec import DecoderSet, Violation, json_name
from gateway.codec.decoder import isolation_of
from gateway.errors import malformed, unsupported_media_type
from gateway.http import JSON_TYPE, Request


def parse_json(request: Request, body: bytes) -> object:
    """The value of a body. Raises ApiError 415 for what does not call itself JSON, 400 for what is none."""
    content_type = request.header(b"content-type")
    if content_type != JSON_TYPE and not _is_json(content_type or b""):
        raise unsupported_media_type((content_type or b"").decode("latin-1"), request.method)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"malformed JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error


def _is_json(content_type: bytes) -> bool:
    essence, *parameters = (part.strip() for part in content_type.decode("latin-1").lower().split(";"))
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    is_json = essence == "application/json" or (essence.startswith("application/") and essence.endswith("+json"))
    return is_json and all(charset in ("utf-8", "utf8", "us-ascii") for charset in charsets)


def body_binder(
    rpc: Rpc, binding: HttpBinding, decoders: DecoderSet, taken: Collection[str]
) -> Callable[[object, list[Violation]], Message] | None:
    """A function from the value to the request message; None where the binding has no body.

    Fields in `taken` (paths) are given elsewhere. Raises CatalogError.
    """
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
    takes_null = field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"
    label, sibling = json_name(field), isolation_of(field)

    def part(value: object, violations: list[Violation]) -> Message:
        converted = None if value is None and not takes_null else convert(value, label, violations)
        if converted is None:
            return message_class()
        if sibling:
            items, unreadable = converted
            return message_class(**{binding.body: items, sibling: unreadable})
        return message_class(**{binding.body: converted})

    return part
