"""Every example of the OpenAPI document is what it says (O8): valid by its schema, and taken by the real binder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from google.protobuf import message_factory
from openapi_schema_validator import OAS31Validator

from gateway.binding import Binder, takes_bytes
from gateway.catalog import load_catalog, stub_modules
from gateway.codec import DecoderSet
from gateway.http import Request
from gateway.http_rules import compile_template
from gateway.openapi.comments import load_comments
from gateway.openapi.document import build_document
from gateway.openapi.examples import field_example
from gateway.openapi.own import PROBES
from gateway.system import SYSTEM_OPERATIONS
from services.runtime.validation import validate

RPCS = load_catalog(stub_modules())
OWN = (*PROBES, *SYSTEM_OPERATIONS)
DOCUMENT: dict[str, Any] = orjson.loads(orjson.dumps(build_document(RPCS, load_comments(), OWN)))
DECODERS = DecoderSet()


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to."""
    while "$ref" in node:
        path = node["$ref"].removeprefix("#/").split("/")
        node = DOCUMENT
        for key in path:
            node = node[key]
    return node


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and object of every operation."""
    for path, verbs in DOCUMENT["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def shown(node: dict[str, Any]) -> list[Any]:
    """The examples of a media type object."""
    many = [item["value"] for item in node.get("examples", {}).values()]
    return many + ([node["example"]] if "example" in node else [])


def failures_of(schema: dict[str, Any], value: Any) -> list[str]:
    """Why the value is none of the schema."""
    validator = OAS31Validator({**schema, "components": DOCUMENT["components"]})
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(value)]


def test_O8_every_example_of_a_body_is_valid_by_its_schema() -> None:
    """O8: of requests, answers and errors; and there is one for each of them that is JSON."""
    wrong, without, counted = {}, [], 0
    for name, operation in operations():
        bodies = {"request": operation.get("requestBody", {})} | operation["responses"]
        for where, body in bodies.items():
            for kind, media in resolved(body).get("content", {}).items():
                counted += len(shown(media))
                if kind == "application/json" and media and not shown(media):
                    without.append(f"{name} {where}")
                for value in shown(media):
                    if found := failures_of(media["schema"], value):
                        wrong[f"{name} {where}"] = found
    assert wrong == {}
    assert without == []
    assert counted > 1000


def test_O8_every_example_of_a_field_is_valid_by_its_schema() -> None:
    """O8: of properties and parameters, as the protos give them."""
    wrong = {}
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, rules in schema.get("properties", {}).items():
            for value in rules.get("examples", []):
                if found := failures_of(rules, value):
                    wrong[f"{name}.{field}"] = found
    for name, operation in operations():
        for parameter in map(resolved, operation["parameters"]):
            for value in parameter["schema"].get("examples", []):
                if found := failures_of(parameter["schema"], value):
                    wrong[f"{name} {parameter['name']}"] = found
    assert wrong == {}


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.descriptor.full_name)
def test_O8_the_binder_and_the_rules_accept_the_example_of_a_request(rpc: Any) -> None:
    """O8: sent as it stands, it would reach the handler."""
    for binding in rpc.bindings:
        template = compile_template(binding.template)
        operation = DOCUMENT["paths"][template.openapi_path()][binding.verb.lower()]
        variables = {}
        for variable in template.variables:
            field = rpc.input.fields_by_name[variable.field_path]
            variables[variable.field_path] = str(field_example(field, request=True))
        headers = [(b"content-type", b"application/json")]
        query = []
        for parameter in map(resolved, operation["parameters"]):
            if parameter.get("required") and parameter["in"] == "header":
                headers.append((parameter["name"].lower().encode(), b"0"))
            if parameter.get("required") and parameter["in"] == "query":
                query.append(f"{parameter['name']}={parameter['schema'].get('examples', ['x'])[0]}")
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        scope = {"type": "http", "method": binding.verb, "query_string": "&".join(query).encode(), "headers": headers}
        unused: Any = None  # Nothing is received or sent.
        request = Request(scope, unused, unused)
        raw = orjson.dumps(body["example"]) if "example" in body else b""
        bound = Binder(rpc, binding, template, DECODERS).bind(request, variables, raw)
        message = message_factory.GetMessageClass(rpc.input).FromString(bound)
        by_transport = {"size_bytes"} if rpc.descriptor.client_streaming else set()
        if takes_bytes(rpc, binding):
            by_transport |= {binding.body, "signature"}
        missing = [violation for violation in validate(message) if violation.field_path not in by_transport]
        assert missing == []
