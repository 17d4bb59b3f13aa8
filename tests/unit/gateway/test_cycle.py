"""Answers as the gateway writes them on a connection (P1): one write, and nothing that breaks out of a field."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from gateway.cycle import Cycle

LENGTH = (b"content-length", b"2")


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Flow:
    """Never full."""

    write_paused = False

    def resume_reading(self) -> None:
        pass


def cycle_for(method: str = "GET", *, keep_alive: bool = True) -> tuple[Cycle, Transport]:
    """A cycle of a request without a body."""
    transport = Transport()
    logger = logging.getLogger("test")
    cycle = Cycle(
        scope=cast(Any, {"type": "http", "method": method}),
        transport=cast(Any, transport),
        flow=cast(Any, Flow()),
        logger=logger,
        access_logger=logger,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    return cycle, transport


async def answer(cycle: Cycle, headers: list[tuple[bytes, bytes]], *pieces: bytes, status: int = 200) -> None:
    """A head and the pieces of a body."""
    await cycle.send({"type": "http.response.start", "status": status, "headers": headers})
    for index, piece in enumerate(pieces):
        await cycle.send({"type": "http.response.body", "body": piece, "more_body": index < len(pieces) - 1})


async def test_p1_an_answer_of_known_length_is_one_write() -> None:
    cycle, transport = cycle_for()
    await answer(cycle, [LENGTH, (b"x-a", b"1")], b"ok")
    assert transport.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nok"]
    assert cycle.response_complete
    assert not transport.closed


async def test_p1_a_body_in_pieces_and_one_of_unknown_length() -> None:
    cycle, transport = cycle_for()
    await answer(cycle, [(b"content-length", b"4")], b"ab", b"", b"cd")
    assert b"".join(transport.written) == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd"
    cycle, transport = cycle_for()
    await answer(cycle, [], b"ab", b"cd")
    assert transport.written[0] == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"  # At once: a stream begins.
    assert b"".join(transport.written[1:]) == b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_p1_answers_without_a_body(method: str, status: int) -> None:
    cycle, transport = cycle_for(method)
    await answer(cycle, [LENGTH] if method == "HEAD" else [], b"", status=status)
    written = b"".join(transport.written)
    assert written.endswith(b"\r\n\r\n")
    assert b"chunked" not in written
    assert cycle.response_complete


@pytest.mark.parametrize("said", [[], [(b"connection", b"close")], [(b"connection", b"x, Close")]])
async def test_p1_a_connection_that_ends_says_so_once(said: list[tuple[bytes, bytes]]) -> None:
    cycle, transport = cycle_for(keep_alive=bool(said))
    await answer(cycle, [LENGTH, *said], b"ok")
    assert transport.written[0].lower().count(b"connection: ") == 1
    assert transport.closed


@pytest.mark.parametrize(
    "header",
    [(b"x-a", b"1\r\nset-cookie: a=b"), (b"x-a", b"\n"), (b"x-a", b"\0"), (b"x-a", b"\x7f"), (b"x a", b"1"),
     (b"x:", b"1"), (b"x\r\ny", b"1"), (b"", b"1"), (b"X-A", b"1")],
)  # fmt: skip
async def test_o7_what_would_break_out_of_a_field_is_never_sent(header: tuple[bytes, bytes]) -> None:
    cycle, transport = cycle_for()
    with pytest.raises(RuntimeError, match="header field"):
        await answer(cycle, [LENGTH, header], b"ok")
    assert transport.written == []


@pytest.mark.parametrize("pieces", [(b"abc",), (b"a",), (b"a", b"bc")])
async def test_p1_a_body_of_another_length_than_was_said(pieces: tuple[bytes, ...]) -> None:
    cycle, _ = cycle_for()
    with pytest.raises(RuntimeError):
        await answer(cycle, [LENGTH], *pieces)


async def test_p1_who_watches_hears_once_that_the_client_has_gone() -> None:
    cycle, _ = cycle_for()
    heard: list[str] = []
    cycle.watch(lambda: heard.append("gone"))
    cycle.gone()
    cycle.gone()
    assert heard == ["gone"]
    cycle.disconnected = True
    cycle.watch(lambda: heard.append("late"))  # It had gone before anybody asked.
    assert heard == ["gone", "late"]
    answered, _ = cycle_for()
    answered.watch(lambda: heard.append("never"))
    await answer(answered, [LENGTH], b"ok")
    answered.gone()
    assert heard == ["gone", "late"]


def test_p1_a_body_is_taken_when_it_is_there_as_a_whole() -> None:
    cycle, _ = cycle_for("POST")
    cycle.body += b"half"
    assert cycle.whole_body() is None
    cycle.body += b" whole"
    cycle.more_body = False
    assert cycle.whole_body() == b"half whole"
