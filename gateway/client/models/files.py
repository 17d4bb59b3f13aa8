"""Files that the caller uploads."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class File(TypedDict):
    """A file that a user uploaded, to serve as a reference document or as an image."""

    file_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: str


class UploadPart(TypedDict):
    """One run of bytes."""

    url: str
    headers: dict[str, str]
    offset_bytes: int
    size_bytes: int


class PresignedParts(TypedDict):
    """Where a client puts the bytes of an upload."""

    parts: list[UploadPart]
    store_upload_id: str
    expires_at: NotRequired[str]


class FileUpload(TypedDict):
    """An upload in parts, which may be interrupted and continued."""

    upload_id: str
    filename: str
    size_bytes: int
    offset_bytes: int
    part_size_bytes: int
    expires_at: NotRequired[str]
    file_id: str
    presigned: NotRequired[PresignedParts]


class FileQuota(TypedDict):
    """A user's quota; uploads under way count."""

    files: int
    total_bytes: int
    max_files: int
    max_total_bytes: int
    max_file_bytes: int


class ListFilesResponse(TypedDict):
    """A page of files."""

    files: list[File]
    next_page_token: str
    quota: FileQuota
