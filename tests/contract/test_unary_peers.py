"""What unary calls make of servers that answer strangely, or not by the rules (P1): a scripted HTTP/2 peer, and both
makes of channels. What grpc.aio gets wrong is only asked of ours; the table says what it does instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from tests.contract.unary_harness import ECHO, MAKES, channel_to, failed, uvloop_policy
from tests.fakes import http2_peer as h
from tests.fakes.http2_peer import Peer, Script, frame, scripted

event_loop_policy = uvloop_policy


def raw(*parts: Any) -> Script:
    """A script: take a request and send these; what is a function of the peer and the stream is called."""

    async def script(peer: Peer) -> None:
        ask = await peer.ask()
        for part in parts:
            made = part(peer, ask.stream) if callable(part) else part
            peer.send(made)

    return script


def head(*fields: tuple[str, str]) -> Any:
    """The beginning of an answer."""
    return lambda peer, stream: peer.head(stream, *fields)


def trailers(*fields: tuple[str, str]) -> Any:
    """Its end."""
    return lambda peer, stream: peer.trailers(stream, *fields)


def data(payload: bytes, flags: int = 0) -> Any:
    """DATA."""
    return lambda _peer, stream: frame(h.DATA, flags, stream, payload)


def reset(code: int) -> Any:
    """RST_STREAM."""
    return lambda _peer, stream: frame(h.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def message(content: bytes) -> bytes:
    """A message of gRPC."""
    return b"\0" + len(content).to_bytes(4, "big") + content


def foreign(status: int, *fields: tuple[str, str]) -> Any:
    """An answer of some proxy."""
    return head((":status", str(status)), ("content-type", "text/html"), *fields), data(b"<html>", h.END_STREAM)


GOOD: dict[str, Sequence[Any]] = {
    "split in single bytes": (
        head(),
        data(b"\0"),
        data(b"\0\0"),
        data(b"\0\x06"),
        data(b"a"),
        data(b"nswer"),
        trailers(),
    ),
    "padded": (head(), data(b"\x03" + message(b"answer") + bytes(3), h.PADDED), trailers()),
    "empty frames": (head(), data(b""), data(message(b"answer")), data(b""), trailers()),
    "100 before it": (head((":status", "103")), head(), data(message(b"answer")), trailers()),
    "unknown frames": (frame(0xAB, 0xFF, 0, b"?"), head(), data(message(b"answer")), frame(0xAC, 1, 1), trailers()),
    "priority": (frame(2, 0, 1, bytes(5)), head(), data(message(b"answer")), trailers()),
    "pings and settings": (
        frame(h.PING, 0, 0, bytes(8)),
        frame(h.SETTINGS, 0, 0),
        head(),
        data(message(b"answer")),
        trailers(),
    ),
    "frames of a stream that is over": (head(), data(message(b"answer")), trailers(), reset(0)),
}


WRONG_IN_GRPC_AIO = {
    "padded": "fails: takes no padding",
    "100 before it": "fails: takes it for the answer",
    "a status that is no number": "INTERNAL",
    "OK, but no message": "the answer is None",
    "OK, but half a message": "the answer is None",
    "two messages": "the answer is the first one",
    "data before headers": "waits until the deadline",
    "headers in the middle": "raises CancelledError",
}


def each(cases: Iterable[str]) -> list[Any]:
    """Every case for every make that gets it right."""
    return [
        pytest.param(make, case, id=f"{make}: {case}")
        for case in cases
        for make in MAKES
        if make == "own" or case not in WRONG_IN_GRPC_AIO
    ]


@pytest.mark.parametrize(("make", "case"), each(GOOD))
async def test_p1_odd_but_good_answers(make: str, case: str) -> None:
    async with scripted(raw(*GOOD[case])) as address, channel_to(make, address) as channel:
        assert await channel.unary_unary(ECHO)(b"", timeout=10) == b"answer"


@pytest.mark.parametrize("make", MAKES)
async def test_p1_header_blocks_in_pieces(make: str) -> None:
    async def script(peer: Peer) -> None:
        ask = await peer.ask()
        block = peer.block(*h.OK_HEAD, ("long", "v" * 5000))
        peer.send(frame(h.HEADERS, 0, ask.stream, block[:10]))
        for at in range(10, len(block), 999):
            peer.send(frame(h.CONTINUATION, 0, ask.stream, block[at : at + 999]))
        peer.send(frame(h.CONTINUATION, h.END_HEADERS, ask.stream))
        peer.send(peer.message(ask.stream), peer.trailers(ask.stream))

    async with scripted(script) as address, channel_to(make, address) as channel:
        call = channel.unary_unary(ECHO)(b"", timeout=10)
        assert await call == b"answer"
        assert dict(await call.initial_metadata())["long"] == "v" * 5000


BAD: dict[str, tuple[Sequence[Any], str]] = {
    "trailers only": ((trailers(*h.OK_HEAD, ("grpc-status", "5"), ("grpc-message", "no")),), "NOT_FOUND"),
    "status without message": ((head(), trailers(("grpc-status", "8"))), "RESOURCE_EXHAUSTED"),
    "an unknown status": ((head(), trailers(("grpc-status", "77"))), "UNKNOWN"),
    "a status that is no number": ((head(), trailers(("grpc-status", "x"))), "UNKNOWN"),
    "no status": ((head(), data(message(b"a")), trailers(("x", "y"))), "UNKNOWN"),
    "OK, but no message": ((head(), trailers()), "INTERNAL"),
    "OK, but half a message": ((head(), data(message(b"answer")[:-1]), trailers()), "INTERNAL"),
    "two messages": ((head(), data(message(b"a") * 2), trailers()), "INTERNAL"),
    "compressed": ((head(), data(b"\x01" + message(b"a")[1:]), trailers()), "INTERNAL"),
    "too large, by its own account": ((head(), data(b"\0\xff\xff\xff\xff")), "RESOURCE_EXHAUSTED"),
    "ended by data": ((head(), data(message(b"a"), h.END_STREAM)), "UNKNOWN"),
    "data before headers": ((data(message(b"a")), trailers()), "INTERNAL"),
    "headers in the middle": ((head(), head(), data(message(b"a")), trailers()), "INTERNAL"),
    "HTTP 400": (foreign(400), "INTERNAL"),
    "HTTP 401": (foreign(401), "UNAUTHENTICATED"),
    "HTTP 403": (foreign(403), "PERMISSION_DENIED"),
    "HTTP 404": (foreign(404), "UNIMPLEMENTED"),
    "HTTP 429": (foreign(429), "UNAVAILABLE"),
    "HTTP 502": (foreign(502), "UNAVAILABLE"),
    "HTTP 503": (foreign(503), "UNAVAILABLE"),
    "HTTP 504": (foreign(504), "UNAVAILABLE"),
    "HTTP 500": (foreign(500), "UNKNOWN"),
    "HTTP 200, but a page": (foreign(200), "UNKNOWN"),
    "reset: NO_ERROR": ((reset(0),), "INTERNAL"),
    "reset: PROTOCOL_ERROR": ((reset(1),), "INTERNAL"),
    "reset: INTERNAL_ERROR": ((reset(2),), "INTERNAL"),
    "reset: FLOW_CONTROL_ERROR": ((reset(3),), "INTERNAL"),
    "reset: SETTINGS_TIMEOUT": ((reset(4),), "INTERNAL"),
    "reset: STREAM_CLOSED": ((reset(5),), "INTERNAL"),
    "reset: FRAME_SIZE_ERROR": ((reset(6),), "INTERNAL"),
    "reset: CANCEL": ((reset(8),), "CANCELLED"),
    "reset: COMPRESSION_ERROR": ((reset(9),), "INTERNAL"),
    "reset: CONNECT_ERROR": ((reset(10),), "INTERNAL"),
    "reset: ENHANCE_YOUR_CALM": ((reset(11),), "RESOURCE_EXHAUSTED"),
    "reset: INADEQUATE_SECURITY": ((reset(12),), "PERMISSION_DENIED"),
    "reset: HTTP_1_1_REQUIRED": ((reset(13),), "INTERNAL"),
    "reset: 4711": ((reset(4711),), "INTERNAL"),
    "reset in the middle": ((head(), data(message(b"abc")[:-1]), reset(2)), "INTERNAL"),
}


@pytest.mark.parametrize(("make", "case"), each(BAD))
async def test_p1_bad_answers_end_one_call(make: str, case: str) -> None:
    parts, code = BAD[case]

    async def script(peer: Peer) -> None:
        await raw(*parts)(peer)
        while True:
            peer.answer((await peer.ask()).stream)

    async with scripted(script) as address, channel_to(make, address) as channel:
        echo = channel.unary_unary(ECHO)
        assert (await failed(echo(b"", timeout=10))).code().name == code
        assert await echo(b"", timeout=10) == b"answer"  # Nothing else is harmed.
