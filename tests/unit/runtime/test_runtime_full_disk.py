"""A log that cannot be written must not be what stops the work."""

from __future__ import annotations

import errno
import io
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from services.runtime import telemetry


class FullDisk(io.StringIO):
    """An output that takes lines until it is full."""

    full = False

    def write(self, text: str) -> int:
        """As by a file on a full disk."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The test's own logging is set up again afterwards."""
    kept, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**kept)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_lines_are_dropped_while_the_disk_is_full_and_written_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    output = FullDisk()
    monkeypatch.setattr(sys, "stdout", output)
    telemetry.configure_logging("test")
    log = structlog.get_logger()
    output.full = True
    log.warning("lost")
    output.full = False
    log.warning("kept")
    assert '"kept"' in output.getvalue()
    assert "lost" not in output.getvalue()
