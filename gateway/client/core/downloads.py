"""Fetching a file: goes on after a lost connection, checks what has arrived, and shows nothing half."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from gateway.client.core.calls import Session, authorised
from gateway.client.core.effects import Answer, Close, Do, Open, Pause, Program, Read, Request
from gateway.client.core.retries import Patience, Repeat
from gateway.client.errors import ChecksumError, T2MError

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are and the bytes there will be, None when that is not known."""

_REDIRECTS = 3


class PartFile:
    """`NAME.part`, with the validator of what it holds beside it, until it is whole and becomes `NAME`."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self._file: BinaryIO | None = None
        self.size = 0
        self.validator = ""

    def reopen(self) -> None:
        """Find out what is there from before; it is used only if the server still has the same file."""
        self.close()
        try:
            self.validator = str(json.loads(self._note.read_text())["etag"])
            self.size = self._part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            self.validator, self.size = "", 0

    def begin(self, answer: Answer) -> None:
        """Take the bytes of this answer: the rest (206), or all from the start."""
        if answer.status != 206:
            self.size = 0
        etag = answer.headers.get("etag", "")
        self.validator = "" if etag.startswith("W/") else etag
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("ab" if self.size else "wb")
        if self.validator:
            self._note.write_text(json.dumps({"etag": self.validator}))

    def append(self, chunk: bytes) -> None:
        """The next bytes."""
        assert self._file is not None
        self._file.write(chunk)
        self.size += len(chunk)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self, sha256: str) -> Path:
        """Check, and give it its name. ChecksumError, and then nothing is left."""
        self.close()
        if sha256:
            with self._part.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                self._part.unlink()
                self._note.unlink(missing_ok=True)
                raise ChecksumError(f"{self._target.name}: SHA-256 is {found}, and should be {sha256}")
        self._note.unlink(missing_ok=True)
        return self._part.replace(self._target)


def downloading(
    request: Request, target: Path, session: Session, *, sha256: str = "", progress: Progress | None = None
) -> Program[Path]:
    """Write what `request` gets to `target`. T2MError, OSError; what has arrived then stays for the next time."""
    file = PartFile(target)
    patience = Patience(session.policy)
    yield Do(file.reopen)
    while True:
        headers = {"Accept-Encoding": "identity", **request.headers}
        if file.size and file.validator:
            headers |= {"Range": f"bytes={file.size}-", "If-Range": file.validator}
        try:
            answer = yield from _opened(Request("GET", request.url, request.params, headers), session)
            yield from _received(answer, file, patience, progress)
            result: Path = yield Do(partial(file.finish, sha256))
        except T2MError as error:
            if error.status == 416:  # What is there is not what the server has.
                file.size, file.validator = 0, ""
                pause_s = 0.0
            else:
                pause_s = patience.pause_s(error, Repeat.SAFE)
        else:
            return result
        finally:
            file.close()
        yield Close()
        yield Pause(pause_s)


def _received(answer: Answer, file: PartFile, patience: Patience, progress: Progress | None) -> Program[None]:
    yield Do(partial(file.begin, answer))
    length = answer.headers.get("content-length", "")
    total = file.size + int(length) if length.isdigit() else None
    while (chunk := (yield Read())) is not None:
        yield Do(partial(file.append, chunk))
        patience.renew()
        if progress is not None:
            progress(file.size, total)


def _opened(request: Request, session: Session) -> Program[Answer]:
    """The answer that carries the bytes, through redirects. A store does not see who calls."""
    for _ in range(_REDIRECTS):
        answer = yield from authorised(request, session, Open)
        location = answer.headers.get("location", "")
        if not 300 <= answer.status < 400 or not location:
            return answer
        yield Close()
        request = Request("GET", location, headers=request.headers)
    raise T2MError(answer.status, "UNKNOWN", "too many redirects", {})
