"""Swagger UI (`/docs/swagger`, to try calls) and ReDoc (`/docs/redoc`, to read), from a package's files, offline.

Their scripts are let in by a nonce of each answer, not by their origin: what users upload is served from it, too.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.resources
import secrets
import zlib
from collections.abc import Mapping
from string import Template

from gateway.content_coding import accepts_gzip
from gateway.http import Header, Request
from gateway.transcoder import Endpoint

_FOREVER = b"public, max-age=31536000, immutable"
_SCRIPT, _STYLE = b"text/javascript; charset=utf-8", b"text/css; charset=utf-8"
_GZIP_BITS = 31


class Asset:
    """A file of the package under an address that changes with its bytes, so that a browser keeps it for good."""

    def __init__(self, source: str, name: str, content_type: bytes) -> None:
        self._body = importlib.resources.files("offapi").joinpath(source).read_bytes()
        self._type = content_type
        self._packed: bytes | None = None
        self.path = f"/docs/assets/{hashlib.sha256(self._body).hexdigest()[:16]}/{name}"

    async def __call__(self, request: Request, _variables: dict[str, str], /) -> None:
        """The bytes. They are packed once, for the first who can unpack them, and not on the event loop."""
        headers: list[Header] = [(b"cache-control", _FOREVER), (b"vary", b"accept-encoding")]
        body = self._body
        if accepts_gzip(request.header(b"accept-encoding")):
            if self._packed is None:
                self._packed = await asyncio.to_thread(zlib.compress, self._body, 6, _GZIP_BITS)
            body = self._packed
            headers.append((b"content-encoding", b"gzip"))
        headers += [(b"content-type", self._type), (b"content-length", str(len(body)).encode())]
        await request.send({"type": "http.response.start", "status": 200, "headers": headers})
        await request.send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


class Viewer:
    """A page whose scripts and styles carry the nonce of the answer."""

    def __init__(self, source: str, policy: str, assets: Mapping[str, Asset]) -> None:
        text = importlib.resources.files("gateway.openapi").joinpath(source).read_text(encoding="utf-8")
        self._page = Template(Template(text).safe_substitute({name: asset.path for name, asset in assets.items()}))
        self._policy = Template(policy)

    async def __call__(self, request: Request, _variables: dict[str, str], /) -> None:
        """The page, new each time."""
        request.state["policy"] = "own"
        nonce = secrets.token_urlsafe(18)
        headers: list[Header] = [
            (b"content-security-policy", self._policy.substitute(nonce=nonce).encode()),
            (b"cache-control", b"no-store"),
        ]
        body = self._page.safe_substitute(nonce=nonce).encode()
        await request.respond(200, body, headers, b"text/html; charset=utf-8")


_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
    "img-src 'self' data:; font-src data:; style-src 'nonce-$nonce'; script-src 'nonce-$nonce'{}"
)
_SWAGGER = _POLICY.format("")
_REDOC = _POLICY.format(" 'strict-dynamic'")
"""A module, which loads itself as one."""


@functools.cache
def viewers() -> Mapping[str, Endpoint]:
    """Path → endpoint: the pages and the files that they load."""
    bundle = Asset("swagger_bundle.js", "swagger-ui.js", _SCRIPT)
    style = Asset("swagger_style.css", "swagger-ui.css", _STYLE)
    redoc = Asset("redoc.js", "redoc.js", _SCRIPT)
    return {
        "/docs/swagger": Viewer("swagger.html", _SWAGGER, {"bundle": bundle, "style": style}),
        "/docs/redoc": Viewer("redoc.html", _REDOC, {"bundle": redoc}),
        **{asset.path: asset for asset in (bundle, style, redoc)},
    }
