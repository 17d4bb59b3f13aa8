"""gRPC channels to the services. Calls are bytes in, bytes out: messages are (de)coded by the compiled
codecs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

_OPTIONS = [
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


class Backends:
    """One channel per domain, opened lazily by gRPC on the first call."""

    def __init__(self, addresses: Mapping[str, str], credentials: grpc.ChannelCredentials | None = None) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {
            domain: grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(address, options=_OPTIONS)
            for domain, address in addresses.items()
        }

    @property
    def domains(self) -> tuple[str, ...]:
        """Every domain that has a backend."""
        return tuple(self._channels)

    def channel(self, domain: str) -> grpc.aio.Channel:
        """The channel of a domain. Raises KeyError for one without an address."""
        return self._channels[domain]

    def unary(self, path: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        """A call of `/package.Service/Method` on raw bytes."""
        call: Any = self._of(path).unary_unary(path)
        return call  # type: ignore[no-any-return]

    def stream(self, path: str) -> grpc.aio.UnaryStreamMultiCallable[bytes, bytes]:
        """A server stream of `/package.Service/Method` on raw bytes."""
        call: Any = self._of(path).unary_stream(path)
        return call  # type: ignore[no-any-return]

    def upload(self, path: str) -> grpc.aio.StreamUnaryMultiCallable[bytes, bytes]:
        """A client stream of `/package.Service/Method` on raw bytes."""
        call: Any = self._of(path).stream_unary(path)
        return call  # type: ignore[no-any-return]

    def _of(self, path: str) -> grpc.aio.Channel:
        return self._channels[domain_of(path.split("/")[1])]

    async def close(self) -> None:
        """Close every channel; calls in flight are cancelled."""
        for channel in self._channels.values():
            await channel.close()


def domain_of(full_name: str) -> str:
    """`t2m.job.v1.JobService` → `job`."""
    return full_name.split(".")[1]


def channel_credentials(ca: Path | None, certificate: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    """TLS from PEM files; None (plain text) without a CA."""
    if ca is None:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=ca.read_bytes(),
        private_key=key.read_bytes() if key else None,
        certificate_chain=certificate.read_bytes() if certificate else None,
    )
