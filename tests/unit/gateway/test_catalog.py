"""The contract as the gateway reads it: what it refuses to serve, and what it must not let anybody keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor

from gateway.binding import Binder
from gateway.catalog import CatalogError, load_catalog, stub_modules
from gateway.codec import DecoderSet
from gateway.http_rules import TemplateError, compile_template
from t2m.common.v1 import options_pb2
from tests.fakes.contracts import modules

SECRETS = ("secret", "password", "token", "presigned")


def served(rule: http_pb2.HttpRule, name: str) -> Any:
    """The rpcs of a file whose only method takes a Dish under that rule, as far as their binders."""
    kitchen = modules()["kitchen"].DESCRIPTOR
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=f"t2m.{name}.v1", syntax="proto3")
    file.dependency.extend([kitchen.name, annotations_pb2.DESCRIPTOR.name, options_pb2.DESCRIPTOR.name])
    service = file.service.add(name="BadService")
    method = service.method.add(name="Do", input_type=".t2m.kitchen.v1.Dish", output_type=".t2m.kitchen.v1.Dish")
    method.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    method.options.Extensions[options_pb2.permission].access = options_pb2.ACCESS_PUBLIC
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())

    class Module:
        DESCRIPTOR = pool.FindFileByName(file.name)

    [rpc] = load_catalog([Module])  # type: ignore[list-item]
    return [Binder(rpc, binding, compile_template(binding.template), DecoderSet()) for binding in rpc.bindings]


@pytest.mark.parametrize(
    ("name", "rule", "complaint"),
    [
        ("nobody", {"get": "/v1/a", "body": "*"}, "content of GET"),
        ("gone", {"delete": "/v1/a", "body": "nested"}, "content of DELETE"),
        (
            "nested",
            {"get": "/v1/a", "additional_bindings": [{"get": "/v1/b", "additional_bindings": [{"get": "/v1/c"}]}]},
            "additional_bindings within",
        ),
        ("nothing", {"body": "*"}, "without a pattern"),
        ("listed", {"get": "/v1/{texts}"}, "is repeated"),
        ("mapped", {"get": "/v1/{labels}"}, "is repeated"),
        ("whole", {"get": "/v1/{nested}"}, "is a message"),
        ("absent", {"get": "/v1/{nowhere}"}, "is no field path"),
        ("selected", {"post": "/v1/a", "body": "nowhere"}, "is no field"),
        ("middle", {"get": "/v1/{text=**}/b"}, "only allowed at the end"),
    ],
)
def test_O6_a_rule_against_the_book_stops_the_start(name: str, rule: dict[str, Any], complaint: str) -> None:
    """O6: what google/api/http.proto forbids is never found out by a client."""
    with pytest.raises((CatalogError, TemplateError), match=complaint):
        served(http_pb2.HttpRule(**rule), name)


def _names(message: Descriptor, above: tuple[str, ...] = ()) -> Iterator[str]:
    for field in message.fields:
        yield field.name
        inner = field.message_type
        if inner is not None and inner.full_name not in above and not inner.full_name.startswith("google."):
            yield from _names(inner, (*above, message.full_name))


def test_O7_answers_with_secrets_are_kept_by_nobody() -> None:
    """O7: a GET whose answer names one says so in the contract; pages and times of secrets are none."""
    harmless = {"next_page_token", "has_password", "previous_secret_expires_at"}
    for rpc in load_catalog(stub_modules()):
        if any(binding.verb == "GET" for binding in rpc.bindings) and not rpc.descriptor.server_streaming:
            found = [
                name
                for name in _names(rpc.output)
                if name not in harmless and any(word in name.split("_") for word in SECRETS)
            ]
            assert rpc.extras.file or rpc.extras.confidential == bool(found), (rpc.path, found)
