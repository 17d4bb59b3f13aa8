"""google.protobuf.Any in the REST JSON dialect."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from gateway.codec import DecoderSet, EncoderSet, Violation


@pytest.fixture
def parcel(contracts: dict[str, ModuleType]) -> Any:
    """A message with an Any."""
    return contracts["transcoding"].Parcel


def encode(message: Any) -> Any:
    """Message → plain values."""
    return EncoderSet().message(message.DESCRIPTOR)(message)


PART_IN_ANY = {"@type": "type.googleapis.com/t2m.kitchen.v1.Part", "name": "n", "weight": 0, "parts": []}


@pytest.mark.parametrize(
    "value",
    [
        {},
        PART_IN_ANY,
        {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"},
        {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"@type": 1}},
        {"@type": "type.googleapis.com/google.protobuf.Value", "value": None},
        {"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": 5},
        {"@type": "type.googleapis.com/google.protobuf.Empty"},
        {"@type": "type.googleapis.com/google.protobuf.Any", "value": PART_IN_ANY},
    ],
)
def test_any_survives_the_round_trip(parcel: Any, value: dict[str, object]) -> None:
    violations: list[Violation] = []
    message = DecoderSet().message(parcel.DESCRIPTOR).convert({"content": value}, "", violations)
    assert violations == []
    assert encode(message) == {"content": value}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "content"),
        ({"name": "n"}, "content.@type"),
        ({"@type": 5}, "content.@type"),
        ({"@type": "t2m.kitchen.v1.Part"}, "content.@type"),
        ({"@type": "type.googleapis.com/t2m.kitchen.v1.Nope"}, "content.@type"),
        ({**PART_IN_ANY, "nope": 1}, "content.nope"),
        ({"@type": "type.googleapis.com/google.protobuf.Duration", "value": 3}, "content.value"),
        ({"@type": "type.googleapis.com/google.protobuf.Any", "value": {"@type": "x/y"}}, "content.value.@type"),
    ],
)
def test_O6_a_bad_any_names_its_path(parcel: Any, value: object, field: str) -> None:
    """O6."""
    violations: list[Violation] = []
    DecoderSet().message(parcel.DESCRIPTOR).convert({"content": value}, "", violations)
    assert [violation.field for violation in violations] == [field]


def test_an_any_of_which_nothing_is_known_shows_its_bytes(parcel: Any) -> None:
    """An answer is not lost for a type that only the service knows, or for bytes that are not of it."""
    for url in ("type.googleapis.com/t2m.later.v1.Thing", "type.googleapis.com/t2m.kitchen.v1.Part"):
        message = parcel()
        message.content.type_url, message.content.value = url, b"\xff\xff"
        assert encode(message) == {"content": {"@type": url, "value": "//8="}}
