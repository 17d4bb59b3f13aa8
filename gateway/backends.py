"""gRPC channels to the services. Calls are bytes in, bytes out: messages are (de)coded by the compiled
codecs. Unary calls go over the gateway's own HTTP/2 (`gateway.h2`), streams and uploads over `grpc.aio`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from gateway.h2 import Channel, parse_target
from gateway.tls import TlsFiles

log = structlog.get_logger("gateway.backends")

CHANNEL_OPTIONS = [
    # A restarted service should be found again within a second, not after gRPC's default of up to
    # two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.enable_retries", 0),
    # A stream holds no more than this of what nobody has asked for yet. Left to itself gRPC guesses from the speed of
    # the network and takes megabytes for each: slow clients, and there may be many, would fill the memory.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 128 << 10),
]


LOOK_EVERY_S = 1.0
"""How often the certificate files are looked at."""
OLD_CALLS_S = 7200.0
"""What calls on the channels of former certificates have to end in time. Services end every connection before, with a
status that readers of streams know; closing the channel would look like a cancellation of their own."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The ways to one domain. Neither connects before its first call."""

    unary: Channel
    streams: grpc.aio.Channel

    async def close(self, grace_s: float | None = None) -> None:
        """Close both; calls in flight have `grace_s` to end."""
        await asyncio.gather(self.unary.close(grace_s), self.streams.close(grace_s))


class Backends:
    """The channels of each domain, made anew when the certificates change."""

    def __init__(self, addresses: Mapping[str, str], tls: TlsFiles | None = None) -> None:
        """Raises OSError when a certificate file is missing, TargetError of an address."""
        self._addresses = dict(addresses)
        self._tls = tls
        self._calls: list[BackendCall] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._stamp = tls.stamp() if tls else ()
        self._channels = self._open()
        self._watch = asyncio.create_task(self._renewing(tls)) if tls else None

    def _open(self) -> dict[str, Channels]:
        credentials = self._tls.credentials() if self._tls else None
        context = self._tls.context() if self._tls else None
        return {
            domain: Channels(
                Channel(parse_target(address), context),
                grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
                if credentials
                else grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS),
            )
            for domain, address in self._addresses.items()
        }

    @property
    def domains(self) -> tuple[str, ...]:
        """Every domain that has a backend."""
        return tuple(self._addresses)

    def unary(self, path: str, domain: str = "") -> BackendCall:
        """A call of `/package.Service/Method` on raw bytes; of that domain where the package does not say it."""
        return self._call("unary_unary", path, domain)

    def stream(self, path: str) -> BackendCall:
        """A server stream of `/package.Service/Method` on raw bytes."""
        return self._call("unary_stream", path)

    def upload(self, path: str) -> BackendCall:
        """A client stream of `/package.Service/Method` on raw bytes."""
        return self._call("stream_unary", path)

    def _call(self, kind: str, path: str, domain: str = "") -> BackendCall:
        call = BackendCall(kind, path, domain or domain_of(path.split("/")[1]))
        call.move_to(self._channels[call.domain])
        self._calls.append(call)
        return call

    async def _renewing(self, tls: TlsFiles) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                stamp = tls.stamp()
                if stamp == self._stamp:
                    continue
                fresh = self._open()
            except OSError as error:
                log.warning("certificates.unread", reason=str(error))
                continue
            log.info("certificates.renewed")
            old, self._channels, self._stamp = self._channels, fresh, stamp
            for call in self._calls:
                call.move_to(fresh[call.domain])
            for channels in old.values():
                task = asyncio.create_task(channels.close(OLD_CALLS_S))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every channel; calls in flight are cancelled."""
        tasks = [task for task in (self._watch, *self._closing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channels in self._channels.values():
            await channels.close()


class BackendCall:
    """A method of a backend, called on whichever channel is the current one."""

    __slots__ = ("_inner", "_kind", "_path", "domain")

    def __init__(self, kind: str, path: str, domain: str) -> None:
        self._kind = kind
        self._path = path
        self.domain = domain
        self._inner: Any = None

    def move_to(self, channels: Channels) -> None:
        """Calls from now on go over these channels."""
        channel = channels.unary if self._kind == "unary_unary" else channels.streams
        self._inner = getattr(channel, self._kind)(self._path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A call, as the multicallables of `grpc.aio` make it."""
        return self._inner(*args, **kwargs)


def domain_of(full_name: str) -> str:
    """`t2m.job.v1.JobService` → `job`."""
    return full_name.split(".")[1]
