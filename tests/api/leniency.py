"""What proto3 JSON takes beside what the document shows: the same value, written in another way.

The document says how to write a value. A reader of proto3 JSON also takes `null` and empty text for a field that is not
sent, an enum by number or full name, and a number in quotes. `plain` undoes just that, by the schema and without the
gateway's help: what then keeps the schema was accepted rightly, what does not was not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openapi_schema_validator import OAS31Validator

_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Dialect:
    """The forms of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._components = document["components"]

    def accepts(self, schema: Mapping[str, Any], value: Any, *, text: bool = False) -> bool:
        """Whether the value keeps the schema once it is written as the document shows it; `text` as in a query."""
        validator = OAS31Validator({**schema, "components": self._components})
        return bool(validator.is_valid(self.plain(schema, value, text=text)))

    def plain(self, schema: Mapping[str, Any], value: Any, *, text: bool = False) -> Any:
        """The value as the document shows it."""
        schema = self._resolved(schema)
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            extra = schema.get("additionalProperties")
            rest: Mapping[str, Any] = extra if isinstance(extra, dict) else {}
            required = schema.get("required", ())
            plain = {name: self.plain(properties.get(name, rest), item) for name, item in value.items()}
            return {
                name: item
                for name, item in plain.items()
                if name not in properties or name in required or not self._unset(properties[name], item)
            }
        if isinstance(value, list):
            return [self.plain(schema.get("items", {}), item, text=text) for item in value]
        return self._scalar(schema, value, text=text)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = {**self._components["schemas"][schema["$ref"].rpartition("/")[2]], **_without_ref(schema)}
        return schema

    def _unset(self, schema: Mapping[str, Any], item: Any) -> bool:
        return item is None or (item == "" and self._resolved(schema).get("type") == "string")

    def _scalar(self, schema: Mapping[str, Any], value: Any, *, text: bool) -> Any:
        kind = schema.get("type")
        if labels := schema.get("enum"):
            return _label(labels, value)
        if isinstance(value, str):
            if kind == "integer" and _INTEGER.fullmatch(value):
                return int(value)
            if kind == "number" and _NUMBER.fullmatch(value):
                return float(value)
            if kind == "boolean" and text and value in ("true", "false"):
                return value == "true"
        return value


def _without_ref(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in schema.items() if key != "$ref"}


def _label(labels: list[str], value: Any) -> Any:
    """The label of an enum's value that was given by number or full name."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(labels):
        return labels[number]
    if isinstance(value, str) and value.isupper():
        return next((label for label in labels if value.endswith(f"_{label.upper()}")), value)
    return value
