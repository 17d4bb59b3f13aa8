"""Serves the document and the page that shows it. The page is our own: no CDN, works offline, strict CSP."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import re
from collections.abc import Iterable

import orjson

from gateway.catalog import Rpc
from gateway.http import JSON_TYPE, Header, Request
from gateway.openapi.comments import load_comments
from gateway.openapi.document import build_document
from gateway.openapi.own import PROBES, OwnOperation
from gateway.openapi.published import PUBLISHED, json_schema
from gateway.transcoder import Endpoint

SCHEMA_TYPE = b"application/schema+json"


class _Document:
    """A JSON document that is built once, cacheable by ETag, for every origin."""

    def __init__(self, body: bytes, content_type: bytes = JSON_TYPE) -> None:
        self._body, self._type = body, content_type

    async def __call__(self, request: Request, _variables: dict[str, str], /) -> None:
        headers: list[Header] = [(b"access-control-allow-origin", b"*")]
        await request.respond_tagged(self._body, b"no-cache", headers, self._type)


class OpenApiPages:
    """`/openapi.json`, `/docs` and `/schemas/…`, all built once."""

    def __init__(self, rpcs: Iterable[Rpc], own: Iterable[OwnOperation] = ()) -> None:
        """`own`: what the gateway answers itself, beside its probes."""
        comments = load_comments()
        self.document = _Document(orjson.dumps(build_document(rpcs, comments, (*PROBES, *own))))
        self.schemas: dict[str, Endpoint] = {
            f"/schemas/{name}.json": _Document(orjson.dumps(json_schema(message, comments)), SCHEMA_TYPE)
            for name, message in PUBLISHED.items()
        }
        """Path → endpoint."""
        self._page = importlib.resources.files("gateway.openapi").joinpath("docs.html").read_bytes()
        self._policy = content_policy(self._page)

    async def page(self, request: Request, _variables: dict[str, str], /) -> None:
        """The documentation page."""
        request.state["policy"] = "own"
        headers: list[Header] = [(b"content-security-policy", self._policy)]
        await request.respond_tagged(self._page, b"no-cache", headers, b"text/html; charset=utf-8")


def content_policy(page: bytes) -> bytes:
    """A policy that lets exactly the page's own script and style run."""
    hashes = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(block).digest()).decode()}'"
            for block in re.findall(rb"<%b>(.*?)</%b>" % (tag.encode(), tag.encode()), page, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ).encode()
