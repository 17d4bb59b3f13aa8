"""Sending a file: a small one in one go, a large one in parts that go on where they stopped, or straight to the store
where that takes it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gateway.client.core.calls import Call, Session, exchanged, get, post, quoted
from gateway.client.core.downloads import Progress
from gateway.client.core.effects import Do, Program, Request
from gateway.client.core.retries import Repeat
from gateway.client.errors import ConnectionFailedError
from gateway.client.models.files import File, FileUpload

FILES = "/api/v1/files"
UPLOADS = f"{FILES}/uploads"
WHOLE_BYTES = 4 << 20
"""A file of at most so many bytes goes up in one request."""
_INSPECTION_S = 120.0


def uploading(
    source: Path, session: Session, *, filename: str = "", upload_id: str = "", progress: Progress | None = None
) -> Program[File]:
    """Store `source`; `upload_id` goes on with an upload that was begun before. T2MError, OSError."""
    size, sha256 = yield Do(partial(_measured, source))
    name = filename or source.name
    if size <= WHOLE_BYTES and not upload_id:
        content: bytes = yield Do(source.read_bytes)
        file = yield from _whole(name, sha256, content).program(session)
        if progress is not None:
            progress(size, size)
        return file
    upload = yield from _begun(name, size, sha256, upload_id).program(session)
    if "presigned" in upload:
        try:
            return (yield from _direct(source, upload, session, progress))
        except ConnectionFailedError as error:
            if not error.unsent:
                raise
        # The store cannot be reached from here; the gateway can.
        upload = yield from _begun(name, size, sha256, "", presigned=False).program(session)
    while upload["offset_bytes"] < size and not upload["file_id"]:
        part: bytes = yield Do(partial(_part, source, upload["offset_bytes"], upload["part_size_bytes"]))
        upload = yield from _sent(upload, part).program(session)
        if progress is not None:
            progress(upload["offset_bytes"], size)
    return (yield from _completed(upload).program(session))


def _whole(name: str, sha256: str, content: bytes) -> Call[File]:
    params = {"filename": name, "sha256": sha256}
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/octet-stream"}
    request = Request("POST", FILES, params, headers, content=content, timeout_s=_INSPECTION_S)
    return Call(request, Repeat.SAFE)


def _direct(source: Path, upload: FileUpload, session: Session, progress: Progress | None) -> Program[File]:
    """Straight to the store, by URLs that are signed for just these bytes; nobody's credential goes there."""
    plan = upload["presigned"]
    etags = []
    for part in plan["parts"]:
        content: bytes = yield Do(partial(_part, source, part["offset_bytes"], part["size_bytes"]))
        request = Request("PUT", part["url"], headers=part["headers"], content=content, timeout_s=_INSPECTION_S)
        answer = yield from exchanged(request, Repeat.SAFE, session)
        etags.append(answer.headers.get("etag", ""))
        if progress is not None:
            progress(part["offset_bytes"] + part["size_bytes"], upload["size_bytes"])
    single = not plan["store_upload_id"]
    parts = {} if single else {"store_upload_id": plan["store_upload_id"], "etags": etags}
    return (yield from _completed(upload, parts).program(session))


def _begun(name: str, size: int, sha256: str, upload_id: str, *, presigned: bool = True) -> Call[FileUpload]:
    if upload_id:
        return get(f"{UPLOADS}/{quoted(upload_id)}")
    # A repeat begins another one; the first is given up by itself.
    return post(UPLOADS, {"filename": name, "size_bytes": size, "sha256": sha256, "presigned": presigned}, Repeat.SAFE)


def _sent(upload: FileUpload, part: bytes) -> Call[FileUpload]:
    headers = {"Upload-Offset": str(upload["offset_bytes"]), "Content-Type": "application/octet-stream"}
    return Call(
        Request("PATCH", f"{UPLOADS}/{upload['upload_id']}", headers=headers, content=part, timeout_s=_INSPECTION_S),
        Repeat.SAFE,
    )


def _completed(upload: FileUpload, parts: Mapping[str, Any] | None = None) -> Call[File]:
    path = f"{UPLOADS}/{upload['upload_id']}/complete"
    request = Request("POST", path, json=dict(parts or {}), timeout_s=_INSPECTION_S)
    return Call(request, Repeat.SAFE)


def _measured(source: Path) -> tuple[int, str]:
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _part(source: Path, offset: int, length: int) -> bytes:
    with source.open("rb") as file:
        file.seek(offset)
        return file.read(length)
