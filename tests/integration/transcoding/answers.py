"""Rows about answers: JSON, bytes and errors."""

from __future__ import annotations

from tests.integration.transcoding.row import Outcome, Row, bound, row, sent, shown

_PART = {"@type": "type.googleapis.com/t2m.kitchen.v1.Part", "name": "x", "weight": 0, "parts": []}
_LASTING = {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"}


def show(name: str, body: dict[str, object], here: Outcome, *, envoy: Outcome | None = None, why: str = "") -> Row:
    """A row of the dish that comes back as it is."""
    return row(name, "POST /v1/shown", here, envoy=envoy, why=why, body=body)


def same(name: str, **fields: object) -> Row:
    """A row whose answer is its request."""
    return show(name, fields, shown(**fields))


EMPTY = {
    "text": "", "flag": False, "i32": 0, "i64": 0, "u32": 0, "u64": 0, "s32": 0, "s64": 0, "f32": 0, "f64": 0,
    "sf32": 0, "sf64": 0, "single": 0, "real": 0, "raw": "", "colour": "unspecified", "odd": "none", "texts": [],
    "numbers": [], "colours": [], "many": [], "labels": {}, "by_number": {}, "by_flag": {}, "other-name": "",
    "from": "", "colour_of": {}, "times": [],
}  # fmt: skip
"""The answer to an empty dish; what others have more is what their rows are about."""

EMPTY_OF_ENVOY = {
    **{name: value for name, value in EMPTY.items() if name != "other-name"},
    **dict.fromkeys(("i64", "u64", "s64", "f64", "sf64"), "0"),
    "colour": "DISH_COLOUR_UNSPECIFIED",
    "odd": "NONE",
    "renamed": "",
}  # fmt: skip
"""The same of Envoy: strings for 64 bits, full names of enums, the proto's name for the `json_name`."""

JSON = [
    same("text", text="ü<>&\u2028\0"),
    same("small numbers", i32=-5, u32=4294967295, s32=1, f32=2, sf32=-3),
    same("floats", single=0.1, real=1e300),
    show(
        "the largest float",
        {"single": 3.4028234663852886e38},
        shown(single=3.4028235e38),
        envoy=shown(single=3.40282347e38),
        why="shortest float",
    ),
    same("floats that JSON lacks", single="Infinity", real="NaN"),
    same("bytes", raw="//8="),
    same("messages", nested={"name": "n", "weight": 1, "parts": []}),
    same("an empty message has its zeros", nested={"name": "", "weight": 0, "parts": []}),
    same("presence", maybe="", maybe_number=0),
    same("a oneof that is empty", left=""),
    same("lists", texts=["a", ""], many=[{"name": "x", "weight": 0, "parts": []}]),
    same("maps", labels={"b": "1", "a": "2"}, by_flag={"true": 1.5}),
    same("a map of messages", by_number={"-3": {"name": "x", "weight": 0, "parts": []}}),
    same("the smallest double", real=5e-324),
    same("an empty Struct, an empty list", extra={}, listed=[]),
    same("an empty key", labels={"": ""}),
    same("a large number in a Value", anything=1e20),
    same("a timestamp", at="2030-01-31T12:00:00.500Z"),
    same("a timestamp to the nanosecond", at="1969-12-31T23:59:59.000000001Z"),
    same("a duration", took="-1.500s"),
    same("a Struct", extra={"a": 1, "b": [1.5, None, {"c": True}]}),
    same("a Value of null", anything=None),
    same("a ListValue", listed=[1, "x"]),
    same("wrappers", boxed_text="", boxed_flag=False),
    same("a mask", mask="text,nested.name"),
    show(
        "int64",
        {"i64": "9007199254740993"},
        shown(i64=9007199254740993),
        envoy=shown(i64="9007199254740993"),
        why="int64",
    ),
    show("a list of int64", {"numbers": [1]}, shown(numbers=[1]), envoy=shown(numbers=["1"]), why="int64"),
    show("a wrapped int64", {"boxed_number": 0}, shown(boxed_number=0), envoy=shown(boxed_number="0"), why="int64"),
    show("an enum", {"colour": 1}, shown(colour="red"), envoy=shown(colour="DISH_COLOUR_RED"), why="enum labels"),
    show(
        "an enum without a prefix",
        {"odd": 1},
        shown(odd="some_thing"),
        envoy=shown(odd="SOME_THING"),
        why="enum labels",
    ),
    same("an enum's unknown number", colour=77),
    show("a json_name", {"other-name": "x"}, shown(**{"other-name": "x"}), envoy=shown(renamed="x"), why="json_name"),
    show(
        "a mask with an underscore",
        {"mask": "maybe_number"},
        shown(mask="maybe_number"),
        envoy=shown(mask="maybeNumber"),
        why="mask",
    ),
    row("nothing", "GET /v1/shown/nothing", shown()),
    row("an Any", "POST /v1/shown/parcel", shown(content=_PART), body={"content": _PART}),
    row("an Any of a well-known type", "POST /v1/shown/parcel", shown(content=_LASTING), body={"content": _LASTING}),
    row(
        "a field is the answer",
        "POST /v1/shown/dish",
        shown(text="x"),
        envoy=shown(dish={**EMPTY_OF_ENVOY, "text": "x"}),
        why="response_body",
        body={"text": "x"},
    ),
    row(
        "a list is the answer",
        "POST /v1/shown/texts",
        (200, ["x"]),
        envoy=shown(dish={**EMPTY_OF_ENVOY, "texts": ["x"]}, texts=["x"]),
        why="response_body",
        body={"texts": ["x"]},
    ),
    row("an HttpBody", "GET /v1/shown/file?text=a,b", sent("text/csv", "a,b")),
    row("an HttpBody of a POST", "POST /v1/shown/file", sent("text/csv", "a,b"), body={"text": "a,b"}),
    row("an HttpBody in a field", "GET /v1/shown/wrapped-file?text=a,b", sent("text/csv", "a,b")),
]

_STATUS = {1: 503, 2: 500, 3: 422, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 409, 10: 409, 11: 422, 12: 501, 13: 500,
           14: 503, 15: 500, 16: 401}  # fmt: skip
_STATUS_OF_ENVOY = {**_STATUS, 1: 499, 3: 400, 9: 400, 11: 400}

ERRORS = [
    *(
        row(
            f"code {code}",
            f"GET /v1/failures/{code}",
            status,
            envoy=_STATUS_OF_ENVOY[code],
            why="" if status == _STATUS_OF_ENVOY[code] else "codes",
        )
        for code, status in _STATUS.items()
    ),
    row("the client's deadline", "GET /v1/waiting", 504, headers={"grpc-timeout": "50m"}),
    row("a long deadline", "GET /v1/dishes/soup", bound("Get", text="soup"), headers={"grpc-timeout": "1H"}),
    # The last: it breaks what Envoy and the service remember of the header on their connection.
    row("no deadline", "GET /v1/waiting", 422, envoy=500, why="timeout", headers={"grpc-timeout": "soon"}),
]

METADATA = [
    row("what may be read", "GET /v1/shown/metadata", (200, "7"), looks_at="retry-after"),
    row(
        "what may not",
        "GET /v1/shown/metadata",
        (200, None),
        envoy=(200, "secret"),
        why="metadata",
        looks_at="x-internal-hint",
    ),
    row("gRPC's own", "GET /v1/shown/metadata", (200, None), envoy=(200, "0"), why="metadata", looks_at="grpc-status"),
    row(
        "what may be sent",
        "GET /v1/shown/metadata",
        (200, "de"),
        headers={"accept-language": "de"},
        looks_at="values.accept-language",
    ),
    row(
        "what may not be sent",
        "GET /v1/shown/metadata",
        (200, None),
        envoy=(200, "root"),
        why="metadata",
        headers={"x-t2m-user": "root"},
        looks_at="values.x-t2m-user",
    ),
    row(
        "what may not be sent, as grpc-gateway has it",
        "GET /v1/shown/metadata",
        (200, None),
        headers={"grpc-metadata-role": "admin"},
        looks_at="values.role",
    ),
    row(
        "another's address",
        "GET /v1/shown/metadata",
        (200, "127.0.0.1"),
        envoy=(200, "1.2.3.4"),
        why="metadata",
        headers={"x-client-address": "1.2.3.4"},
        looks_at="values.x-client-address",
    ),
    row("the type of JSON", "GET /v1/shown/nothing", (200, "application/json"), looks_at="content-type"),
]
