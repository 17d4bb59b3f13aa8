"""Posts to URLs that users chose, and to nothing inside the deployment (SSRF).

A name is resolved once, every address it has must be public, and the connection goes to exactly the addresses that
were checked: there is no second look-up that could answer differently. Name and certificate are still verified for the
host of the URL. Redirects are not followed, no proxy is used, no connection is kept.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import certifi
import httpcore
import structlog

from services.job.application.webhooks.ports import Answer
from services.job.domain.webhook_targets import Address, Target, TargetRefused, TargetRules

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a name. Raises OSError."""

_log = structlog.get_logger(__name__)
_CONNECT_S = 5.0
_TOTAL_S = 15.0
_MAX_BODY = 16 * 1024
_BODY_S = 1.0
_MAX_ADDRESSES = 4
_RESOLVERS = 64
_AGENT = "t2m-webhooks/1"


class SystemResolver:
    """The system's resolver, in threads of its own: names that take long hold up nobody else's."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVERS, "webhook-names")

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a name. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        )
        return list(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found))


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that the rules allow, and to no others."""

    def __init__(self, rules: TargetRules, resolve: Resolve, connect: httpcore.AsyncNetworkBackend) -> None:
        self._rules = rules
        self._resolve = resolve
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to an address of the host. Raises TargetRefused when any of them is not allowed."""
        deadline = time.monotonic() + (timeout or _CONNECT_S)
        addresses = await self._addresses(host, port, deadline)
        self._check(host, addresses)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        tried = addresses[:_MAX_ADDRESSES]
        for left, address in zip(range(len(tried), 0, -1), tried, strict=True):
            share = (deadline - time.monotonic()) / left
            try:
                return await self._connect.connect_tcp(str(address), port, max(share, 0.001), None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _check(self, host: str, addresses: Sequence[Address]) -> None:
        """Raises TargetRefused unless all are allowed. Which address it was is for the operators only: users could ask
        for the names of an inner network otherwise.
        """
        for address in addresses:
            try:
                self._rules.check(address)
            except TargetRefused as refused:
                _log.warning("webhook refused", host=host, reason=str(refused))
                raise TargetRefused("must not lead to an address that is not public") from refused

    async def _addresses(self, host: str, port: int, deadline: float) -> Sequence[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from error
        except OSError as error:
            raise httpcore.ConnectError(f"the name cannot be resolved: {error.strerror or error}") from error

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise TargetRefused("must not lead to a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._connect.sleep(seconds)


def trusted() -> ssl.SSLContext:
    """Trusts the system's authorities and the usual ones: a slim image may have none of its own."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class HttpMessenger:
    """The `Messenger` over HTTP/1.1."""

    def __init__(
        self,
        rules: TargetRules,
        *,
        timeout_s: float = _TOTAL_S,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rules = rules
        self._timeout_s = timeout_s
        self._now = now
        self._network = GuardedNetwork(rules, resolve or SystemResolver(), httpcore.AnyIOBackend())
        self._ssl_context = ssl_context or trusted()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request, however it ends."""
        started = time.monotonic()
        status, error, retry_after = 0, "", None
        try:
            target = self._rules.read(url)
            status, answered = await self._exchange(target, headers, body)
            error = _why_failed(status)
            retry_after = self._retry_after(answered.get(b"retry-after", b"")) if error else None
        except TargetRefused as refused:
            error = f"the url {refused}"
        except TimeoutError:
            error = f"no answer within {self._timeout_s:g} s"
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as broken:
            error = _in_words(broken)
        return Answer(status, error, time.monotonic() - started, retry_after)

    async def _exchange(
        self, target: Target, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[bytes, bytes]]:
        """The status and the headers of the answer. A little of its body is read, so that the receiver sees an orderly
        end, and dropped.
        """
        host = target.host.encode()
        url = httpcore.URL(scheme=target.scheme.encode(), host=host, port=target.port, target=target.path.encode())
        authority = target.url.partition("://")[2].partition("/")[0]
        sent = {
            "host": authority,
            "user-agent": _AGENT,
            "connection": "close",
            "content-length": str(len(body)),
            **headers,
        }
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        timeouts = {"connect": _CONNECT_S, "read": self._timeout_s, "write": self._timeout_s, "pool": None}
        connection = httpcore.AsyncHTTPConnection(
            httpcore.Origin(url.scheme, host, target.port),
            ssl_context=self._ssl_context,
            keepalive_expiry=0,
            network_backend=self._network,
        )
        request = httpcore.Request(b"POST", url, headers=raw, content=body, extensions={"timeout": timeouts})
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        async with connection:
            async with asyncio.timeout_at(deadline):
                response = await connection.handle_async_request(request)
            async with aclosing(response):
                await _drop(response, min(deadline, clock() + _BODY_S))
            return response.status, {name.lower(): value for name, value in response.headers}

    def _retry_after(self, value: bytes) -> timedelta | None:
        """What the header asks for, in either of its forms; None for anything else."""
        text = value.decode("ascii", "replace").strip()
        if text.isdigit():
            return timedelta(seconds=min(int(text[:9]), 10**8))
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, IndexError):
            return None
        wait = moment.replace(tzinfo=moment.tzinfo or UTC) - self._now()
        return max(wait, timedelta(0))


async def _drop(response: httpcore.Response, deadline: float) -> None:
    """Read a little of the body. The status has come, and with it the receiver's decision: whatever happens to the body
    changes nothing.
    """
    stream: Any = response.stream
    read = 0
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout_at(deadline):
            async for chunk in stream:
                read += len(chunk)
                if read >= _MAX_BODY:
                    return


def _why_failed(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed"
    return f"answered {status}"


def _in_words(error: Exception) -> str:
    kind = {
        httpcore.ConnectTimeout: "no connection in time",
        httpcore.ReadTimeout: "no answer in time",
        httpcore.WriteTimeout: "the message was not taken in time",
        httpcore.ConnectError: "no connection",
        httpcore.ReadError: "the connection broke before an answer came",
        httpcore.WriteError: "the connection broke before the message was sent",
        httpcore.RemoteProtocolError: "the answer is not HTTP/1.1",
    }.get(type(error), type(error).__name__)
    return f"{kind}: {error}" if str(error) else kind
