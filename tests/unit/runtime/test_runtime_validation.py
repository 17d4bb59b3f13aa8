"""Every rule of `t2m.common.v1.FieldRules`: what it refuses, in which words, at which path; and rules that
make no sense.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from services.runtime.authorization import ContractError
from services.runtime.validation import Validator
from t2m.common.v1 import options_pb2

FDP = FieldDescriptorProto
STRING, BYTES, INT32, DOUBLE, BOOL, ENUM, MESSAGE = (
    FDP.TYPE_STRING,
    FDP.TYPE_BYTES,
    FDP.TYPE_INT32,
    FDP.TYPE_DOUBLE,
    FDP.TYPE_BOOL,
    FDP.TYPE_ENUM,
    FDP.TYPE_MESSAGE,
)
_numbers = count(1)


def field(
    name: str, kind: Any, *, repeated: bool = False, optional: bool = False, type_name: str = "", **rules: Any
) -> FDP:
    """A field with rules; `in_` stands for the rule `in`, which is a keyword."""
    proto = FDP(name=name, type=kind, type_name=type_name or None)
    proto.label = FDP.LABEL_REPEATED if repeated else FDP.LABEL_OPTIONAL
    proto.proto3_optional = optional
    if "in_" in rules:
        rules["in"] = rules.pop("in_")
    if rules:
        proto.options.Extensions[options_pb2.rules].CopyFrom(options_pb2.FieldRules(**rules))
    return proto


def message_class(*fields: FDP, nested: DescriptorProto | None = None) -> Any:
    """A message type `Subject` in a file of its own; `{package}` in type names stands for its package."""
    package = f"t2m.test.n{next(_numbers)}"
    subject = DescriptorProto(name="Subject")
    for number, proto in enumerate(fields, start=1):
        proto.number = number
        subject.field.append(proto)
        _place(subject.field[-1], package)
        if proto.proto3_optional:
            subject.field[-1].oneof_index = len(subject.oneof_decl)
            subject.oneof_decl.add(name=f"_{proto.name}")
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3", dependency=["t2m/common/v1/options.proto"]
    )
    color = file.enum_type.add(name="Color")
    color.value.add(name="COLOR_UNSPECIFIED", number=0)
    color.value.add(name="COLOR_RED", number=1)
    if nested is not None:
        for proto in nested.field:
            _place(proto, package)
        file.message_type.append(nested)
    file.message_type.append(subject)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Subject"))


def _place(proto: FDP, package: str) -> None:
    if proto.type_name:
        proto.type_name = proto.type_name.format(package="." + package)


def violations(message: Any) -> list[tuple[str, str]]:
    return [(path, wording) for path, wording in Validator().validate(message)]


NAN = float("nan")
BROKEN: list[tuple[str, FDP, Any, str]] = [
    ("required string", field("f", STRING, required=True), "", "must be set"),
    ("required number", field("f", INT32, required=True), 0, "must be set"),
    ("required bytes", field("f", BYTES, required=True), b"", "must be set"),
    ("required list", field("f", STRING, repeated=True, required=True), [], "must be set"),
    ("required optional, empty", field("f", STRING, optional=True, required=True), "", "must be set"),
    ("min_len", field("f", STRING, min_len=3), "ab", "must have at least 3 characters"),
    ("min_len trims", field("f", STRING, min_len=1), "  \t", "must have at least 1 character"),
    ("max_len", field("f", STRING, max_len=2), "äöü", "must have at most 2 characters"),
    ("null character", field("f", STRING, max_len=9), "a\0b", "must not contain the character U+0000"),
    ("pattern", field("f", STRING, pattern="[a-z]+"), "abc!", "must match [a-z]+"),
    ("pattern, newline", field("f", STRING, pattern="[a-z]+"), "abc\n", "must match [a-z]+"),
    ("in", field("f", STRING, in_=["a", "b"]), "c", "must be one of a, b"),
    ("uuid", field("f", STRING, format="uuid"), "01a1fb7a-eac6-7c52-8ea6", "must be a UUID"),
    ("email", field("f", STRING, format="email"), "ada@", "must be an e-mail address"),
    ("email, newline", field("f", STRING, format="email"), "ada@b.org\n", "must be an e-mail address"),
    ("uri", field("f", STRING, format="uri"), "/x", "must be an absolute http or https address"),
    (
        "uri, scheme",
        field("f", STRING, format="uri"),
        "file:///x",
        "must be an absolute http or https address",
    ),
    (
        "uri, port",
        field("f", STRING, format="uri"),
        "http://a:b/",
        "must be an absolute http or https address",
    ),
    ("gte", field("f", INT32, gte=2), 1, "must be at least 2"),
    ("gte, zero that is set", field("f", INT32, optional=True, gte=2), 0, "must be at least 2"),
    ("lte", field("f", DOUBLE, lte=1.5), 1.6, "must be at most 1.5"),
    ("lte, NaN", field("f", DOUBLE, lte=1.5), NAN, "must be at most 1.5"),
    ("min_items", field("f", STRING, repeated=True, min_items=2), ["a"], "must have at least 2 items"),
    ("max_items", field("f", STRING, repeated=True, max_items=1), ["a", "b"], "must have at most 1 item"),
    ("unique", field("f", STRING, repeated=True, unique=True), ["a", "a"], "must not repeat an item"),
    ("max_bytes", field("f", BYTES, max_bytes=2), b"abc", "must be at most 2 bytes"),
    (
        "defined_only",
        field("f", ENUM, type_name="{package}.Color", defined_only=True),
        7,
        "must be a known value",
    ),
]
FINE: list[tuple[str, FDP, Any]] = [
    ("not required", field("f", STRING, min_len=3, pattern="x+", format="uuid", in_=["a"]), ""),
    ("number not set", field("f", INT32, gte=1), 0),
    ("optional set to zero", field("f", INT32, optional=True, required=True), 0),
    ("length in code points", field("f", STRING, max_len=3), "äöü"),
    ("pattern", field("f", STRING, pattern="a|ab"), "ab"),
    ("uuid", field("f", STRING, format="uuid"), "01a1fb7a-eac6-7c52-8ea6-d327499dcae5"),
    ("email", field("f", STRING, format="email"), "ada.lovelace+x@example.co.uk"),
    ("uri", field("f", STRING, format="uri"), "https://example.com:8443/a?b=c#d"),
    ("uri, address", field("f", STRING, format="uri"), "http://[::1]:80"),
    ("uri, user", field("f", STRING, format="uri"), "http://user:pw@example.com?x"),
    ("bounds are inclusive", field("f", DOUBLE, gte=1, lte=2), 2.0),
    ("empty list", field("f", STRING, repeated=True, max_items=1, unique=True), []),
    ("known enum value", field("f", ENUM, type_name="{package}.Color", defined_only=True), 1),
    ("example only", field("f", BOOL, example="true"), False),
]


def with_value(cls: Any, value: Any) -> Any:
    message = cls()
    if isinstance(value, list):
        message.f.extend(value)
    else:
        message.f = value
    return message


@pytest.mark.parametrize(("proto", "value", "wording"), [case[1:] for case in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_broken_rule(proto: FDP, value: Any, wording: str) -> None:
    assert violations(with_value(message_class(proto), value)) == [("f", wording)]


@pytest.mark.parametrize(("proto", "value"), [case[1:] for case in FINE], ids=[c[0] for c in FINE])
def test_a_kept_rule(proto: FDP, value: Any) -> None:
    assert violations(with_value(message_class(proto), value)) == []


def test_items_are_checked_one_by_one_and_are_always_set() -> None:
    cls = message_class(field("f", STRING, repeated=True, min_len=1, max_len=2))
    assert violations(cls(f=["ok", "", "abc"])) == [
        ("f[1]", "must have at least 1 character"),
        ("f[2]", "must have at most 2 characters"),
    ]


def _part(**rules: Any) -> DescriptorProto:
    part = DescriptorProto(name="Part")
    text = field("text", STRING, **rules)
    text.number = 1
    inner = FDP(name="inner", type=MESSAGE, type_name="{package}.Part", number=2, label=FDP.LABEL_OPTIONAL)
    part.field.extend([text, inner])
    return part


def test_paths_through_messages_lists_and_recursion() -> None:
    cls = message_class(
        field("one", MESSAGE, type_name="{package}.Part"),
        field("many", MESSAGE, type_name="{package}.Part", repeated=True),
        nested=_part(max_len=1),
    )
    message = cls()
    message.one.text = "xx"
    message.many.add(text="x")
    message.many.add().inner.inner.text = "xx"
    assert [path for path, _ in violations(message)] == ["one.text", "many[1].inner.inner.text"]


def test_a_required_message_and_its_size() -> None:
    cls = message_class(field("one", MESSAGE, type_name="{package}.Part", required=True, max_bytes=4), nested=_part())
    assert violations(cls()) == [("one", "must be set")]
    message = cls()
    message.one.text = "long text"
    assert violations(message) == [("one", "must be at most 4 bytes")]


def test_maps_bound_their_values() -> None:
    entry = DescriptorProto(name="FEntry")
    entry.options.map_entry = True
    entry.field.extend([field("key", STRING), field("value", STRING)])
    for number, proto in enumerate(entry.field, start=1):
        proto.number = number
    package = f"t2m.test.map{next(_numbers)}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3", dependency=["t2m/common/v1/options.proto"]
    )
    subject = file.message_type.add(name="Subject")
    subject.nested_type.append(entry)
    proto = field("f", MESSAGE, repeated=True, max_items=2, max_len=1, type_name=f".{package}.Subject.FEntry")
    proto.number = 1
    subject.field.append(proto)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Subject"))
    assert violations(cls(f={"a": "x", "b": "xx"})) == [('f["b"]', "must have at most 1 character")]
    assert violations(cls(f={"a": "", "b": "", "c": ""})) == [("f", "must have at most 2 items")]


def test_a_message_without_rules_compiles_to_nothing() -> None:
    cls = message_class(field("one", MESSAGE, type_name="{package}.Part"), nested=_part())
    assert Validator().compile(cls.DESCRIPTOR) is None


NONSENSE = [
    ("pattern that does not compile", field("f", STRING, pattern="[")),
    ("unknown format", field("f", STRING, format="iban")),
    ("length of a number", field("f", INT32, max_len=3)),
    ("bound of a string", field("f", STRING, gte=1)),
    ("items of a scalar", field("f", STRING, max_items=1)),
    ("known values of a string", field("f", STRING, defined_only=True)),
    ("bytes of a string", field("f", STRING, max_bytes=1)),
    ("choices of a number", field("f", INT32, in_=["1"])),
    ("rule on a bool", field("f", BOOL, gte=1)),
]


@pytest.mark.parametrize("proto", [case[1] for case in NONSENSE], ids=[case[0] for case in NONSENSE])
def test_a_rule_that_makes_no_sense_is_refused_when_compiled(proto: FDP) -> None:
    with pytest.raises(ContractError, match=r"Subject\.f: "):
        Validator().compile(message_class(proto).DESCRIPTOR)
