"""One binding of an rpc as an OpenAPI operation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.binding import query_leaves, takes_bytes
from gateway.catalog import HttpBinding, Rpc, answers_body
from gateway.http_rules import Template
from gateway.openapi.access import body_required, rate_class, security, session_parameters
from gateway.openapi.examples import field_example, request_example, response_example
from gateway.openapi.failures import JSON, Failures
from gateway.openapi.headers import (
    ANSWER_HEADERS,
    DOWNLOAD_HEADERS,
    FILE_HEADERS,
    TRANSPORT_OWNED,
    UNCHANGED,
    reference,
    references,
)
from gateway.openapi.names import tag_of
from gateway.openapi.schemas import Schema, SchemaSet, field_rules

_BYTES = "application/octet-stream"
_ERRORS = re.compile(r"^Errors:.*\n?", re.MULTILINE)
"""Of a comment; its answers say them one by one."""
_OVER = {"description": "Everything was sent before: do not ask again. It stops an EventSource."}


class Operation:
    """Builds the operation object."""

    def __init__(
        self,
        rpc: Rpc,
        binding: HttpBinding,
        template: Template,
        schemas: SchemaSet,
        failures: Failures,
        comments: Mapping[str, str],
    ) -> None:
        self._rpc = rpc
        self._binding = binding
        self._template = template
        self._schemas = schemas
        self._failures = failures
        self._comment = comments.get(rpc.descriptor.full_name, "")
        self._bound = {variable.field_path for variable in template.variables}
        self._bound |= {bound.field for bound in rpc.extras.headers}
        self._streams = rpc.descriptor.server_streaming and not answers_body(rpc, binding)

    def build(self, operation_id: str) -> dict[str, Any]:
        """The operation object."""
        summary = self._comment.partition(". ")[0]
        operation: dict[str, Any] = {
            "operationId": operation_id,
            "tags": [tag_of(self._rpc)],
            "summary": summary.split("\n")[0].removesuffix("."),
            "description": _ERRORS.sub("", self._comment).strip(),
            "parameters": list(self._parameters()),
            "responses": {
                **{
                    status: {**answer, "headers": {**ANSWER_HEADERS, **answer.get("headers", {})}}
                    for status, answer in self._successes().items()
                },
                **self._failures.of(self._rpc, self._binding),
            },
            "security": security(self._rpc, self._binding),
            "x-rate-limit-class": rate_class(self._rpc),
        }
        if (body := self._request_body()) is not None:
            operation["requestBody"] = body
        return operation

    def _request_body(self) -> dict[str, Any] | None:
        if self._rpc.descriptor.client_streaming:
            return {"required": True, "description": "The bytes themselves.", "content": {_BYTES: {}}}
        if not self._binding.body:
            return None
        required = body_required(self._rpc, self._binding, self._bound)
        if takes_bytes(self._rpc, self._binding):
            return {"required": required, "description": "The bytes as they were signed.", "content": {JSON: {}}}
        return {"required": required, "content": {JSON: {"schema": self._body_schema(), **self._body_examples()}}}

    def _body_schema(self) -> Schema:
        if self._binding.body == "*":
            return self._schemas.message(self._rpc.input, request=True, without=self._bound)
        return self._schemas.field(self._rpc.input.fields_by_name[self._binding.body], request=True)

    def _body_examples(self) -> dict[str, Any]:
        if self._binding.body == "*":
            return {"example": request_example(self._rpc.input, self._bound)}
        return {"example": field_example(self._rpc.input.fields_by_name[self._binding.body], request=True)}

    def _parameters(self) -> Iterator[dict[str, Any]]:
        for variable in self._template.variables:
            yield self._parameter(variable.field_path, "path", self._find(variable.field_path), required=True)
        if self._binding.body != "*":
            taken = self._bound | {self._binding.body}
            for name, fields in query_leaves(self._rpc.input, taken).items():
                yield self._parameter(name, "query", fields[-1], required=field_rules(fields[-1]).required)
        for bound in self._rpc.extras.headers:
            if bound.header.lower() not in TRANSPORT_OWNED:
                field = self._find(bound.field)
                yield self._parameter(bound.header, "header", field, required=field_rules(field).required)
        yield from session_parameters(self._rpc)
        resume = self._rpc.extras.event_stream.resume_field
        if resume:
            yield self._parameter("Last-Event-ID", "header", self._find(resume), required=False)
        yield from self._common_parameters()

    def _common_parameters(self) -> Iterator[dict[str, Any]]:
        if self._rpc.extras.file:
            yield from (reference("parameters", name) for name in ("Range", "IfRange", "IfModifiedSince"))
        if self._rpc.extras.file or self._tagged():
            yield reference("parameters", "IfNoneMatch")
        if not (self._rpc.descriptor.server_streaming or self._rpc.descriptor.client_streaming):
            yield reference("parameters", "GrpcTimeout")
        yield reference("parameters", "RequestId")

    def _parameter(self, name: str, where: str, field: FieldDescriptor, *, required: bool) -> dict[str, Any]:
        schema = self._schemas.field(field, request=True)
        parameter: dict[str, Any] = {"name": name, "in": where, "required": required, "schema": schema}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        if where == "path" and "examples" not in schema:
            schema["examples"] = [field_example(field, request=True)]
        return parameter

    def _find(self, path: str) -> FieldDescriptor:
        descriptor: Descriptor | None = self._rpc.input
        field: FieldDescriptor | None = None
        for name in path.split("."):
            assert descriptor is not None
            field = descriptor.fields_by_name[name]
            descriptor = field.message_type
        assert field is not None
        return field

    def _answer(self) -> tuple[Schema, Any]:
        """Schema and example of the answer, or of each message of a stream."""
        if self._binding.response_body:
            field = self._rpc.output.fields_by_name[self._binding.response_body]
            return self._schemas.field(field, request=False), field_example(field, request=False)
        return self._schemas.message(self._rpc.output, request=False), response_example(self._rpc.output)

    def _tagged(self) -> bool:
        """Whether the answer is JSON, or a body, with an ETag."""
        extras = self._rpc.extras
        plain = (extras.success_status or 200) == 200 and not extras.confidential
        return self._binding.verb == "GET" and plain and not self._rpc.descriptor.server_streaming

    def _media(self, *otherwise: str) -> dict[str, Any]:
        return {kind: {} for kind in self._rpc.extras.media_types or otherwise}

    def _successes(self) -> dict[str, Any]:
        if self._rpc.extras.file:
            return self._file()
        if answers_body(self._rpc, self._binding):
            return self._body()
        if self._streams:
            return self._stream()
        status = self._rpc.extras.success_status or 200
        if status == 204:
            return {"204": {"description": "Done."}}
        schema, example = self._answer()
        success: dict[str, Any] = {"description": "Success.", "content": {JSON: {"schema": schema, "example": example}}}
        if not self._tagged():
            return {str(status): success}
        return {str(status): {**success, "headers": references("ETag")}, "304": UNCHANGED}

    def _file(self) -> dict[str, Any]:
        body = self._media("*/*")
        return {
            "200": {"description": "The object.", "headers": FILE_HEADERS, "content": body},
            "206": {
                "description": "The part that `Range` asks for.",
                "headers": {**FILE_HEADERS, **references("Content-Range")},
                "content": body,
            },
            "304": UNCHANGED,
            "307": {
                "description": "The object is served elsewhere; the link is good for a short time.",
                "headers": references("Location"),
            },
        }

    def _body(self) -> dict[str, Any]:
        if self._rpc.descriptor.server_streaming:
            text = "The file, made while it is sent."
            return {"200": {"description": text, "headers": DOWNLOAD_HEADERS, "content": self._media(_BYTES)}}
        body = {"description": "The body.", "headers": references("ETag"), "content": self._media("*/*")}
        return {"200": body, "304": UNCHANGED}

    def _stream(self) -> dict[str, Any]:
        schema, example = self._answer()
        extras = self._rpc.extras.event_stream
        kinds = self._event_names()
        event = {"data": json.dumps(example, separators=(",", ":"))}
        if extras.id_field in example:
            event["id"] = str(example[extras.id_field])
        if kind := next((name for name in example if name in kinds), ""):
            event["event"] = kind
        content = {
            "text/event-stream": {"schema": _event_schema(schema, kinds), "example": event},
            "application/x-ndjson": {"schema": schema, "example": example},
        }
        stream = {"description": "The stream, one event after the other; the schema is of one.", "content": content}
        return {"200": stream, "204": _OVER} if extras.resume_field else {"200": stream}

    def _event_names(self) -> list[str]:
        selected = self._rpc.output
        if self._binding.response_body:
            selected = self._rpc.output.fields_by_name[self._binding.response_body].message_type or selected
        oneof = selected.oneofs_by_name.get(self._rpc.extras.event_stream.event_oneof)
        return [field.name for field in oneof.fields] if oneof is not None else []


def _event_schema(data: Schema, kinds: list[str]) -> Schema:
    """An event of `text/event-stream`, as a parser of it gives it."""
    return {
        "type": "object",
        "required": ["data"],
        "properties": {
            "id": {"type": "string", "description": "The position; for `Last-Event-ID`."},
            "event": {"type": "string", **({"enum": kinds} if kinds else {})},
            "data": {"type": "string", "contentMediaType": JSON, "contentSchema": data},
        },
    }
