"""Paths and operations of the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.binding import query_leaves, takes_bytes
from gateway.catalog import HttpBinding, Rpc, answers_body
from gateway.errors import BY_CODE
from gateway.http_rules import Template, compile_template
from gateway.openapi.access import (
    HEADERS,
    LIMIT_HEADERS,
    RETRY_HEADERS,
    SECURITY_SCHEMES,
    body_required,
    rate_class,
    security,
    session_parameters,
)
from gateway.openapi.schemas import Schema, SchemaSet, field_rules

JSON = "application/json"

_ERRORS = {
    400: "The request could not be read: malformed JSON, bad encoding.",
    401: "No credential, or one that does not work (any more).",
    403: "The caller may not do this.",
    404: "No such resource, or it belongs to somebody else.",
    408: "The body did not arrive in time.",
    409: "The state of the resource, or an earlier request, stands against it.",
    410: "The position is older than what is kept.",
    413: "The body is too large.",
    415: "The body is of a type that is not accepted here.",
    416: "The range does not fit the object; `Content-Range` says its size.",
    422: "Fields are missing, unknown or out of bounds; `details.violations` lists them all.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "A service is away for the moment; retry after `Retry-After` seconds.",
}
_DOWNLOAD_HEADERS = {
    "Content-Disposition": {"schema": {"type": "string"}, "description": "`attachment`, with a name to save it under."}
}
_CODE_WORD = re.compile(r"\b(" + "|".join(code.name for code in BY_CODE) + r")\b")
_CODES = {code.name: status for code, (status, _, _) in BY_CODE.items()}

_ERROR_SCHEMA: Schema = {
    "type": "object",
    "description": "The body of every answer that is not a success.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "error_code", "details", "timestamp", "path", "request_id"],
            "properties": {
                "message": {"type": "string", "description": "For people; may be reworded."},
                "error_code": {"type": "string", "examples": ["NOT_FOUND"]},
                "details": {
                    "type": "object",
                    "required": ["reason"],
                    "properties": {
                        "reason": {"type": "string", "description": "Stable cause; branch on this."},
                        "violations": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["field", "message"],
                                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                            },
                        },
                    },
                    "additionalProperties": True,
                },
                "timestamp": {"type": "string", "format": "date-time"},
                "path": {"type": "string"},
                "request_id": {"type": "string"},
            },
        }
    },
}


def build_document(rpcs: Iterable[Rpc], comments: Mapping[str, str], version: str = "1") -> dict[str, Any]:
    """The whole document."""
    rpcs = list(rpcs)
    from_headers = {rpc.input.full_name: {bound.field for bound in rpc.extras.headers} for rpc in rpcs}
    schemas = SchemaSet(comments, from_headers)
    schemas.components["Error"] = _ERROR_SCHEMA
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, str] = {}
    for rpc in rpcs:
        service = rpc.descriptor.containing_service
        tags[_tag(rpc)] = comments.get(service.full_name, "")
        for index, binding in enumerate(rpc.bindings):
            template = compile_template(binding.template)
            operation = _Operation(rpc, binding, template, schemas, comments).build(index)
            paths.setdefault(template.openapi_path(), {})[binding.verb.lower()] = operation
    paths["/health"] = {"get": _own_page("health", "Whether the gateway runs.")}
    paths["/health/ready"] = {
        "get": _own_page("ready", "Whether every service that the gateway needs is serving, and how fast.", 503)
    }
    paths["/schemas/storyboard.json"] = {
        "get": _own_page("storyboard_schema", "The JSON Schema (2020-12) of a storyboard, for editors and programs.")
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "t2m",
            "version": version,
            "description": "Turns a topic and a context into an explainer video.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()] + [{"name": "Health"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {f"Error{status}": _error_response(status, text) for status, text in _ERRORS.items()},
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _tag(rpc: Rpc) -> str:
    name: str = rpc.descriptor.containing_service.name
    return name.removesuffix("Service")


class _Operation:
    """One binding of an rpc as an OpenAPI operation."""

    def __init__(
        self,
        rpc: Rpc,
        binding: HttpBinding,
        template: Template,
        schemas: SchemaSet,
        comments: Mapping[str, str],
    ) -> None:
        self._rpc = rpc
        self._binding = binding
        self._template = template
        self._schemas = schemas
        self._comment = comments.get(rpc.descriptor.full_name, "")
        self._service_comment = comments.get(rpc.descriptor.containing_service.full_name, "")
        self._bound = {variable.field_path for variable in template.variables}
        self._bound |= {bound.field for bound in rpc.extras.headers}
        self._takes_bytes = takes_bytes(rpc, binding)

    def build(self, index: int) -> dict[str, Any]:
        """The operation object."""
        name = f"{_tag(self._rpc)}_{self._rpc.descriptor.name}"
        summary = self._comment.partition(". ")[0]
        operation: dict[str, Any] = {
            "operationId": name if index == 0 else f"{name}_{index + 1}",
            "tags": [_tag(self._rpc)],
            "summary": summary.split("\n")[0].removesuffix("."),
            "description": self._comment,
            "responses": {
                **{
                    status: {**answer, "headers": {**LIMIT_HEADERS, **answer.get("headers", {})}}
                    for status, answer in self._successes().items()
                },
                **self._failures(),
            },
            "security": security(self._rpc, self._binding),
            "x-rate-limit-class": rate_class(self._rpc),
        }
        if parameters := list(self._parameters()):
            operation["parameters"] = parameters
        if self._binding.body:
            operation["requestBody"] = {
                "required": body_required(self._rpc),
                "content": {"*/*": {}} if self._takes_bytes else {JSON: {"schema": self._body_schema()}},
            }
        if self._rpc.descriptor.client_streaming:
            operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
        return operation

    def _body_schema(self) -> Schema:
        if self._binding.body == "*":
            return self._schemas.message(self._rpc.input, request=True, without=self._bound)
        return self._schemas.field(self._rpc.input.fields_by_name[self._binding.body], request=True)

    def _parameters(self) -> Iterator[dict[str, Any]]:
        for variable in self._template.variables:
            yield self._parameter(variable.field_path, "path", self._find(variable.field_path), required=True)
        if self._binding.body != "*":
            taken = self._bound | {self._binding.body}
            for name, fields in query_leaves(self._rpc.input, taken).items():
                yield self._parameter(name, "query", fields[-1], required=field_rules(fields[-1]).required)
        for bound in self._rpc.extras.headers:
            yield self._parameter(bound.header, "header", self._find(bound.field), required=False)
        yield from session_parameters(self._rpc)
        resume = self._rpc.extras.event_stream.resume_field
        if resume:
            yield self._parameter("Last-Event-ID", "header", self._find(resume), required=False)

    def _parameter(self, name: str, where: str, field: FieldDescriptor, *, required: bool) -> dict[str, Any]:
        schema = self._schemas.field(field, request=True)
        parameter: dict[str, Any] = {"name": name, "in": where, "required": required, "schema": schema}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
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

    def _answer_schema(self) -> Schema:
        if self._binding.response_body:
            return self._schemas.field(self._rpc.output.fields_by_name[self._binding.response_body], request=False)
        return self._schemas.message(self._rpc.output, request=False)

    def _successes(self) -> dict[str, Any]:
        extras = self._rpc.extras
        if extras.file:
            body: dict[str, Any] = {"content": {"application/octet-stream": {}}}
            return {
                "200": {"description": "The object.", **body},
                "206": {"description": "The part that `Range` asks for.", **body},
                "304": {"description": "The copy that `If-None-Match` names is still good."},
                "307": {"description": "The object is served elsewhere, at `Location`."},
            }
        if answers_body(self._rpc, self._binding):
            if self._rpc.descriptor.server_streaming:
                made = {"description": "The file, made while it is sent.", "headers": _DOWNLOAD_HEADERS}
                return {"200": {**made, "content": {"application/octet-stream": {}, "application/zip": {}}}}
            return {
                "200": {"description": "The body.", "content": {"*/*": {"schema": {"type": "string"}}}},
                "304": {"description": "The copy that `If-None-Match` names is still good."},
            }
        status = extras.success_status or 200
        if status == 204:
            return {"204": {"description": "Done."}}
        schema = self._answer_schema()
        if self._rpc.descriptor.server_streaming:
            events = {"description": "An event: `id`, `event` and JSON `data` of the schema shown for NDJSON."}
            content = {"text/event-stream": {"schema": {"type": "string", **events}}}
            content["application/x-ndjson"] = {"schema": schema}
            return {"200": {"description": "The stream, one event after the other.", "content": content}}
        return {str(status): {"description": "Success.", "content": {JSON: {"schema": schema}}}}

    def _failures(self) -> dict[str, Any]:
        statuses = {400, 422, 429, 503}
        if not self._rpc.public:
            statuses |= {401, 403}
        if self._binding.body or self._rpc.descriptor.client_streaming:
            statuses |= {408, 413, 415}
        if self._rpc.extras.file:
            statuses.add(416)
        for word in _CODE_WORD.findall(self._comment + " " + self._service_comment):
            statuses.add(410 if word == "OUT_OF_RANGE" else _CODES[word])
        listed = {
            str(status): {"$ref": f"#/components/responses/Error{status}"} for status in sorted(statuses & {*_ERRORS})
        }
        return {**listed, "default": _error_response(500, "Anything else.")}


def _error_response(status: int, text: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": text,
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if status in (429, 503):
        response["headers"] = RETRY_HEADERS if status == 503 else {**RETRY_HEADERS, **LIMIT_HEADERS}
    return response


def _own_page(name: str, description: str, *failures: int) -> dict[str, Any]:
    answer = {"description": "Yes.", "content": {JSON: {"schema": {"type": "object"}}}}
    errors = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in failures}
    return {
        "operationId": f"Gateway_{name}",
        "tags": ["Health"],
        "summary": description.removesuffix("."),
        "responses": {"200": answer, **errors},
        "security": [],
    }
