"""Protos of users' files to the domain's values and back."""

from __future__ import annotations

from services.storage.api.codec import encode_parts, encode_timestamp
from services.storage.application.file_uploads import FileUpload
from services.storage.domain.files import FilePlan, FileUsage
from services.storage.domain.objects import StoredObject
from t2m.storage.v1 import file_pb2, file_service_pb2


def encode_file(stored: StoredObject) -> file_pb2.File:
    """The file as its owner sees it."""
    return file_pb2.File(
        file_id=stored.object_id,
        filename=stored.filename,
        content_type=stored.content_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        created_at=encode_timestamp(stored.committed_at),
    )


def encode_file_upload(upload: FileUpload, part_bytes: int) -> file_pb2.FileUpload:
    """The upload as its owner sees it."""
    encoded = file_pb2.FileUpload(
        upload_id=upload.upload_id,
        filename=upload.filename,
        size_bytes=upload.size_bytes,
        offset_bytes=upload.offset_bytes,
        part_size_bytes=part_bytes,
        expires_at=encode_timestamp(upload.expires_at),
        file_id=upload.file_id,
    )
    if upload.targets is not None:
        encoded.presigned.parts.extend(encode_parts(upload.targets))
        encoded.presigned.store_upload_id = upload.targets.upload_id
        encoded.presigned.MergeFrom(file_pb2.PresignedParts(expires_at=encode_timestamp(upload.targets_end)))
    return encoded


def encode_quota(used: FileUsage, plan: FilePlan) -> file_service_pb2.FileQuota:
    """What there is beside what may be."""
    return file_service_pb2.FileQuota(
        files=used.files,
        total_bytes=used.total_bytes,
        max_files=plan.max_files,
        max_total_bytes=plan.max_total_bytes,
        max_file_bytes=plan.max_file_bytes,
    )
