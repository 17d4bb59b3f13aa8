"""What an operation's answer is when it fails: statuses and reasons, from the comments of its rpc (O6).

An rpc's comment says its errors as `CODE (REASON) when …`; the service's comment says what every method may fail with.
The same tables as at run time (`errors.BY_CODE`, `errors.BY_REASON`) make statuses of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.catalog import HttpBinding, Rpc
from gateway.errors import BY_CODE, BY_REASON
from gateway.openapi.headers import LIMIT_HEADERS, REQUEST_ID_HEADERS, RETRY_HEADERS
from t2m.common.v1 import error_reason_pb2

JSON = "application/json"
_PREFIX = "ERROR_REASON_"
REASONS = tuple(
    name.removeprefix(_PREFIX)
    for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
    if not name.endswith("_UNSPECIFIED")
)

_CODES = {code.name: (status, error_code, reason) for code, (status, error_code, reason) in BY_CODE.items()}
_CODES["DATA_LOSS"] = (500, "INTERNAL_ERROR", "CHECKSUM_MISMATCH")
_WORD = re.compile(r"\b[A-Z][A-Z_]{5,}\b")
_WITH_FIELD = re.compile(r"Methods with a `(\w+)` fail with ([^.]*)")
_CODE_AND_REASON = re.compile(r"\b[A-Z_]{6,} \(([A-Z_]{6,})\)")
_AS_ANOTHER = re.compile(r"\bas (?:with )?`?([A-Z][a-z]\w+)`?")

BASE: Mapping[int, tuple[str, str, tuple[str, ...]]] = {
    400: ("The request could not be read: malformed JSON, bad encoding.", "MALFORMED_REQUEST", ("MALFORMED_REQUEST",)),
    401: (
        "No credential, or one that does not work (any more).",
        "UNAUTHENTICATED",
        ("CREDENTIAL_MISSING", "CREDENTIAL_INVALID", "CREDENTIAL_EXPIRED"),
    ),
    403: ("The caller may not do this.", "PERMISSION_DENIED", ("PERMISSION_DENIED", "CSRF_REFUSED")),
    404: ("No such resource, or it belongs to somebody else.", "NOT_FOUND", ("NOT_FOUND",)),
    408: ("The body did not arrive in time.", "REQUEST_TIMEOUT", ("REQUEST_TOO_SLOW",)),
    409: ("The state of the resource, or an earlier request, stands against it.", "CONFLICT", ()),
    410: ("The position is older than what is kept.", "POSITION_EXPIRED", ("POSITION_EXPIRED",)),
    413: ("The body is too large.", "REQUEST_TOO_LARGE", ("REQUEST_TOO_LARGE",)),
    415: ("The body is of a type that is not accepted here.", "UNSUPPORTED_MEDIA_TYPE", ("MALFORMED_REQUEST",)),
    416: (
        "The range does not fit the object; `Content-Range` says its size.",
        "RANGE_NOT_SATISFIABLE",
        ("RANGE_NOT_SATISFIABLE",),
    ),
    422: (
        "Fields are missing, unknown or out of bounds; `details.violations` lists them all.",
        "VALIDATION_ERROR",
        ("VALIDATION_FAILED",),
    ),
    429: ("Too many requests; `Retry-After` says when to come back.", "RATE_LIMIT_EXCEEDED", ("RATE_LIMITED",)),
    500: ("A fault of ours; the request id finds it in the logs.", "INTERNAL_ERROR", ("INTERNAL",)),
    503: (
        "A service is away for the moment; retry after `Retry-After` seconds.",
        "SERVICE_UNAVAILABLE",
        ("UNAVAILABLE",),
    ),
    504: ("It took longer than it may.", "DEADLINE_EXCEEDED", ("DEADLINE_EXCEEDED",)),
}
"""Status → what it means, `error_code`, and the reasons that every operation has it for."""

_STATUS_HEADERS: Mapping[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {
            "schema": {"type": "string"},
            "required": True,
            "description": "`Bearer`, and why it was refused (RFC 6750).",
        }
    },
    416: {"Content-Range": {"schema": {"type": "string"}, "required": True, "description": "`bytes */` and the size."}},
    429: {**RETRY_HEADERS, **LIMIT_HEADERS},
    503: RETRY_HEADERS,
}


@dataclass
class Failure:
    """One status of an operation."""

    reasons: dict[str, None] = field(default_factory=dict)
    """In the order of the comments; a set with an order."""
    clauses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Said:
    """One mention of a code in a comment."""

    code: str
    reasons: tuple[str, ...]
    clause: str


class Failures:
    """Makes the failing answers of operations, and the components that they refer to."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments

    def components(self) -> dict[str, Any]:
        """`components.responses`: each status as most operations have it."""
        return {
            f"Error{status}": self._response(status, reasons or ("STATE_CONFLICT",), ())
            for status, (_, _, reasons) in BASE.items()
        }

    def of(self, rpc: Rpc, binding: HttpBinding) -> dict[str, Any]:
        """Status → response of an operation."""
        found = {status: Failure(dict.fromkeys(BASE[status][2])) for status in _always(rpc, binding)}
        for said in self._said(rpc):
            for reason in said.reasons:
                status = BY_REASON.get(reason, _CODES[said.code][:1])[0]
                failure = found.setdefault(status, Failure())
                failure.reasons[reason] = None
                if said.clause and said.clause not in failure.clauses:
                    failure.clauses.append(said.clause)
        return {
            str(status): self._reference(status, failure) for status, failure in sorted(found.items()) if status in BASE
        }

    def _reference(self, status: int, failure: Failure) -> dict[str, Any]:
        if not failure.clauses and (tuple(failure.reasons) == BASE[status][2]):
            return {"$ref": f"#/components/responses/Error{status}"}
        return self._response(status, tuple(failure.reasons), tuple(failure.clauses))

    def _response(self, status: int, reasons: tuple[str, ...], clauses: tuple[str, ...]) -> dict[str, Any]:
        text, error_code, _ = BASE[status]
        details = {"properties": {"reason": {"enum": [*reasons]}}}
        narrowed = {"properties": {"error": {"properties": {"details": details}}}}
        return {
            "description": "\n- ".join([text, *clauses]) if clauses else text,
            "headers": {**REQUEST_ID_HEADERS, **_STATUS_HEADERS.get(status, {})},
            "content": {
                JSON: {
                    "schema": {"allOf": [{"$ref": "#/components/schemas/Error"}, narrowed]},
                    "examples": {reason: self._example(status, error_code, reason) for reason in reasons},
                }
            },
        }

    def _example(self, status: int, error_code: str, reason: str) -> dict[str, Any]:
        meaning = self._comments.get(f"t2m.common.v1.ErrorReason.{_PREFIX}{reason}", reason)
        text = meaning.partition(": ")[2] or meaning
        message = re.split(r"[;.,:] ", text)[0].rstrip(".")
        details: dict[str, Any] = {"reason": reason}
        if reason == "VALIDATION_FAILED":
            message = "topic: must not be empty"
            details["violations"] = [{"field": "topic", "message": "must not be empty"}]
        if status in (429, 503):
            details["retry_after_seconds"] = 2
        return {
            "summary": text,
            "value": {
                "error": {
                    "message": message,
                    "error_code": BY_REASON.get(reason, (0, error_code))[1],
                    "details": details,
                    "timestamp": "2026-01-31T12:00:00.000Z",
                    "path": "/api/v1/…",
                    "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                }
            },
        }

    def _said(self, rpc: Rpc) -> Iterator[_Said]:
        service = rpc.descriptor.containing_service
        for text in _of_every_method(self._comments.get(service.full_name, ""), rpc):
            for said in _mentions(text):
                if not (rpc.public and said.code in ("UNAUTHENTICATED", "PERMISSION_DENIED")):
                    # What every method fails with is said by the status itself.
                    yield _Said(said.code, said.reasons, "")
        yield from self._errors(service.full_name, rpc.descriptor.name, frozenset())

    def _errors(self, service: str, method: str, seen: frozenset[str]) -> Iterator[_Said]:
        """What a method's own comment says, and where it says `as OtherMethod`, what that one's does."""
        text = self._comments.get(f"{service}.{method}", "").partition("Errors:")[2].partition("\n")[0]
        for clause in re.split(r"; |\. ", text):
            own = list(_mentions(clause))
            yield from own
            other = _AS_ANOTHER.search(clause)
            if other is not None and other[1] not in seen:
                codes = {said.code for said in own}
                for said in self._errors(service, other[1], seen | {method}):
                    if not codes or said.code in codes:
                        yield said


def _of_every_method(comment: str, rpc: Rpc) -> Iterator[str]:
    """What a service's comment says of all its methods, and of those that have a certain field."""
    yield re.split(r"[;.] ", comment.partition("Every method may fail with ")[2])[0]
    for field_name, text in _WITH_FIELD.findall(comment):
        if field_name in rpc.input.fields_by_name:
            yield text


def _mentions(text: str) -> Iterator[_Said]:
    """The codes in a text with their reasons. A reason that is no code's name belongs to the code before it."""
    found: list[tuple[str, list[str]]] = []
    for word in _WORD.findall(text):
        if word in _CODES:
            found.append((word, []))
        elif word in REASONS and found:
            found[-1][1].append(word)
    clause = _CODE_AND_REASON.sub(r"`\1`", text.strip().rstrip("."))
    plain = clause if clause not in _CODES else ""
    for code, reasons in found:
        yield _Said(code, tuple(reasons) or (_CODES[code][2],), plain)


def _always(rpc: Rpc, binding: HttpBinding) -> set[int]:
    statuses = {400, 422, 429, 500, 503, 504}
    if not rpc.public or rpc.extras.session_cookies:
        statuses |= {401, 403}
    if "{" in binding.template:
        statuses.add(404)
    if binding.body or rpc.descriptor.client_streaming:
        statuses |= {408, 413, 415}
    if rpc.extras.file:
        statuses.add(416)
    return statuses


ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The body of every answer that is not a success.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "error_code", "details", "timestamp", "path", "request_id"],
            "properties": {
                "message": {"type": "string", "description": "For people; may be reworded."},
                "error_code": {
                    "type": "string",
                    "description": "The kind of failure; one for each status.",
                    "examples": ["NOT_FOUND"],
                },
                "details": {
                    "type": "object",
                    "required": ["reason"],
                    "properties": {
                        "reason": {"$ref": "#/components/schemas/ErrorReason"},
                        "violations": {
                            "type": "array",
                            "description": "Of a 422: what is wrong, field by field.",
                            "items": {
                                "type": "object",
                                "required": ["field", "message"],
                                "properties": {
                                    "field": {"type": "string", "examples": ["storyboard.scenes[2].equation.math"]},
                                    "message": {"type": "string"},
                                },
                            },
                        },
                        "retry_after_seconds": {
                            "type": "integer",
                            "description": "Of a 429 or 503: when to come back.",
                        },
                    },
                    "additionalProperties": True,
                },
                "timestamp": {"type": "string", "format": "date-time"},
                "path": {"type": "string"},
                "request_id": {"type": "string"},
            },
        }
    },
}


def reason_schema(comments: Mapping[str, str]) -> dict[str, Any]:
    """The schema of `details.reason`."""
    title = comments.get("t2m.common.v1.ErrorReason", "Why a call failed.").partition(":")[0]
    meanings = {reason: comments.get(f"t2m.common.v1.ErrorReason.{_PREFIX}{reason}", "") for reason in REASONS}
    lines = [f"- `{reason}`: {meaning.partition(': ')[2]}" for reason, meaning in meanings.items() if meaning]
    return {"type": "string", "enum": [*REASONS], "description": "\n".join([f"{title}. Branch on this.", *lines])}
