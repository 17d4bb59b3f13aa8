"""The OpenAPI document: what all operations share, and the table of paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from gateway.catalog import Rpc
from gateway.http_rules import compile_template
from gateway.openapi.access import SECURITY_SCHEMES
from gateway.openapi.failures import ERROR_SCHEMA, Failures, reason_schema
from gateway.openapi.headers import HEADERS, PARAMETERS
from gateway.openapi.names import operation_ids, tag_of
from gateway.openapi.operations import Operation
from gateway.openapi.own import PROBES, TAG, OwnOperation
from gateway.openapi.published import exactly_one_of
from gateway.openapi.schemas import SchemaSet
from gateway.openapi.sockets import sockets

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_DESCRIPTION = """\
Turns a topic and a context into an explainer video.

**Calls.** Requests and answers are JSON unless an operation says otherwise. Fields are written as here; an unknown one
is refused with its path. In requests a field that is `null` counts as not sent, an enum may be given by its full name
or number, a 64-bit integer as a string. In answers every field that is not optional is there, also when it is empty.

**Credentials.** `Authorization: Bearer` with the token of a login, `X-API-Key`, or the session cookie of a browser;
with the cookie, whatever changes something needs `X-CSRF-Token`. Never in a URL.

**Errors** have one form, `Error`. Branch on `details.reason`; quote `request_id` when you ask us. Beside what an
operation lists, any may answer 405, 412 (a change with `If-Match`, which nobody here could check), 414 and 431.

**Repeats.** Operations with `Idempotency-Key` do a thing once, however often they are called with the same key: the
first answer is returned again. Retry 503 and 429 after `Retry-After`.

**Pages.** Pass `next_page_token` of a page as `page_token` of the next with all else unchanged; it is empty on the
last.

**Streams** are Server-Sent Events, or lines of JSON for who sends `Accept: application/x-ndjson`. After a break go on
with `Last-Event-ID`: nothing is lost and nothing comes twice. The same events come over WebSockets: `x-websockets`.

**Limits.** Calls count for the class that an operation names (`x-rate-limit-class`), under the limits of the caller's
plan. The `RateLimit` headers say what is left.
"""
_GROUPS = {"job": "Videos", "storage": "Files", "auth": "Accounts", "video_render": "Rendering"}
_FIRST = ("Job", "Storyboard", "Video", "Playback", "Batch", "File", "User", "Session", "ApiKey")
_FAILURES = re.compile(
    r"Every method may fail with [^.;]*(\.[^ ][^.;]*)*(; further errors are listed at the method)?\. ?"
)
"""What services say of all their methods; each operation has it in its answers."""


def build_document(
    rpcs: Iterable[Rpc], comments: Mapping[str, str], own: Iterable[OwnOperation] = PROBES
) -> dict[str, Any]:
    """The whole document: every binding of `rpcs`, and what the gateway answers itself."""
    rpcs, own = list(rpcs), list(own)
    from_headers = {rpc.input.full_name: {bound.field for bound in rpc.extras.headers} for rpc in rpcs}
    schemas = SchemaSet(comments, from_headers, exactly_one_of())
    failures = Failures(comments)
    paths = _paths(rpcs, comments, schemas, failures)
    for page in own:
        paths.setdefault(page.path, {})["get"] = page.build()
    schemas.components |= {"Error": ERROR_SCHEMA, "ErrorReason": reason_schema(comments)}
    groups = _groups(rpcs)
    about = {tag_of(rpc): comments.get(rpc.descriptor.containing_service.full_name, "") for rpc in rpcs}
    tags = {name: about.get(name, "About the gateway itself.") for group in groups for name in group["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "t2m", "version": _version(), "description": _DESCRIPTION},
        "servers": [{"url": "/", "description": "Where this document was found."}],
        "tags": [{"name": name, "description": _FAILURES.sub("", text).strip()} for name, text in tags.items()],
        "x-tagGroups": groups,
        "paths": paths,
        "x-websockets": sockets(rpcs, own, comments),
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "parameters": PARAMETERS,
            "responses": failures.components(),
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _paths(
    rpcs: list[Rpc], comments: Mapping[str, str], schemas: SchemaSet, failures: Failures
) -> dict[str, dict[str, Any]]:
    ids = operation_ids(rpcs)
    paths: dict[str, dict[str, Any]] = {}
    for rpc in rpcs:
        for number, binding in enumerate(rpc.bindings, 1):
            if binding.verb.lower() not in _METHODS:
                continue  # A custom kind is served, and has no place in a path item.
            template = compile_template(binding.template)
            name = ids[rpc.descriptor.full_name] + (str(number) if number > 1 else "")
            operation = Operation(rpc, binding, template, schemas, failures, comments).build(name)
            paths.setdefault(template.openapi_path(), {})[binding.verb.lower()] = operation
    return paths


def _groups(rpcs: Iterable[Rpc]) -> list[dict[str, Any]]:
    """Tags by domain, in the order in which a reader wants them; ReDoc shows them so."""
    found: dict[str, dict[str, None]] = {domain: {} for domain in _GROUPS}
    for rpc in rpcs:
        found.setdefault(rpc.package.split(".")[1], {})[tag_of(rpc)] = None
    order = {name: place for place, name in enumerate(_FIRST)}
    groups = [
        {"name": _GROUPS.get(domain, domain), "tags": sorted(tags, key=lambda name: order.get(name, len(order)))}
        for domain, tags in found.items()
        if tags
    ]
    return [*groups, {"name": TAG, "tags": [TAG]}]


def _version() -> str:
    return metadata.version("t2m")
