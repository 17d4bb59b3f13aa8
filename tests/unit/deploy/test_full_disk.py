"""The supervisor goes on while its disk is full."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from deploy.local import files, runner
from deploy.local.folder import DataFolder
from deploy.local.runner import Runner, acquire


async def test_the_state_file_is_written_as_soon_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No write fails the stack; what could not be written is true again once the disk has room."""
    folder, written, write = DataFolder(tmp_path), asyncio.Event(), files.write_json
    failures = iter(range(3))

    def write_on_a_full_disk(path: Path, content: dict[str, Any]) -> None:
        if next(failures, None) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)
        written.set()

    monkeypatch.setattr(runner, "REWRITE_INTERVAL", 0.01)
    monkeypatch.setattr(files, "write_json", write_on_a_full_disk)
    with acquire(folder) as lock:
        stack = asyncio.create_task(Runner(folder, lock, [], {}, lambda _: None).run(lambda: None))
        async with asyncio.timeout(10):
            await written.wait()
            assert files.read_json(folder.state)["status"] == "ready"
            os.kill(os.getpid(), signal.SIGTERM)
            await stack
    assert files.read_json(folder.state)["status"] == "stopped"
