"""An issuer of OpenID Connect tokens on this machine: real RSA keys, real signatures, keys and discovery over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey

JWKS, DISCOVERY = "/.well-known/jwks.json", "/.well-known/openid-configuration"
APP = "https://app.example"
"""The origin of the one application that is known here."""


@cache
def rsa_key(kid: str) -> RSAKey:
    """A 2048-bit key; made once for each name, since that takes a tenth of a second."""
    return RSAKey.generate_key(2048, parameters={"kid": kid})


@cache
def ec_key(kid: str) -> ECKey:
    """A P-256 key."""
    return ECKey.generate_key("P-256", parameters={"kid": kid})


class OidcIssuer:
    """What it publishes, how it answers, and how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[Key] = [rsa_key("ins_1")]
        self.asked: Counter[str] = Counter()
        """Requests by path."""
        self.away = False
        """Connections are closed without an answer."""
        self.answers: dict[str, bytes] = {}
        """Raw HTTP answers that take the place of the usual ones, by path."""

    @property
    def key(self) -> Key:
        """The key that signs."""
        return self.keys[0]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What Clerk says by default about somebody, with changes; None leaves a claim out."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "sub": "user_ada",
            "sid": "sess_1",
            "azp": APP,
            "iat": now,
            "nbf": now - 10,
            "exp": now + 60,
            "fva": [3, -1],
            "v": 2,
        }
        return {name: value for name, value in {**usual, **changes}.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], *, key: Key | None = None, **header: Any) -> str:
        """A genuine signature over these claims."""
        return self.sign_bytes(json.dumps(claims).encode(), key=key, **header)

    def sign_bytes(self, payload: bytes, *, key: Key | None = None, **header: Any) -> str:
        """A genuine signature over anything; None leaves a member of the header out."""
        key = key or self.key
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        whole = {"alg": algorithm, "kid": key.kid, "typ": "JWT", "cat": "cl_B7d4PD111AAA", **header}
        whole = {name: value for name, value in whole.items() if value is not None}
        # Without the library's checks of the header: a bad one has to be signed like a good one.
        message = f"{part(whole)}.{part(payload)}"
        return f"{message}.{part(jws.JWSRegistry.algorithms[algorithm].sign(message.encode(), key))}"

    def token(self, **changes: Any) -> str:
        """A token of somebody, with changes of its claims."""
        return self.sign(self.claims(**changes))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one answer."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            self.asked[path] += 1
            if not self.away:
                writer.write(self.answers.get(path) or self._answer(path))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone
        finally:
            writer.close()

    def _answer(self, path: str) -> bytes:
        if path == JWKS:
            return http_json({"keys": [{**key.as_dict(private=False), "use": "sig"} for key in self.keys]})
        if path == DISCOVERY:
            return http_json({"issuer": self.url, "jwks_uri": self.url + JWKS})
        return http_answer("404 Not Found", b"")


@asynccontextmanager
async def serving() -> AsyncIterator[OidcIssuer]:
    """An issuer that listens on a free port."""
    issuer = OidcIssuer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    issuer.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    async with server:
        yield issuer


def http_json(document: Mapping[str, Any]) -> bytes:
    """An answer with a JSON document."""
    return http_answer("200 OK", json.dumps(document).encode(), "content-type: application/json")


def http_answer(status: str, body: bytes, *headers: str) -> bytes:
    """An answer after which the connection ends."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def part(content: Mapping[str, Any] | bytes) -> str:
    """One part of a compact token, of a JSON object or of bytes as they are."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
