"""The gateway's own unary calls on connections that break, fill up or go away (P1): none hangs, none is made twice."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.h2 import Channel, frames, keepalive, parse_target
from gateway.h2 import channel as channels
from gateway.tls import TlsFiles
from tests.certificates import Authority
from tests.contract.unary_harness import ECHO, HOLD, channel_to, failed, serving, uvloop_policy
from tests.fakes import http2_peer as h
from tests.fakes.http2_peer import Peer, frame, scripted, setting

event_loop_policy = uvloop_policy

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
REFUSED = (7).to_bytes(4, "big")
BROKEN: dict[str, list[bytes]] = {
    "HTTP/1.1": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "a frame that is too large": [frame(h.DATA, 0, 1, bytes(16_385))],
    "SETTINGS of a stream": [frame(h.SETTINGS, 0, 1)],
    "SETTINGS of an odd size": [frame(h.SETTINGS, 0, 0, bytes(5))],
    "an acknowledgement with content": [frame(h.SETTINGS, h.ACK, 0, setting(3, 1))],
    "MAX_FRAME_SIZE out of range": [frame(h.SETTINGS, 0, 0, setting(5, 16_383))],
    "INITIAL_WINDOW_SIZE out of range": [frame(h.SETTINGS, 0, 0, setting(4, 1 << 31))],
    "PING of an odd size": [frame(h.PING, 0, 0, bytes(7))],
    "PING of a stream": [frame(h.PING, 0, 1, bytes(8))],
    "RST_STREAM of an odd size": [frame(h.RST_STREAM, 0, 1, bytes(3))],
    "RST_STREAM of no stream": [frame(h.RST_STREAM, 0, 99, bytes(4))],
    "GOAWAY of an odd size": [frame(h.GOAWAY, 0, 0, bytes(7))],
    "GOAWAY of a stream": [frame(h.GOAWAY, 0, 1, bytes(8))],
    "WINDOW_UPDATE of 0": [frame(h.WINDOW_UPDATE, 0, 0, bytes(4))],
    "WINDOW_UPDATE beyond all bounds": [frame(h.WINDOW_UPDATE, 0, 0, (0x7FFFFFFF).to_bytes(4, "big"))],
    "data of no stream": [frame(h.DATA, 0, 99, b"x")],
    "data of the connection": [frame(h.DATA, 0, 0, b"x")],
    "headers of the server's own": [frame(h.HEADERS, h.END_HEADERS, 2, b"\x88")],
    "padding without length": [frame(h.HEADERS, h.END_HEADERS | h.PADDED, 1)],
    "more padding than frame": [frame(h.HEADERS, h.END_HEADERS | h.PADDED, 1, b"\xff\x88")],
    "PUSH_PROMISE": [frame(h.PUSH_PROMISE, h.END_HEADERS, 1, bytes(4) + b"\x88")],
    "CONTINUATION of nothing": [frame(h.CONTINUATION, h.END_HEADERS, 1, b"\x88")],
    "an interrupted block": [frame(h.HEADERS, 0, 1, b"\x88"), frame(h.DATA, 0, 1)],
    "a block continued by another stream": [frame(h.HEADERS, 0, 1, b"\x88"), frame(h.CONTINUATION, 4, 3, b"\x88")],
    "unreadable headers": [frame(h.HEADERS, h.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff")],
    "an index of nothing": [frame(h.HEADERS, h.END_HEADERS, 1, b"\xfe")],
    "a huge block": [frame(h.HEADERS, 0, 1, b"\x88"), *[frame(h.CONTINUATION, 0, 1, bytes(16_000))] * 5],
    "pieces of nothing without end": [frame(h.HEADERS, 0, 1, b"\x88"), *[frame(h.CONTINUATION, 0, 1)] * 8000],
    "headers that grow when unpacked": [
        frame(h.HEADERS, h.END_HEADERS, 1, b"\x88\x40\x01a\x7f\xa9\x1e" + b"v" * 4008 + b"\xbe" * 100)
    ],
}


@pytest.mark.parametrize("case", BROKEN)
async def test_p1_a_broken_connection_ends_all_its_calls_and_no_others(case: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.ask()
        second = await peer.ask()
        if peer.number == 0:
            peer.send(*BROKEN[case])
            with_reason = await peer.until(h.GOAWAY)
            assert with_reason[3][4:8] != bytes(4)  # The server is told that it was its fault.
        else:
            peer.answer(second.stream - 2)
            peer.answer(second.stream)

    async with scripted(script) as address, channel_to("own", address) as channel:
        echo = channel.unary_unary(ECHO)
        for error in await asyncio.gather(*(failed(echo(b"", timeout=20)) for _ in range(2))):
            assert error.code() is UNAVAILABLE
        again = [echo(b"", timeout=10) for _ in range(2)]
        assert [await call for call in again] == [b"answer"] * 2


@pytest.mark.parametrize("hello", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", frame(h.PING, 0, 0, bytes(8))], ids=repr)
async def test_p1_a_server_that_does_not_speak_http_2(hello: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ATTEMPT_S", 0.1)

    async def script(_peer: Peer) -> None:
        pass

    async with scripted(script, hello=[hello]) as address, channel_to("own", address) as channel:
        assert (await failed(channel.unary_unary(ECHO)(b"", timeout=20))).code() is UNAVAILABLE


@pytest.mark.parametrize("part", [b"", frame(h.DATA, 0, 1, b"xyz")[:-1]], ids=["at once", "in the middle of a frame"])
async def test_p1_a_connection_that_is_closed_ends_its_calls(part: bytes) -> None:
    async def script(peer: Peer) -> None:
        ask = await peer.ask()
        if peer.number == 0:
            peer.send(part)
            peer.writer.close()
        else:
            peer.answer(ask.stream)

    async with scripted(script) as address, channel_to("own", address) as channel:
        echo = channel.unary_unary(ECHO)
        assert (await failed(echo(b"", timeout=20))).code() is UNAVAILABLE
        assert await echo(b"", timeout=10) == b"answer"


def go_away(last: int) -> bytes:
    """GOAWAY in order."""
    return frame(h.GOAWAY, 0, 0, last.to_bytes(4, "big") + bytes(4))


async def test_p1_after_goaway_what_was_taken_is_answered_and_the_rest_goes_elsewhere() -> None:
    seen: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        if peer.number == 0:
            asks = [await peer.ask() for _ in range(3)]
            seen.extend((0, ask.message) for ask in asks)
            peer.send(go_away(0x7FFFFFFF), go_away(asks[0].stream))
            peer.answer(asks[0].stream, b"old")
        else:
            for _ in range(2):
                ask = await peer.ask()
                seen.append((peer.number, ask.message))
                peer.answer(ask.stream, b"new")

    async with scripted(script) as address, channel_to("own", address) as channel:
        echo = channel.unary_unary(ECHO)
        answers = await asyncio.gather(*(echo(b"%d" % number, timeout=10) for number in range(3)))
    assert answers == [b"old", b"new", b"new"]
    assert seen == [(0, b"0"), (0, b"1"), (0, b"2"), (1, b"1"), (1, b"2")]


@pytest.mark.parametrize("how", ["refused", "goaway"])
@pytest.mark.parametrize("refusals", [1, 5, 6])
async def test_p1_a_call_that_the_server_did_not_look_at_is_issued_again(how: str, refusals: int) -> None:
    """Five times at most."""
    asked: list[int] = []

    async def script(peer: Peer) -> None:
        while True:
            ask = await peer.ask()
            asked.append(ask.stream)
            if len(asked) > refusals:
                peer.answer(ask.stream)
            else:
                peer.send(go_away(0) if how == "goaway" else frame(h.RST_STREAM, 0, ask.stream, REFUSED))

    async with scripted(script) as address, channel_to("own", address) as channel:
        call = channel.unary_unary(ECHO)(b"", timeout=10)
        if refusals < 6:
            assert await call == b"answer"
        else:
            assert (await failed(call)).code() is UNAVAILABLE
    assert len(asked) == min(refusals + 1, 6)


@pytest.mark.parametrize("end", ["cancelled", "too late", "closed", "closed in time"])
async def test_p1_a_call_that_waits_to_be_issued_again_can_end(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "REISSUE_PAUSES_S", (0.2 if end == "closed in time" else 20.0,))
    refused = asyncio.Event()

    async def script(peer: Peer) -> None:
        for _ in range(2):
            ask = await peer.ask()
            peer.send(frame(h.RST_STREAM, 0, ask.stream, REFUSED))
        refused.set()
        peer.answer((await peer.ask()).stream)

    async with scripted(script) as address, channel_to("own", address) as channel:
        call = channel.unary_unary(ECHO)(b"", timeout=0.1 if end == "too late" else 10)
        await refused.wait()
        match end:
            case "cancelled":
                assert call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            case "too late":
                assert (await failed(call)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
            case "closed":
                await asyncio.wait_for(channel.close(0.01), 5)
                assert (await failed(call)).code() is grpc.StatusCode.CANCELLED
            case "closed in time":
                await asyncio.wait_for(channel.close(10), 5)
                assert await call == b"answer"


async def test_p1_a_message_waits_for_the_window_and_goes_out_in_its_measure() -> None:
    chunks: list[int] = []

    async def script(peer: Peer) -> None:
        stream = (await peer.until(h.HEADERS))[2]
        peer.send(frame(h.WINDOW_UPDATE, 0, stream, (10).to_bytes(4, "big")))
        await peer.until(h.DATA)
        peer.send(frame(h.SETTINGS, 0, 0, setting(4, 20_000)))
        while not (got := await peer.until(h.DATA))[1] & h.END_STREAM:
            chunks.append(len(got[3]))
            peer.send(frame(h.WINDOW_UPDATE, 0, stream, (50_000).to_bytes(4, "big")))
            peer.send(frame(h.WINDOW_UPDATE, 0, 0, (50_000).to_bytes(4, "big")))
        received = sum(len(payload) for kind, _, _, payload in peer.frames if kind == h.DATA)
        peer.answer(stream, b"%d" % received)

    async with scripted(script, settings=setting(4, 0)) as address, channel_to("own", address) as channel:
        assert await channel.unary_unary(ECHO)(bytes(100_000), timeout=10) == b"100005"
    assert chunks[0] == 16_384  # MAX_FRAME_SIZE
    assert all(0 < size <= 16_384 for size in chunks)


async def test_p1_a_window_that_stays_shut_ends_at_the_deadline() -> None:
    async def script(peer: Peer) -> None:
        assert (await peer.until(h.RST_STREAM))[3] == (8).to_bytes(4, "big")

    async with scripted(script, settings=setting(4, 0)) as address, channel_to("own", address) as channel:
        error = await failed(channel.unary_unary(ECHO)(b"x", timeout=0.1))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_p1_an_early_answer_stops_the_message() -> None:
    async def script(peer: Peer) -> None:
        stream = (await peer.until(h.HEADERS))[2]
        peer.send(peer.trailers(stream, *h.OK_HEAD, ("grpc-status", "3")))
        assert (await peer.until(h.RST_STREAM))[2] == stream
        peer.send(frame(h.WINDOW_UPDATE, 0, 0, (65_535).to_bytes(4, "big")))
        peer.answer((await peer.ask()).stream)

    async with scripted(script) as address, channel_to("own", address) as channel:
        echo = channel.unary_unary(ECHO)
        assert (await failed(echo(bytes(1 << 20), timeout=10))).code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await echo(b"", timeout=10) == b"answer"


async def test_p1_what_comes_for_a_call_that_was_left_is_read_and_dropped() -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        first = await peer.ask()
        left.set()
        assert (await peer.until(h.RST_STREAM))[2] == first.stream
        peer.send(peer.head(first.stream, *h.OK_HEAD, ("kept", "in the table")))
        peer.send(peer.message(first.stream), peer.trailers(first.stream))
        second = await peer.ask()
        peer.send(peer.head(second.stream, *h.OK_HEAD, ("kept", "in the table")))
        peer.send(peer.message(second.stream), peer.trailers(second.stream))

    async with scripted(script) as address, channel_to("own", address) as channel:
        echo = channel.unary_unary(ECHO)
        first = echo(b"", timeout=10)
        await left.wait()
        first.cancel()
        second = echo(b"", timeout=10)
        assert await second == b"answer"
        assert ("kept", "in the table") in await second.initial_metadata()


async def test_p1_a_request_says_what_grpc_asks_for() -> None:
    asks: list[dict[str, str]] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            ask = await peer.ask()
            asks.append(ask.fields)
            peer.answer(ask.stream)

    metadata = (("authorization", "Bearer t"), ("long", "l" * 40_000))
    async with scripted(script) as address, channel_to("own", address) as channel:
        for _ in range(2):
            await channel.unary_unary(ECHO)(b"", timeout=15.5, metadata=metadata)
    for fields in asks:
        assert fields.pop("user-agent")
        assert fields == {
            ":method": "POST",
            ":scheme": "http",
            ":path": ECHO,
            ":authority": address,
            "te": "trailers",
            "content-type": "application/grpc",
            "grpc-accept-encoding": "identity",
            "grpc-timeout": fields["grpc-timeout"],
            "authorization": "Bearer t",
            "long": "l" * 40_000,
        }
    assert asks[1]["grpc-timeout"] == "15500m"
    assert 0 < int(asks[0]["grpc-timeout"][:-1]) <= 15_500  # It had waited for the connection.


@pytest.mark.parametrize(
    "bad", [("name", "line\nbreak"), ("näme", "v"), ("Name", "v"), (":path", "/"), ("name", b"v")], ids=repr
)
async def test_p1_metadata_that_grpc_does_not_carry_are_refused(bad: tuple[str, Any]) -> None:
    async with channel_to("own", "127.0.0.1:1") as channel:
        with pytest.raises(ValueError, match="metadata"):
            channel.unary_unary(ECHO)(b"", timeout=10, metadata=(bad,))


async def test_p1_calls_wait_for_their_turn_when_the_server_takes_few_at_once() -> None:
    async with (
        serving("127.0.0.1:0", ("grpc.max_concurrent_streams", 2)) as few,
        channel_to("own", few.address) as channel,
    ):
        held = [channel.unary_unary(HOLD)(b"", timeout=20) for _ in range(2)]
        await few.entered.wait()
        late = await failed(channel.unary_unary(ECHO)(b"", timeout=0.1))
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        waiting = [channel.unary_unary(ECHO)(b"%d" % number, timeout=20) for number in range(20)]
        assert waiting.pop().cancel()
        few.release.set()
        assert await asyncio.gather(*waiting) == [b"%d" % number for number in range(19)]
        await asyncio.gather(*held)


async def test_p1_stream_numbers_run_out_and_another_connection_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_STREAM_ID", 7)
    used: list[tuple[int, int]] = []

    async def script(peer: Peer) -> None:
        while True:
            ask = await peer.ask()
            used.append((peer.number, ask.stream))
            peer.answer(ask.stream)

    async with scripted(script) as address, channel_to("own", address) as channel:
        for _ in range(6):
            assert await channel.unary_unary(ECHO)(b"", timeout=10) == b"answer"
    assert used == [(0, 1), (0, 3), (0, 5), (0, 7), (1, 1), (1, 3)]


@pytest.mark.parametrize("answers", [True, False])
async def test_p1_a_server_that_fell_silent_is_found_out(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "KEEPALIVE_S", 0.02)
    monkeypatch.setattr(keepalive, "ANSWER_S", 0.02 if not answers else 5.0)

    async def script(peer: Peer) -> None:
        ask = await peer.ask()
        ping = await peer.until(h.PING)
        if answers:
            peer.send(frame(h.PING, h.ACK, 0, ping[3]))
            peer.answer(ask.stream)

    async with scripted(script) as address, channel_to("own", address) as channel:
        call = channel.unary_unary(ECHO)(b"", timeout=20)
        if answers:
            assert await call == b"answer"
        else:
            assert (await failed(call)).code() is UNAVAILABLE


async def dialled(folder: Path, name: str, alpn: list[str]) -> str:
    """What a call over TLS says of a server that shows this certificate and speaks these protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    if alpn:
        context.set_alpn_protocols(alpn)
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=context)
    address = f"{name}:{server.sockets[0].getsockname()[1]}"
    channel = Channel(parse_target(address), TlsFiles(folder / "ca.crt").context())
    try:
        error = await failed(channel.unary_unary(ECHO)(b"", timeout=20))
    finally:
        await channel.close()
        server.close()
    assert error.code() is UNAVAILABLE
    return error.details() or ""


async def test_a5_nobody_is_called_who_is_not_known_or_speaks_otherwise(tmp_path: Path) -> None:
    known, stranger = tmp_path / "known", tmp_path / "stranger"
    Authority().write(known, "job")
    Authority().write(stranger, "job")
    (stranger / "ca.crt").write_bytes((known / "ca.crt").read_bytes())
    assert "does not speak HTTP/2" in await dialled(known, "localhost", [])
    assert "does not speak HTTP/2" in await dialled(known, "localhost", ["http/1.1"])
    assert "certificate verify failed" in await dialled(stranger, "localhost", ["h2"])
