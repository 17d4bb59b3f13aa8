"""Files over REST: a real gateway in front of a real storage service, and uploads that do not go smoothly (S5)."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner
from services.storage.domain.files import PART_BYTES
from tests.fakes import sample_files as samples
from tests.integration.files_harness import files_on
from tests.integration.gateway_harness import ALICE, GatewayUnderTest, error_of, running_gateway
from tests.integration.storage_harness import KEY, MIB, sha256

BOB = {"Authorization": "Bearer bob-token"}
FILES = "/api/v1/files"
PNG = samples.image()
MISSING = "01890000-0000-7000-8000-00000000dead"


@pytest.fixture(params=["filesystem", "rclone"])
async def site(
    request: pytest.FixtureRequest, postgres: Callable[[], str], tmp_path: Path
) -> AsyncIterator[GatewayUnderTest]:
    """The gateway; auth is played, storage is real."""
    plans = {"free": {"max_files": 4, "max_file_bytes": 10 * MIB}}
    signer = TokenSigner(KEY)
    async with (
        files_on(request.param, postgres(), tmp_path, file_plans=plans) as storage,
        running_gateway(storage_address=storage.address) as gateway,
    ):
        for user, role in (("alice", Role.USER), ("bob", Role.USER), ("eve", Role.READONLY)):
            gateway.script.credentials[f"{user}-token"] = user
            gateway.script.internal_tokens[user] = signer.sign(user, role, timedelta(hours=1))[0]
        yield gateway


async def upload(site: GatewayUnderTest, data: Any = PNG, headers: Any = ALICE, **query: str) -> httpx.Response:
    """A file in one go."""
    return await site.client.post(FILES, params={"filename": "a.png", **query}, content=data, headers=headers)


async def test_S5_a_file_goes_up_and_comes_down(site: GatewayUnderTest) -> None:
    """S5, V4: metadata, list, bytes and ranges of them, delete; nobody else sees any of it."""
    answer = await upload(site, filename="Größe 映画.png", headers={**ALICE, "Idempotency-Key": "once"})
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert (file["filename"], file["content_type"], file["sha256"]) == ("Größe 映画.png", "image/png", sha256(PNG))
    again = await upload(site, filename="Größe 映画.png", headers={**ALICE, "Idempotency-Key": "once"})
    assert again.json() == file
    url = f"{FILES}/{file['file_id']}"
    assert (await site.client.get(url, headers=ALICE)).json() == file
    listed = (await site.client.get(FILES, headers=ALICE)).json()
    assert (listed["files"], listed["quota"]["files"]) == ([file], 1)
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as client:
        base = str(site.client.base_url)
        whole = await client.get(f"{base}{url}/content", headers=ALICE)
        part = await client.get(f"{base}{url}/content", headers={**ALICE, "Range": "bytes=10-19"})
    assert (whole.status_code, whole.content) == (200, PNG)
    assert part.content == PNG[10:20]
    assert part.status_code == 206 or not part.url.path.startswith(url)  # rclone answers such bytes with 200
    assert whole.headers["content-disposition"].startswith("attachment;")
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe%20" in whole.headers["content-disposition"]
    for path in (url, f"{url}/content"):
        assert (await site.client.get(path, headers=BOB)).status_code == 404
    assert (await site.client.delete(url, headers=BOB)).status_code == 404
    assert (await site.client.delete(url, headers={"Authorization": "Bearer eve-token"})).status_code == 403
    assert (await site.client.delete(url, headers=ALICE)).status_code == 204
    assert (await site.client.get(f"{url}/content", headers=ALICE)).status_code == 404


async def test_S5_an_upload_that_is_cut_goes_on(site: GatewayUnderTest) -> None:
    """S5: the connection breaks in the middle of a part; the status says where to go on."""
    data = samples.text(PART_BYTES + 500)
    begun = await site.client.post(
        f"{FILES}/uploads",
        json={"filename": "a.md", "size_bytes": len(data), "sha256": sha256(data), "content_type": "text/markdown"},
        headers=ALICE,
    )
    assert begun.status_code == 201, begun.text
    url = f"{FILES}/uploads/{begun.json()['upload_id']}"
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"PATCH {url} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer alice-token\r\n"
    writer.write(f"{head}Upload-Offset: 0\r\nContent-Length: {PART_BYTES}\r\n\r\n".encode() + data[: 1 << 20])
    await writer.drain()
    writer.close()
    assert await reader.read() == b""
    for offset in (PART_BYTES, 0):
        status = (await site.client.get(url, headers=ALICE)).json()
        assert (status["offset_bytes"], status["part_size_bytes"]) == (0, PART_BYTES)
        part = data[offset : offset + PART_BYTES]
        sent = await site.client.patch(url, content=part, headers={**ALICE, "Upload-Offset": str(offset)})
        assert sent.status_code == 200, sent.text
    assert sent.json()["offset_bytes"] == len(data)
    assert (await site.client.post(f"{url}/complete", json={}, headers=BOB)).status_code == 404
    done = await site.client.post(f"{url}/complete", json={}, headers=ALICE)
    assert (done.status_code, done.json()["sha256"], done.json()["content_type"]) == (200, sha256(data), "text/plain")
    assert (await site.client.get(url, headers=ALICE)).json()["file_id"] == done.json()["file_id"]
    assert (await site.client.delete(url, headers=ALICE)).status_code == 204


async def test_S5_O6_refusals_name_field_and_reason(site: GatewayUnderTest) -> None:
    """S5, O6: 401, 403, 404, 409, 413, 415, 422 and 429, each as the table of errors has it."""

    async def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        error = error_of(answer)
        assert error["error_code"] == code
        assert [each["field"] for each in error["details"].get("violations", [])] == list(fields)
        return error

    async def stream() -> AsyncIterator[bytes]:
        yield PNG

    invalid = (422, "VALIDATION_ERROR")
    await refused(await upload(site, headers={}), 401, "UNAUTHENTICATED")
    await refused(await upload(site, headers={"Authorization": "Bearer eve-token"}), 403, "PERMISSION_DENIED")
    await refused(await site.client.post(FILES, content=PNG, headers=ALICE), *invalid, "filename")
    await refused(await upload(site, stream()), *invalid, "size_bytes")
    await refused(await upload(site, b""), *invalid, "size_bytes")
    await refused(await upload(site, filename="../a"), *invalid, "filename")
    await refused(await upload(site, sha256="x"), *invalid, "sha256")
    await refused(await upload(site, sha256=sha256(b"other")), *invalid, "sha256")
    await refused(await upload(site, PNG[:-9]), *invalid, "content")
    await refused(await upload(site, nonsense="x"), *invalid, "nonsense")
    await refused(await upload(site, b"<svg/>"), 415, "UNSUPPORTED_MEDIA_TYPE")
    error = await refused(await upload(site, bytes(10 * MIB + 1)), 413, "REQUEST_TOO_LARGE")
    assert error["details"]["max_bytes"] == str(10 * MIB)
    patch = {**ALICE, "Upload-Offset": "0"}
    for path in (f"{FILES}/uploads/{MISSING}", f"{FILES}/uploads/{MISSING}"):
        await refused(await site.client.patch(path, content=PNG, headers=patch), 404, "NOT_FOUND")
    await refused(
        await site.client.patch(f"{FILES}/uploads/..%2f..", content=PNG, headers=patch), *invalid, "upload_id"
    )
    await refused(await site.client.patch(path, content=PNG, headers=ALICE), *invalid, "offset_bytes")
    await refused(await site.client.get(f"{FILES}/..%2f..%2fetc%2fpasswd", headers=ALICE), *invalid, "file_id")
    key = {**ALICE, "Idempotency-Key": "k"}
    assert (await upload(site, headers=key)).status_code == 201
    await refused(await upload(site, PNG + b"x", headers=key), 409, "CONFLICT")
    answers = await asyncio.gather(*[upload(site) for _ in range(5)])
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 429, 429]
    error = await refused(next(a for a in answers if a.status_code == 429), 429, "QUOTA_EXHAUSTED")
    assert (error["details"]["quota"], error["details"]["allowed"]) == ("files", "4")


EVIL = [
    "..", "%2e%2e", "..%2f..", "%2fetc%2fpasswd", "..%5c..", "a%00b", "%0d%0aX:%20y", "%e2%80%aegnp", "%ff%fe", "..;",
    "~", "*", f"{MISSING}%00", f"{MISSING}%2f..%2f{MISSING}", f"{{{MISSING}}}", f"urn:uuid:{MISSING}",
    MISSING.replace("-", ""), MISSING.upper(), "0" * 5000, "null", "-1", "'%20OR%201=1%20--", "uploads",
]  # fmt: skip


def as_it_is(port: int, method: str, path: str) -> tuple[int, bytes]:
    """A request whose path nobody tidies."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, headers={**ALICE, "Upload-Offset": "0"})
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("site", ["filesystem"], indirect=True)
async def test_S5_ids_and_names_that_lead_elsewhere(site: GatewayUnderTest) -> None:
    """S5: as a file, its content, an upload, a part, and in both ways of naming a file: refused, or not there."""
    for evil in EVIL:
        for method, path in (
            ("GET", f"{FILES}/{evil}"),
            ("DELETE", f"{FILES}/{evil}"),
            ("GET", f"{FILES}/{evil}/content"),
            ("PATCH", f"{FILES}/uploads/{evil}"),
            ("GET", f"{FILES}/uploads/{evil}"),
            ("POST", f"{FILES}/uploads/{evil}/complete"),
        ):
            status, said = await asyncio.to_thread(as_it_is, site.port, method, path)
            assert status in (400, 404, 405, 422), (method, path, said)
    for name in ("../a", "a\0b", "a\r\nX: y", "\u202egnp.exe", "a/b", "..", "x" * 256):
        assert (await upload(site, filename=name)).status_code == 422, name
        body = {"filename": name, "size_bytes": 1}
        assert (await site.client.post(f"{FILES}/uploads", json=body, headers=ALICE)).status_code == 422, name
    assert (await site.client.get(FILES, headers=ALICE)).json()["quota"]["files"] == 0


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    """A storage service that takes bytes when the test says so."""
    async with running_gateway() as running:
        yield running


async def test_O7_an_upload_in_a_coding_is_refused(gateway: GatewayUnderTest) -> None:
    """O7: what is kept is what was sent, so nobody would know later that it was packed."""
    sent = {**ALICE, "Content-Encoding": "gzip"}
    answer = await gateway.client.post(f"{FILES}?filename=a.bin", content=b"x", headers=sent)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert error_of(answer)["error_code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert gateway.script.uploads == []


async def test_S5_the_client_is_read_no_faster_than_storage_takes_it(gateway: GatewayUnderTest) -> None:
    """S5: back-pressure: far less than the body leaves a client while nobody takes it."""
    total, sent, ended = 64 * MIB, 0, asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < total:
            sent += MIB
            yield bytes(MIB)
        ended.set()

    headers = {**ALICE, "Content-Length": str(total)}
    task = asyncio.create_task(gateway.client.post(f"{FILES}?filename=a", content=body(), headers=headers))
    await gateway.script.until(lambda: gateway.script.uploads)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), 1)
    assert sent < total // 2
    gateway.script.held.set()
    assert (await task).status_code == 201
    assert gateway.script.bytes_uploaded == total
    assert gateway.script.uploads[0].size_bytes == total


async def test_S5_a_client_that_leaves_ends_the_upload(gateway: GatewayUnderTest) -> None:
    """S5: storage learns that it was cut."""
    gateway.script.held.set()
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST {FILES}?filename=a HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer alice-token\r\n"
        "Content-Length: 1000\r\n\r\nbytes".encode()
    )
    await gateway.script.until(lambda: gateway.script.uploads)
    writer.close()
    async with asyncio.timeout(10):
        await gateway.script.cancelled.wait()


async def test_S5_a_refusal_reaches_a_client_that_is_sending_and_sends_nothing_on(gateway: GatewayUnderTest) -> None:
    """S5: the answer is not lost in a reset connection, and no byte goes to storage."""
    gateway.script.upload_refused = True

    def post() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        connection.request("POST", f"{FILES}?filename=a", bytes(12 * MIB), headers=ALICE)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    status, body = await asyncio.to_thread(post)
    assert (status, body["error"]["details"]["reason"]) == (413, "REQUEST_TOO_LARGE")
    assert gateway.script.bytes_uploaded == 0
