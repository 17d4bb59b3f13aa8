"""Files of the caller's own."""

from __future__ import annotations

from pathlib import Path

from gateway.client.api.jobs import query
from gateway.client.core.calls import Call, Flow, Session, Task, delete, get, paged, quoted
from gateway.client.core.downloads import Progress, downloading
from gateway.client.core.effects import Program, Request
from gateway.client.core.uploads import FILES, UPLOADS, uploading
from gateway.client.models.files import File, FileUpload, ListFilesResponse


def upload(source: Path, *, filename: str = "", upload_id: str = "", progress: Progress | None = None) -> Task[File]:
    """Store a file; a large one goes up in parts and goes on after a lost connection. Its SHA-256 is verified.

    `upload_id` goes on with an upload that was begun before. InvalidRequestError for a type that is not accepted.
    """
    return Task(lambda session: uploading(source, session, filename=filename, upload_id=upload_id, progress=progress))


def file(file_id: str) -> Call[File]:
    """What is known of a file."""
    return get(f"{FILES}/{quoted(file_id)}")


def list_files(page_token: str = "", page_size: int = 0) -> Call[ListFilesResponse]:
    """A page of the caller's files, oldest first, and what is left of the quota."""
    return get(FILES, query({"page_size": page_size}, page_token))


def files() -> Flow[File]:
    """All of the caller's files, oldest first."""
    return paged(list_files, "files")


def download_file(file_id: str, target: Path, progress: Progress | None = None) -> Task[Path]:
    """Write a file to `target`, checked by its SHA-256. ChecksumError."""

    def steps(session: Session) -> Program[Path]:
        known = yield from file(file_id).program(session)
        request = Request("GET", f"{FILES}/{quoted(file_id)}/content")
        return (yield from downloading(request, target, session, sha256=known["sha256"], progress=progress))

    return Task(steps)


def delete_file(file_id: str) -> Call[None]:
    """Remove a file and its bytes."""
    return delete(f"{FILES}/{quoted(file_id)}")


def get_upload(upload_id: str) -> Call[FileUpload]:
    """How far an upload in parts is."""
    return get(f"{UPLOADS}/{quoted(upload_id)}")


def abort_upload(upload_id: str) -> Call[None]:
    """Give an upload in parts up."""
    return delete(f"{UPLOADS}/{quoted(upload_id)}")
