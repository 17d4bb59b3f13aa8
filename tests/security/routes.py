"""Every route that the gateway serves, with a request that it would accept, made from the descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.catalog import HttpBinding, Rpc, load_catalog, stub_modules
from gateway.codec import EncoderSet
from gateway.http_rules import Template, compile_template
from t2m.common.v1 import options_pb2
from tests.contract.every_rpc import valid_request

ENCODERS = EncoderSet()


@dataclass(frozen=True)
class Route:
    """One binding of an rpc."""

    rpc: Rpc
    binding: HttpBinding
    template: Template

    @property
    def access(self) -> str:
        """`PUBLIC`, `READ`, `WRITE` or `ADMIN`."""
        return options_pb2.Access.Name(self.rpc.permission.access).removeprefix("ACCESS_")

    @property
    def variables(self) -> tuple[str, ...]:
        """The request fields that the path fills."""
        return tuple(variable.field_path for variable in self.template.variables)

    def path(self, values: Mapping[str, str]) -> str:
        """The path with these values. Raises KeyError for a variable that is not among them."""
        path = self.template.source
        for name in self.variables:
            path = path.replace(f"{{{name}}}", quote(values[name], safe=""))
        assert "{" not in path, path
        return path

    def request(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Arguments of `httpx.Client.request` for a call that keeps the rules of its fields."""
        arguments: dict[str, Any] = {"method": self.binding.verb, "url": self.path(values), "headers": {}}
        for header in self.rpc.extras.headers:
            if header.field == "request_id":
                arguments["headers"][header.header] = "the-same-for-everybody"
        if self.rpc.descriptor.client_streaming:
            arguments["headers"]["Upload-Offset"] = "0"
            arguments["content"] = b"x"
        elif self.binding.body:
            arguments["json"] = self.body()
        return arguments

    def body(self) -> Any:
        """The JSON body without the fields that path and headers fill."""
        message = valid_request(self.rpc.input)
        if self.binding.body != "*":
            field = self.rpc.input.fields_by_name[self.binding.body]
            return ENCODERS.message(field.message_type)(getattr(message, field.name)) if field.message_type else {}
        for name in (*self.variables, *(header.field for header in self.rpc.extras.headers)):
            if "." not in name:
                message.ClearField(name)
        encoded: Any = ENCODERS.message(self.rpc.input)(message)
        wanted = {field.name for field, _ in message.ListFields()}
        return {name: value for name, value in encoded.items() if name in wanted}

    def __str__(self) -> str:
        return f"{self.binding.verb} {self.template.source}"


ROUTES = tuple(
    Route(rpc, binding, compile_template(binding.template))
    for rpc in load_catalog(stub_modules())
    for binding in rpc.bindings
)
