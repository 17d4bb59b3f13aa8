"""Mutual TLS from files that may be replaced while the process runs (by cert-manager, for example).

A server takes a new certificate and a new authority for its next connection. A channel is replaced: calls after the
change go over a new connection, those before it end on the old one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog

_log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""A channel looks this often, at most, whether its files have changed."""
OLD_CALLS_S = 7200.0
"""What calls on a replaced channel have to end in time. Servers end every connection before (`runtime.server`), with a
status that readers of streams know; closing the channel would look like a cancellation of their own."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate, key and authority of a process, as PEM files."""

    certificate: Path
    key: Path
    authority: Path

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Differs when a file was replaced. Raises OSError when one is missing."""
        stats = [path.stat() for path in (self.certificate, self.key, self.authority)]
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials that demand a certificate of every client and follow the files. Raises OSError."""
        known = self.stamp()

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal known
            try:
                found = self.stamp()
                if found == known:
                    return None
                fresh = self._server_configuration()
            except OSError as exc:
                _log.warning("certificate files not read, serving the known ones", reason=str(exc))
                return None
            known = found
            _log.info("certificate files read again")
            return fresh

        return grpc.dynamic_ssl_server_credentials(
            self._server_configuration(),
            changed,  # type: ignore[arg-type]  # None for "as before" is documented, the stubs forget it
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of the files as they are now. Raises OSError."""
        return grpc.ssl_channel_credentials(
            self.authority.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )

    def _server_configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=self.authority.read_bytes())


class RenewedChannel(grpc.aio.Channel):
    """A channel that is opened anew when its certificate files change; stubs made on it follow."""

    def __init__(
        self,
        files: TlsFiles,
        open_channel: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises OSError when a file is missing."""
        self._files = files
        self._open = open_channel
        self._monotonic = monotonic
        self._stamp = files.stamp()
        self._channel = open_channel(files.channel_credentials())
        self._look_at = monotonic() + LOOK_EVERY_S
        self._closing: set[asyncio.Task[None]] = set()

    def current(self) -> grpc.aio.Channel:
        """The channel that a call of this moment takes."""
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + LOOK_EVERY_S
            self._renew()
        return self._channel

    def _renew(self) -> None:
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return
            fresh = self._open(self._files.channel_credentials())
        except OSError as exc:
            _log.warning("certificate files not read, calling with the known ones", reason=str(exc))
            return
        old, self._channel, self._stamp = self._channel, fresh, stamp
        task = asyncio.get_running_loop().create_task(old.close(OLD_CALLS_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """A call of the current channel."""
        return _RenewedCall(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """A call of the current channel."""
        return _RenewedCall(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """A call of the current channel."""
        return _RenewedCall(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """A call of the current channel."""
        return _RenewedCall(self, "stream_stream", args, kwargs)

    async def close(self, grace: float | None = None) -> None:
        """Close the current channel and cut what is left on older ones."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Of the current channel."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Of the current channel."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """When the current channel is connected."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> RenewedChannel:
        """The channel itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self.close()


class _RenewedCall:
    """A multicallable of whichever channel is the current one."""

    __slots__ = ("_args", "_channel", "_inner", "_kind", "_kwargs", "_made_on")

    def __init__(self, channel: RenewedChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._channel = channel
        self._kind, self._args, self._kwargs = kind, args, kwargs
        self._made_on: grpc.aio.Channel | None = None
        self._inner: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        channel = self._channel.current()
        if channel is not self._made_on:
            self._inner = getattr(channel, self._kind)(*self._args, **self._kwargs)
            self._made_on = channel
        return self._inner(*args, **kwargs)
