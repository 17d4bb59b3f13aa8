"""Both Python clients send files to a real storage service, or straight to its store, which checks signatures (O8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from gateway.client import AsyncT2MClient, InvalidRequestError, Policy, T2MClient
from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner
from tests.client_faces import Face
from tests.fakes.cutting_proxy import cutting_proxy
from tests.integration.files_harness import files_on
from tests.integration.gateway_harness import running_gateway
from tests.integration.storage_harness import KEY, MIB, sha256

API_KEY = "t2m_1_key"
LONG = b"a line of a long text\n" * 300_000


def noted(steps: list[int], done: int, total: int | None) -> None:
    """Progress."""
    assert total == len(LONG)
    steps.append(done)


async def test_O8_S5_files_go_up_by_every_way_and_come_down(postgres: Callable[[], str], tmp_path: Path) -> None:
    """O8, S5: small ones in one go, large ones straight to the store, also over a line that breaks; the key stays here,
    a type that is not accepted is refused with its reason.
    """
    (tmp_path / "long.txt").write_bytes(LONG)
    (tmp_path / "short.txt").write_bytes(b"short\n")
    (tmp_path / "page.html").write_bytes(b"<html><script>alert(1)</script></html>")
    plans = {"free": {"max_files": 9, "max_file_bytes": 10 * MIB}}
    async with (
        files_on("rclone", postgres(), tmp_path / "store", file_plans=plans) as storage,
        running_gateway(storage_address=storage.address) as gateway,
        cutting_proxy(gateway.port, 100, 300) as proxy,
    ):
        gateway.script.credentials[API_KEY] = "alice"
        token, _ = TokenSigner(KEY).sign("alice", Role.USER, timedelta(hours=1))
        gateway.script.internal_tokens["alice"] = token
        policy = Policy(patience_s=10, base_s=0.05)
        for client in (Face(T2MClient(proxy.url, API_KEY, policy=policy)), Face(AsyncT2MClient(proxy.url, API_KEY))):
            steps: list[int] = []
            long = await client.call("upload", tmp_path / "long.txt", progress=partial(noted, steps))
            short = await client.call("upload", tmp_path / "short.txt", filename="other.txt")
            assert (long["sha256"], long["size_bytes"]) == (sha256(LONG), len(LONG))
            assert steps[-1] == len(LONG)
            assert short["filename"] == "other.txt"
            back = await client.call("download_file", long["file_id"], tmp_path / "back.txt")
            assert back.read_bytes() == LONG
            assert {file["file_id"] for file in await client.all("files")} == {long["file_id"], short["file_id"]}
            with pytest.raises(InvalidRequestError) as refused:
                await client.call("upload", tmp_path / "page.html")
            assert refused.value.reason == "UNSUPPORTED_MEDIA_TYPE"
            for file in (long, short):
                await client.call("delete_file", file["file_id"])
            await client.close()
        assert gateway.script.bytes_uploaded == 0
