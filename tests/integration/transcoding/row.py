"""What a row of the comparison is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Outcome = tuple[int, Any]
"""Status, and what came of the request: see `bound`, `shown` and `sent`; None for an error or no content."""

JSON = "application/json"


@dataclass(frozen=True)
class Row:
    """A request, and what the gateway and Envoy make of it."""

    name: str
    request: str
    """Method and target, as they stand on the wire."""
    here: Outcome
    envoy: Outcome
    why: str
    """Key into DIFFERENCES; empty where both do the same."""
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    looks_at: str = ""
    """A header of the answer, or a path into its JSON (`values.x`), that is compared in place of the whole answer."""


def row(
    name: str,
    request: str,
    here: Outcome | int,
    *,
    envoy: Outcome | int | None = None,
    why: str = "",
    body: object = None,
    media: str = JSON,
    headers: dict[str, str] | None = None,
    looks_at: str = "",
) -> Row:
    """A row; `body` is sent as it is when it is bytes, else as JSON. `envoy` is the same unless it is said."""
    ours = _outcome(here)
    sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    given = {**({} if sent is None else {"content-type": media}), **(headers or {})}
    return Row(name, request, ours, ours if envoy is None else _outcome(envoy), why, sent, given, looks_at)


def _outcome(value: Outcome | int) -> Outcome:
    return (value, None) if isinstance(value, int) else value


def bound(rpc: str, **fields: object) -> Outcome:
    """200: the service got this message of this rpc; fields in proto3 JSON, by their proto names."""
    return 200, (rpc, fields)


def shown(**fields: object) -> Outcome:
    """200: the answer in JSON, less what the answer to an empty dish has."""
    return 200, fields


def sent(content_type: str, text: str) -> Outcome:
    """200: bytes of another type than JSON."""
    return 200, (content_type, text)
