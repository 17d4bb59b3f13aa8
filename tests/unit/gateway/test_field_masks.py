"""The mask of a PATCH that brings none (AIP-134)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from gateway.field_masks import mask_field, named_paths


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, []),
        ({"text": "x", "i32": 0}, ["text", "i32"]),
        ({"text": None, "nested": None}, ["text", "nested"]),
        ({"nested": {"name": "x", "parts": [{"name": "y"}]}}, ["nested.name", "nested.parts"]),
        ({"nested": {}}, ["nested"]),
        ({"labels": {"a": "b"}, "many": [{}]}, ["labels", "many"]),
        ({"at": "2030-01-31T12:00:00Z", "extra": {"a": {"b": 1}}, "boxed_text": "x"}, ["at", "extra", "boxed_text"]),
        ({"other-name": "x", "from": "y"}, ["renamed", "from"]),
        ({"nope": 1, "text": "x"}, ["text"]),
        ([], []),
        (None, []),
    ],
)
def test_a_mask_names_what_the_body_names(kitchen: Any, body: object, paths: list[str]) -> None:
    """By the proto's names; what clears a field is named, too."""
    assert named_paths(kitchen.Dish.DESCRIPTOR)(body) == paths


def test_the_mask_is_the_only_one(kitchen: Any, contracts: dict[str, ModuleType]) -> None:
    found = mask_field(contracts["transcoding"].UpdateRequest.DESCRIPTOR)
    assert found is not None
    assert found.name == "update_mask"
    assert mask_field(kitchen.Part.DESCRIPTOR) is None
