"""An issuer's public keys: fetched when needed, renewed beside the calls, kept while the issuer is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, cast

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, RSAKey, import_key

from services.auth.adapters.oidc.issuer import OidcIssuer, check_url

MIN_INTERVAL_S = 10.0
"""A token that names an unknown key makes us ask the issuer, at most this often: forged key ids are free."""
RENEW_AFTER_S = 300.0
KEEP_FOR_S = 86_400.0
"""How long keys serve without the issuer having confirmed them."""
_TIMEOUT_S = 5.0
_ANSWER_MAX = 256 * 1024
_KEYS_MAX = 50
_RSA_BITS_MIN = 2048

_log = structlog.get_logger(__name__)


class IssuerKeys:
    """The keys of one issuer by key id."""

    def __init__(
        self,
        issuer: OidcIssuer,
        http: httpx.AsyncClient,
        *,
        min_interval_s: float = MIN_INTERVAL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._http = http
        self._min_interval_s = min_interval_s
        self._monotonic = monotonic
        self._keys: dict[str, Key] = {}
        self._jwks_url = issuer.jwks_url
        self._asked_at = self._learnt_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def known(self) -> bool:
        """Whether there are keys to check with."""
        return bool(self._keys) and self._monotonic() - self._learnt_at < KEEP_FOR_S

    async def find(self, kid: str) -> Key | None:
        """The key; an unknown one makes one request to the issuer, unless there was one a moment ago."""
        if not self.known or kid not in self._keys:
            await self._ask(self._min_interval_s)
        return self._keys.get(kid) if self.known else None

    async def renew(self) -> None:
        """Learn what has changed, if it is time for that."""
        await self._ask(RENEW_AFTER_S if self._keys else self._min_interval_s)

    async def _ask(self, interval_s: float) -> None:
        async with self._lock:  # whoever comes meanwhile waits for this answer and does not ask again
            if self._monotonic() - self._asked_at < interval_s:
                return
            self._asked_at = self._monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    self._keys = _usable(await self._document(await self._where()))
                self._learnt_at = self._monotonic()
            except (httpx.HTTPError, ValueError, TimeoutError) as exc:
                reason = f"{type(exc).__name__}: {exc}"
                _log.warning("keys not fetched", issuer=self._issuer.issuer, known=len(self._keys), reason=reason)

    async def _where(self) -> str:
        if not self._jwks_url:
            base = self._issuer.issuer.rstrip("/")
            found = await self._document(f"{base}/.well-known/openid-configuration")
            if found.get("issuer") != self._issuer.issuer:
                raise ValueError("the discovery document is another issuer's")
            url = found.get("jwks_uri")
            if not isinstance(url, str):
                raise ValueError("the discovery document names no jwks_uri")
            check_url(url, allow_loopback=self._issuer.allow_loopback)
            self._jwks_url = url
        return self._jwks_url

    async def _document(self, url: str) -> dict[str, Any]:
        # A redirect is an answer like any other, and not one with keys in it.
        async with self._http.stream("GET", url, headers={"accept": "application/json"}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"{url} answered {answer.status_code}")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _ANSWER_MAX:
                    raise ValueError(f"{url} answered with more than {_ANSWER_MAX} bytes")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError(f"{url} answered with something else than a JSON object")  # noqa: TRY004
        return document


def new_http_client(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client that follows nobody."""
    limits = httpx.Limits(max_connections=10, max_keepalive_connections=2)
    return httpx.AsyncClient(follow_redirects=False, timeout=_TIMEOUT_S, limits=limits, transport=transport)


def _usable(document: dict[str, Any]) -> dict[str, Key]:
    """The public signature keys by id; others are left out. Raises ValueError when there is none."""
    found: dict[str, Key] = {}
    entries = document.get("keys")
    for entry in entries[:_KEYS_MAX] if isinstance(entries, list) else []:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str) or not kid or kid in found or entry.get("use", "sig") != "sig":
            continue
        try:
            key = import_key(cast("dict[str, Any]", entry))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if _is_good(key):
            found[kid] = key
    if not found:
        raise ValueError("no usable key in the answer")
    return found


def _is_good(key: Key) -> bool:
    if key.key_type not in ("RSA", "EC", "OKP") or key.is_private:
        return False
    return not isinstance(key, RSAKey) or key.raw_value.key_size >= _RSA_BITS_MIN
