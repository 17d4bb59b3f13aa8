"""The deliberate differences to Envoy, each with its reason."""

from __future__ import annotations

ERROR_BODY = "error body"
"""The one that every pair of errors has."""

DIFFERENCES = {
    ERROR_BODY: (
        "Errors of every kind have one JSON form (O6); Envoy answers its own in text and those of services as "
        "`google.rpc.Status`."
    ),
    "422": (
        "What can be read but is not right is 422, with every bad field by its path (O6); Envoy says 400 of the first."
    ),
    "codes": (
        "FAILED_PRECONDITION is a conflict (409), INVALID_ARGUMENT and OUT_OF_RANGE are 422 (O6), and a call that "
        "the service cancels is 503, to be tried again; Envoy knows 400 and nginx's 499."
    ),
    "405": "A path that other methods have is 405 with `Allow` (RFC 9110 section 15.5.6), not 404.",
    "HEAD, OPTIONS": (
        "HEAD is GET without content, OPTIONS says what is allowed (RFC 9110 section 9.3); Envoy has only what the "
        "contract names."
    ),
    "trailing slash": "`/a/` is another resource than `/a`: each has one URL. Envoy drops empty segments at the end.",
    "escaped letters": (
        "`%73` is `s` in every part of a path (RFC 3986 section 6.2.2.2), so one URL never leads to two routes; "
        "Envoy compares literals with what was sent."
    ),
    "UTF-8": "What is no UTF-8 is refused here (400); Envoy passes it on, and the service breaks on it.",
    "enum labels": "Enums are `red` for `DISH_COLOUR_RED`; the full name and the number are understood, too.",
    "open enums": (
        "A number that this build has no name for is passed on in the query, too, as proto3 JSON does it in bodies; "
        "Envoy does it there only."
    ),
    "int64": "64-bit integers are numbers in answers; Envoy writes strings, as proto3 JSON has it. Both read both.",
    "mask": "A FieldMask has the fields' names as they are in the proto; Envoy writes camelCase and reads both.",
    "json_name": "An explicit `json_name` is the name; told to keep the proto's names, Envoy keeps them here, too.",
    "one name": "A field has one name; Envoy reads its proto name, camelCase and `json_name` all alike.",
    "unknown": "A field that the message does not have is refused with its path; Envoy drops it silently.",
    "lenient": (
        "JSON and its types are taken by the letter; Envoy reads single quotes, bare keys, commas at the end, line "
        "breaks in text, a value for a list, text for a boolean, null for an item, a digit in quotes for an enum, "
        "spaces in base64, and well-known types as the messages that they are."
    ),
    "numbers": "A number in text is one of JSON, or of an integer its digits; Envoy takes `+5`, `.5` and `5.`, too.",
    "key twice": (
        "Of a name that an object has twice the last counts, everywhere: JSON is read once, here, so no two parsers "
        "can disagree. Envoy refuses it in maps and Structs."
    ),
    "leap second": "protobuf's Timestamp has none; Envoy moves it into the next minute.",
    "metadata": "Headers become metadata, and metadata headers, by a list; with Envoy all do.",
    "gRPC": "Who speaks gRPC speaks to the services; Envoy passes it on.",
    "booleans": (
        "`true` and `false` are booleans in text, as in JSON; Envoy takes `1` and `TRUE`, too, any word for a map "
        "key, and drops a parameter without a value."
    ),
    "once": (
        "What can be given once is refused when it comes twice: in the query, in the query beside the path, in the "
        "body beside the path. Envoy takes the last, or one that says the same; of path and query the query."
    ),
    "no body": "A rpc without `body` has none (http.proto, rule 3); Envoy reads it as if it had `*`.",
    "body and query": (
        "Beside `*`, and for fields of the body, there is no query (http.proto, rules 1 and 2); Envoy merges."
    ),
    "media type": (
        "A body that does not call itself JSON in UTF-8 is 415: a form of another site never gets in. Envoy does "
        "not look."
    ),
    "query leaves": (
        "A query gives scalars, enums, their lists and messages with a text form; Envoy also the inside of a "
        "repeated message (http.proto forbids it), of a wrapper, and a Value as a string."
    ),
    "mask of PATCH": "A PATCH without a mask has it filled with the fields that its body names, as with grpc-gateway.",
    "nothing sent": "Without a body the field that it would be is not set; Envoy sets it to an empty message.",
    "response_body": "Any field may be the answer; Envoy does not start with one that is no HttpBody.",
    "shortest float": (
        "A 32-bit float has the fewest digits that read back as the same, and is read so; Envoy has one more for the "
        "largest, and refuses the shorter form."
    ),
    "RFC 3339": "`t` and `z` may be lower-case (RFC 3339 section 5.6).",
    "timeout": "A `Grpc-Timeout` that is none is refused here; Envoy passes it on, and the service fails.",
}
