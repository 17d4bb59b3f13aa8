"""Swagger UI and ReDoc, as they are served (O8, O7)."""

from __future__ import annotations

import re
import zlib
from typing import Any

import pytest

from gateway.http import Request
from gateway.openapi.viewers import viewers

PAGES = viewers()


async def answer(path: str, method: str = "GET", **headers: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of a 200."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    unused: Any = None  # Nothing is received.
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw, "state": {}}
    await PAGES[path](Request(scope, unused, send), {})
    assert sent[0]["status"] == 200
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return found, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("path", ["/docs/swagger", "/docs/redoc"])
async def test_O7_O8_a_page_lets_only_its_own_scripts_run(path: str) -> None:
    """O7, O8: those that carry the nonce of this very answer; nothing is taken from another origin."""
    nonces = set()
    for _ in range(2):
        headers, body = await answer(path)
        policy, page = headers["content-security-policy"], body.decode()
        (nonce,) = set(re.findall("'nonce-([^']+)'", policy))
        nonces.add(nonce)
        tags = re.findall("<(?:script|style|link rel=.stylesheet.)[^>]*>", page)
        assert tags
        assert all(f'nonce="{nonce}"' in tag for tag in tags)
        assert "unsafe" not in policy
        assert "script-src 'self'" not in policy
        assert "https:" not in page + policy
        assert "$" not in page.replace("${", ""), "every place was filled in"
        assert headers["cache-control"] == "no-store"
    assert len(nonces) == 2


async def test_O8_the_files_of_a_page_are_there_and_kept_for_good() -> None:
    """O8: under addresses that change with their bytes; packed for who can unpack."""
    _, page = await answer("/docs/swagger")
    loaded = re.findall('(?:src|href)="(/docs/assets/[^"]+)"', page.decode())
    assert len(loaded) == 2
    for path in loaded:
        headers, body = await answer(path)
        packed_headers, packed = await answer(path, accept_encoding="gzip")
        assert "immutable" in headers["cache-control"]
        assert packed_headers["content-encoding"] == "gzip"
        assert zlib.decompress(packed, 31) == body
        assert len(packed) == int(packed_headers["content-length"]) < len(body) / 2
        assert (await answer(path, method="HEAD"))[1] == b""
