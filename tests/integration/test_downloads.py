"""Downloads through a real gateway from a real storage service, on both backends (V4)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.server import build_server
from gateway.settings import Settings
from tests.fakes.patterns import pattern
from tests.integration.storage_harness import MIB, Running, running, sha256
from tests.s3_servers import S3Server, credentials, ministack, rclone

NAME = "Größe “π” 映画.mp4"
SIZE = 3 * MIB + 17
DATA = pattern(SIZE)
_numbers = itertools.count(1)


@dataclass
class Site:
    """A stored object, its ticket's path, and a client of the gateway that follows redirects."""

    storage: Running
    client: httpx.AsyncClient
    path: str
    backend: str

    async def get(self, **headers: str) -> httpx.Response:
        """GET with these headers; `_` is `-`."""
        return await self.client.get(
            self.path, headers={name.replace("_", "-"): each for name, each in headers.items()}
        )


@pytest.fixture(params=["filesystem", "rclone", "ministack"])
async def site(request: pytest.FixtureRequest, postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Site]:
    servers: dict[str, Callable[[], S3Server]] = {"rclone": rclone, "ministack": ministack}
    server = servers[request.param]() if request.param in servers else None
    overrides: dict[str, Any] = {}
    if server is not None:
        overrides = {
            "storage_backend": "s3",
            "storage_region": "us-east-1",
            "storage_account": f"d{next(_numbers)}",
            "s3_endpoint_url": server.url,
            "s3_path_style": True,
        }
    with credentials(server.access_key if server else "", server.secret_key if server else ""):
        async with running(postgres(), tmp_path / "objects", **overrides) as storage:
            if server is not None:
                server.make_buckets(storage.settings.buckets())
            stored = await storage.write(DATA, sha256=sha256(DATA), filename=NAME)
            location = await storage.locate(stored.object_id)
            ticket = location.read_ticket or await _ticket(storage, stored.object_id)
            async with _gateway(storage) as client:
                yield Site(storage, client, f"/api/v1/objects/{ticket}", request.param)


async def _ticket(storage: Running, object_id: str) -> str:
    """Of a location that must not change: the gateway's own URL, on S3 too."""
    until = Timestamp()
    until.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    location = await storage.locate(object_id, expires_at=until)
    return location.url.rpartition("/")[2]


@asynccontextmanager
async def _gateway(storage: Running) -> AsyncGenerator[httpx.AsyncClient]:
    nobody = "127.0.0.1:9"
    settings = Settings(
        environment="test",
        gateway_port=0,
        storage_address=storage.address,
        auth_address=nobody,
        job_address=nobody,
        video_render_address=nobody,
        drain_s=5,
    )
    server = build_server(settings)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            await server.listening.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, follow_redirects=True) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


RANGES = [
    ("bytes=0-0", 0, 0),
    (f"bytes={MIB - 1}-{2 * MIB}", MIB - 1, 2 * MIB),
    (f"bytes={SIZE - 5}-", SIZE - 5, SIZE - 1),
    ("bytes=-7", SIZE - 7, SIZE - 1),
    (f"bytes=5-{SIZE * 9}", 5, SIZE - 1),
]


def _partial(site: Site) -> int:
    """The status of a part; rclone sends the right bytes under 200."""
    return 200 if site.backend == "rclone" else 206


async def test_V4_whole_and_in_ranges_under_its_own_name(site: Site) -> None:
    """Single, open and suffix ranges; beyond the end; HEAD, which a URL signed for GET would not serve."""
    whole = await site.get()
    assert (whole.status_code, sha256(whole.content)) == (200, sha256(DATA))
    assert whole.headers["content-type"] == "video/mp4"
    for header, first, last in RANGES:
        answer = await site.get(Range=header)
        assert (answer.status_code, answer.content) == (_partial(site), DATA[first : last + 1]), header
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert (await site.get(Range=f"bytes={SIZE}-")).status_code == 416

    head = await site.client.head(site.path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(SIZE), b"")
    assert (head.headers["accept-ranges"], head.headers["content-type"]) == ("bytes", "video/mp4")
    for answer in (whole, head):
        if answer is head or site.backend != "rclone":  # rclone ignores what the URL asks for
            assert answer.headers["content-disposition"].endswith(f"filename*=UTF-8''{quote(NAME, safe='')}")
            assert answer.headers["content-disposition"].isascii()


async def test_V4_a_download_that_was_cut_is_resumed(site: Site) -> None:
    """The rest alone while the file is the same, by tag and by date; a copy that is whole is not sent again."""
    got = bytearray()
    async with site.client.stream("GET", site.path) as answer:
        async for chunk in answer.aiter_raw():
            got += chunk
            if len(got) >= MIB:
                break  # and the connection is closed, with the rest on its way
    assert MIB <= len(got) < SIZE
    for validator in (answer.headers["etag"], answer.headers["last-modified"]):
        rest = await site.get(Range=f"bytes={len(got)}-", If_Range=validator)
        assert rest.status_code == _partial(site)
        assert sha256(bytes(got) + rest.content) == sha256(DATA)
    assert (await site.get(If_None_Match=answer.headers["etag"])).status_code == 304
    assert (await site.get(If_None_Match='"other"')).status_code == 200


@pytest.mark.parametrize("site", ["filesystem"], indirect=True)
async def test_V4_conditions_that_the_test_servers_of_s3_do_not_know(site: Site) -> None:
    """Another tag or date than asked for: everything. Several ranges: everything, as RFC 9110 §14.2 allows."""
    modified = (await site.get()).headers["last-modified"]
    assert (await site.get(If_Modified_Since=modified)).status_code == 304
    for headers in (
        {"Range": "bytes=5-", "If_Range": '"other"'},
        {"Range": "bytes=5-", "If_Range": "Thu, 31 Jan 2019 12:00:00 GMT"},
        {"Range": "bytes=0-1,5-6"},
    ):
        answer = await site.get(**headers)
        assert (answer.status_code, len(answer.content)) == (200, SIZE), headers
