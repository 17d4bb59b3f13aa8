"""The proxy of the chaos tests does what it says, or every network fault would be a fair day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxy import Link, Weather

_SOON = 5.0


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Link, asyncio.Queue[bytes]]]:
    """A link to a server that answers every line with itself; and the lines that the server has got."""
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                got.put_nowait(line)
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    link = Link("echo", f"{host}:{port}")
    await link.start()
    try:
        yield link, got
    finally:
        await link.close()
        server.close()


async def dial(link: Link) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection through the link."""
    host, _, port = link.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    """The echo of a line."""
    writer.write(line)
    return await asyncio.wait_for(reader.readline(), _SOON)


async def test_fair_weather_carries_both_ways_and_the_end() -> None:
    async with echoing() as (link, _):
        reader, writer = await dial(link)
        assert await say(reader, writer, b"one\n") == b"one\n"
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), _SOON) == b""


async def test_a_delay_delays() -> None:
    async with echoing() as (link, _):
        reader, writer = await dial(link)
        link.set(Weather.DELAY, delay_s=0.1)
        began = asyncio.get_running_loop().time()
        assert await say(reader, writer, b"slow\n") == b"slow\n"
        assert asyncio.get_running_loop().time() - began >= 0.2


async def test_a_cut_resets_what_is_open_and_what_is_new_until_it_heals() -> None:
    async with echoing() as (link, _):
        reader, writer = await dial(link)
        await say(reader, writer, b"one\n")
        link.set(Weather.CUT)
        with pytest.raises((ConnectionError, AssertionError)):
            assert await say(reader, writer, b"two\n")
        with pytest.raises((ConnectionError, AssertionError)):
            assert await say(*await dial(link), b"three\n")
        link.set(Weather.FAIR)
        assert await say(*await dial(link), b"four\n") == b"four\n"


async def test_a_blackhole_holds_everything_back_and_lets_it_go() -> None:
    async with echoing() as (link, got):
        reader, writer = await dial(link)
        link.set(Weather.BLACKHOLE)
        late = await dial(link)
        writer.write(b"one\n")
        late[1].write(b"two\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.2)
        assert got.empty()
        link.set(Weather.FAIR)
        assert await asyncio.wait_for(reader.readline(), _SOON) == b"one\n"
        assert await asyncio.wait_for(late[0].readline(), _SOON) == b"two\n"


async def test_half_closed_the_client_reads_the_end_and_is_still_heard() -> None:
    async with echoing() as (link, got):
        reader, writer = await dial(link)
        await say(reader, writer, b"one\n")
        link.set(Weather.HALF_CLOSE)
        assert await say(reader, writer, b"two\n") == b""
        async with asyncio.timeout(_SOON):
            assert [await got.get(), await got.get()] == [b"one\n", b"two\n"]
        assert await say(*await dial(link), b"three\n") == b"three\n"
