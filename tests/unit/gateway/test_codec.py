"""The REST JSON dialect: what it shares with proto3 JSON, and where it differs on purpose."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.codec import DecoderSet, EncoderSet, Violation, enum_labels
from t2m.job.v1 import batch_service_pb2

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PART = st.recursive(
    st.fixed_dictionaries({}, optional={"name": TEXT, "weight": INT32}),
    lambda inner: st.fixed_dictionaries({}, optional={"name": TEXT, "parts": st.lists(inner, max_size=2)}),
    max_leaves=4,
)
SCALARS: dict[str, Any] = {
    "text": TEXT,
    "flag": st.booleans(),
    "i32": INT32,
    "i64": INT64,
    "u32": UINT32,
    "u64": UINT64,
    "s32": INT32,
    "s64": INT64,
    "f32": UINT32,
    "f64": UINT64,
    "sf32": INT32,
    "sf64": INT64,
    "single": st.floats(width=32, allow_nan=False),
    "real": st.floats(allow_nan=False),
    "raw": st.binary(max_size=20),
    "colour": st.sampled_from([0, 1, 2, 77]),
    "odd": st.sampled_from([0, 1]),
    "nested": PART,
    "maybe": TEXT,
    "maybe_number": INT32,
    "texts": st.lists(TEXT, max_size=3),
    "numbers": st.lists(INT64, max_size=3),
    "colours": st.lists(st.sampled_from([0, 1, 2]), max_size=3),
    "many": st.lists(PART, max_size=2),
    "labels": st.dictionaries(TEXT, TEXT, max_size=3),
    "by_flag": st.dictionaries(st.booleans(), st.floats(allow_nan=False), max_size=2),
    "renamed": TEXT,
    "left": TEXT,
}


def encode(message: Any) -> Any:
    """Message → JSON → parsed."""
    return orjson.loads(orjson.dumps(EncoderSet().message(message.DESCRIPTOR)(message)))


def decode(kitchen: Any, value: object) -> tuple[Any, list[Violation]]:
    """Parsed JSON → Dish and violations."""
    violations: list[Violation] = []
    return DecoderSet().message(kitchen.Dish.DESCRIPTOR).convert(value, "", violations), violations


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.fixed_dictionaries({}, optional=SCALARS))
def test_a_message_survives_the_round_trip(kitchen: Any, values: dict[str, Any]) -> None:
    dish = kitchen.Dish(**values)
    back, violations = decode(kitchen, encode(dish))
    assert violations == []
    assert back == dish


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.fixed_dictionaries({}, optional=SCALARS))
def test_it_is_proto3_json_but_for_the_listed_differences(kitchen: Any, values: dict[str, Any]) -> None:
    dish = kitchen.Dish(**values)
    standard = json_format.MessageToDict(
        dish, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, use_integers_for_enums=True
    )
    # The differences: 64-bit integers are numbers, enums are labels, an explicit json_name wins.
    for name in ("i64", "u64", "s64", "f64", "sf64"):
        standard[name] = int(standard[name])
    standard["numbers"] = [int(number) for number in standard["numbers"]]
    labels = {0: "unspecified", 1: "red", 2: "4k", 77: 77}
    standard["colour"] = labels[standard["colour"]]
    standard["colours"] = [labels[number] for number in standard["colours"]]
    standard["odd"] = ["none", "some_thing"][standard["odd"]]
    standard["other-name"] = standard.pop("renamed")
    assert encode(dish) == standard


def test_enum_labels(kitchen: Any) -> None:
    assert enum_labels(kitchen.DishColour.DESCRIPTOR) == {0: "unspecified", 1: "red", 2: "4k"}
    assert enum_labels(kitchen.Odd.DESCRIPTOR) == {0: "none", 1: "some_thing"}


def test_presence(kitchen: Any) -> None:
    """Implicit presence: always there, also zero. Unset messages, optionals and oneof members: left out."""
    empty = encode(kitchen.Dish())
    assert empty["text"] == ""
    assert empty["numbers"] == []
    assert empty["labels"] == {}
    assert {"nested", "maybe", "left", "right", "at", "extra", "anything", "boxed_flag"}.isdisjoint(empty)
    present = encode(kitchen.Dish(maybe="", left="", nested={}, boxed_flag={"value": False}))
    assert (present["maybe"], present["left"], present["boxed_flag"]) == ("", "", False)
    assert present["nested"] == {"name": "", "weight": 0, "parts": []}


WELL_KNOWN: list[tuple[str, Any]] = [
    ("at", "2030-01-31T12:00:00Z"),
    ("at", "1969-12-31T23:59:59.500Z"),
    ("at", "0001-01-01T00:00:00Z"),
    ("at", "9999-12-31T23:59:59.999999999Z"),
    ("at", "2030-01-31T12:00:00.000001Z"),
    ("took", "3.500s"),
    ("took", "-0.000000001s"),
    ("took", "315576000000s"),
    ("extra", {"a": [1, 2.5, "x", None, True, {"b": {}}]}),
    ("anything", None),
    ("anything", [1, {"x": "y"}]),
    ("anything", 1.25),
    ("listed", [1, "x", None]),
    ("mask", "a.b,c_d"),
    ("boxed_text", "x"),
    ("boxed_number", 2**62),
    ("boxed_flag", False),
    ("colour_of", {"sky": "red"}),
    ("by_number", {"-3": {"name": "n", "weight": 1, "parts": []}}),
    ("by_flag", {"true": 1.5}),
    ("times", ["2030-01-31T12:00:00Z"]),
    ("from", "keyword"),
    ("raw", "//8="),
    ("single", 0.1),
    ("single", 3.4028235e38),
]


@pytest.mark.parametrize(("name", "value"), WELL_KNOWN)
def test_a_json_value_survives_the_round_trip(kitchen: Any, name: str, value: object) -> None:
    dish, violations = decode(kitchen, {name: value})
    assert violations == []
    assert encode(dish)[name] == value


@pytest.mark.parametrize(
    ("name", "value", "same_as"),
    [
        ("at", "2030-01-31T12:00:00+01:30", "2030-01-31T10:30:00Z"),
        ("at", "2030-01-31t12:00:00.25z", "2030-01-31T12:00:00.250Z"),
        ("took", "1.5s", "1.500s"),
        ("i64", "9007199254740993", 9007199254740993),
        ("i32", 3.0, 3),
        ("u64", str(2**64 - 1), 2**64 - 1),
        ("real", "1.5", 1.5),
        ("real", 2, 2.0),
        ("colour", "DISH_COLOUR_RED", "red"),
        ("colour", 2, "4k"),
        ("colour", 99, 99),
        ("colour", 1.0, "red"),
        ("raw", "__8", "//8="),
        ("text", None, ""),
    ],
)
def test_other_spellings_that_are_understood(kitchen: Any, name: str, value: object, same_as: object) -> None:
    dish, violations = decode(kitchen, {name: value})
    assert violations == []
    assert encode(dish)[name] == same_as


def test_numbers_that_json_lacks_are_strings(kitchen: Any) -> None:
    for text, number in {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.items():
        assert encode(kitchen.Dish(real=number, single=number))["real"] == text
        dish, violations = decode(kitchen, {"real": text, "single": text})
        assert violations == []
        assert str(dish.real) == str(number)


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({"nope": 1}, "nope", "unknown field"),
        ({"nested": {"nope": 1}}, "nested.nope", "unknown field"),
        ({"renamed": "x"}, "renamed", "unknown field"),
        ({"text": 1}, "text", "expected string, got number"),
        ({"text": ["x"]}, "text", "expected string, got array"),
        ({"flag": "true"}, "flag", "expected boolean, got string"),
        ({"flag": 1}, "flag", "expected boolean, got number"),
        ({"i32": True}, "i32", "expected integer, got boolean"),
        ({"i32": 2**31}, "i32", "out of range: -2147483648 to 2147483647"),
        ({"u32": -1}, "u32", "out of range: 0 to 4294967295"),
        ({"i32": 1.5}, "i32", "expected integer, got 1.5"),
        ({"i32": "many"}, "i32", "expected integer, got 'many'"),
        ({"i32": {}}, "i32", "expected integer, got object"),
        ({"single": 1e39}, "single", "out of range"),
        ({"real": "x"}, "real", "expected number, got string"),
        ({"raw": "§"}, "raw", "expected base64"),
        ({"colour": "blue"}, "colour", "unknown value 'blue'; expected one of red, 4k"),
        ({"colour": "1"}, "colour", "unknown value '1'; expected one of red, 4k"),
        ({"colour": 2**40}, "colour", "out of range"),
        ({"colour": []}, "colour", "expected string, got array"),
        ({"nested": []}, "nested", "expected object, got array"),
        ({"texts": "x"}, "texts", "expected array, got string"),
        ({"texts": ["x", None]}, "texts[1]", "expected string, got null"),
        ({"many": [{}, {"parts": [{"weight": "x"}]}]}, "many[1].parts[0].weight", "expected integer, got 'x'"),
        ({"labels": []}, "labels", "expected object, got array"),
        ({"labels": {"a": 1}}, "labels['a']", "expected string, got number"),
        ({"by_number": {"x": {}}}, "by_number['x']", "expected integer, got 'x'"),
        ({"by_flag": {"yes": 1}}, "by_flag['yes']", "expected true or false"),
        ({"left": "x", "right": {}}, "right", "only one of left, right may be set"),
        ({"at": "yesterday"}, "at", "expected an RFC 3339 time such as 2030-01-31T12:00:00Z"),
        ({"at": "2030-02-30T12:00:00Z"}, "at", "expected an RFC 3339 time such as 2030-01-31T12:00:00Z"),
        ({"at": "0001-01-01T00:00:00+01:00"}, "at", "expected an RFC 3339 time such as 2030-01-31T12:00:00Z"),
        ({"at": 5}, "at", "expected string, got number"),
        ({"took": "3"}, "took", "expected a duration such as 3.5s"),
        ({"extra": [1]}, "extra", "expected object, got array"),
        ({"listed": {}}, "listed", "expected array, got object"),
        ({"mask": "a b"}, "mask", "expected comma-separated field paths"),
        ({"boxed_flag": "x"}, "boxed_flag", "expected boolean, got string"),
        ([], "body", "expected object, got array"),
        (None, "body", "expected object, got null"),
    ],
)
def test_O6_a_violation_names_its_path(kitchen: Any, value: object, field: str, message: str) -> None:
    """O6."""
    assert decode(kitchen, value)[1] == [Violation(field, message)]


def test_O6_every_violation_is_reported(kitchen: Any) -> None:
    """O6: not only the first."""
    _, violations = decode(kitchen, {"text": 1, "texts": [1, "x", 2], "nope": 0})
    assert [violation.field for violation in violations] == ["text", "texts[0]", "texts[2]", "nope"]


def test_nesting_is_bounded(kitchen: Any) -> None:
    """Deeper than upb can serialise would fail at the service; here it is a violation."""
    value: Any = 1
    for _ in range(31):
        value = {"a": value}
    assert decode(kitchen, {"extra": value})[1] == [Violation("extra", "nested deeper than 30 levels")]
    dish, violations = decode(kitchen, {"extra": value["a"]})
    assert violations == []
    assert kitchen.Dish.FromString(dish.SerializeToString()) == dish


def test_V2_a_bad_item_does_not_refuse_the_others() -> None:
    """V2: an item that cannot be read is sent empty and listed; the list as a whole is refused as ever."""
    decode = DecoderSet().message(batch_service_pb2.CreateBatchRequest.DESCRIPTOR)
    items = [{"topic": "T"}, {"topic": 5, "quality": "ultra"}, "no object", {"nope": 1}, None]
    violations: list[Violation] = []
    message = decode.convert({"requests": items}, "", violations)
    assert isinstance(message, batch_service_pb2.CreateBatchRequest)
    assert violations == []
    assert [item.topic for item in message.requests] == ["T", "", "", "", ""]
    assert [(bad.index, bad.field) for bad in message.unreadable] == [
        (1, "topic"),
        (1, "quality"),
        (2, ""),
        (3, "nope"),
        (4, ""),
    ]
    assert all(bad.description for bad in message.unreadable)
    for body, field in (({"requests": {}}, "requests"), ({"unreadable": []}, "unreadable")):
        violations = []
        decode.convert(body, "", violations)
        assert [violation.field for violation in violations] == [field]
