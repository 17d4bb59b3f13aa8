"""Unary gRPC calls over HTTP/2, for the gateway's hot path: `Channel` stands in for `grpc.aio.Channel.unary_unary`.

Own frames, because the measured alternatives cost more than all the rest of a request (µs of CPU of the client per
unary call, Python 3.11, one busy machine, one run): `grpc.aio` 210-255 and this package 76-84, system calls and the
task that waits included; the sans-io library `h2` 415, or 273 without its checks of headers, before any socket.
Header blocks are decoded by the library `hpack`. Streams and uploads stay on `grpc.aio`: there the cost of a call is
paid once.

`targets` and `channel` find and keep the connection, `connection` speaks HTTP/2 on it (`wire` reads, `outbox` writes,
`keepalive` asks), `frames` and `headers` are the bytes, `call` is one call, `deadlines` ends it in time, `statuses`
says what becomes of one that fails. Both kinds of channel pass one contract suite (tests/contract/test_unary_calls.py).
"""

from gateway.h2.channel import Channel
from gateway.h2.targets import Target, parse_target

__all__ = ["Channel", "Target", "parse_target"]
