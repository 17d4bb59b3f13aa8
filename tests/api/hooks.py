"""What schemathesis is told beside `schemathesis.toml`; loaded by its command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, ServerError
from schemathesis.openapi.checks import RejectedPositiveData

from tests.api.excuses import ISOLATED, excused
from tests.api.leniency import Dialect

JSON = "application/json"
Case = schemathesis.Case[Any]
_NO_KEY_ID = "0" * 16
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_ANY_ITEM = {"topic": "t", "context": "c"}
_UUID = re.compile(r"[0-9a-fA-F-]{36}")


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Lists name them all: but who asks keeps the key to ask with, and nobody else of the stack loses a role."""
    ids, name = case.path_parameters, case.operation.definition.raw["operationId"]
    if name == "revokeApiKey" and ids.get("api_key_id") == os.environ["T2M_OWN_KEY_ID"]:
        ids["api_key_id"] = _NO_KEY_ID
    if name == "updateUserRole" and _UUID.fullmatch(str(ids.get("user_id"))):
        ids["user_id"] = os.environ["T2M_SUBJECT_ID"]


@schemathesis.hook
def filter_failure(
    _context: schemathesis.HookContext, failure: Any, case: Case, response: schemathesis.Response
) -> bool:
    """Whether it is one: not when it was refused for what no schema says, or accepted in another spelling; nor when
    the client did not wait to hear which of the two.
    """
    if isinstance(failure, RejectedPositiveData | AcceptedNegativeData | ServerError) and _out_of_patience(response):
        return False
    if isinstance(failure, RejectedPositiveData):
        return not excused(_json(response))
    if isinstance(failure, AcceptedNegativeData):
        return not _same_in_other_words(case, response)
    return True


def _out_of_patience(response: schemathesis.Response) -> bool:
    """Whether it is 504 for a client that waits less than a second, by its `Grpc-Timeout`."""
    found = _TIMEOUT.fullmatch(str(response.request.headers.get("Grpc-Timeout", "")))
    return response.status_code == 504 and found is not None and int(found[1]) * _SECONDS[found[2]] < 1


def _json(response: schemathesis.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _same_in_other_words(case: Case, response: schemathesis.Response) -> bool:
    """Whether what was really sent is what the document shows, but for the spelling of proto3 JSON."""
    operation = case.operation.definition.raw
    document = case.operation.schema.raw_schema
    dialect = Dialect(document)
    sent = response.request
    query = dict(parse_qsl(urlsplit(str(sent.url)).query, keep_blank_values=True))
    parameters = {(item["name"].lower(), item["in"]): item for item in _parameters(operation, document)}
    for name, value in query.items():
        known = parameters.get((name.lower(), "query"))
        if known is None or not (value == "" or dialect.accepts(known["schema"], value, text=True)):
            return False
    for (name, where), known in parameters.items():
        header = sent.headers.get(name, "") if where == "header" else ""
        text = header.decode("latin-1") if isinstance(header, bytes) else header
        if text and not dialect.accepts(known["schema"], text, text=True):
            return False
    return _body_is_the_same(operation.get("requestBody", {}), case, dialect, sent)


def _body_is_the_same(declared: dict[str, Any], case: Case, dialect: Dialect, sent: Any) -> bool:
    schema = declared.get("content", {}).get(JSON, {}).get("schema")
    if schema is None:
        return True  # The bytes themselves: any will do.
    if not sent.body:
        return not declared.get("required", False)
    return dialect.accepts(schema, _without_isolated(case))


def _without_isolated(case: Case) -> Any:
    """The body without those items of a list that are judged one by one."""
    name, _ = ISOLATED.get(case.operation.definition.raw["operationId"], ("", ""))
    body: Any = case.body
    if not isinstance(body, dict) or not isinstance(body.get(name), list):
        return body
    return {**body, name: [_ANY_ITEM for _ in body[name]]}


def _parameters(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in operation.get("parameters", ()):
        name = item.get("$ref", "").rpartition("/")[2]
        yield document["components"]["parameters"][name] if name else item
