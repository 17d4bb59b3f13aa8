"""FileService: decode, run the use case in the caller's name, encode. Errors are mapped by the table in `errors`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from services.runtime.identity import Role, current_principal
from services.storage.api import codec
from services.storage.api.file_codec import encode_file, encode_file_upload, encode_quota
from services.storage.api.page_tokens import decode_page_token, encode_page_token
from services.storage.application.file_intake import AnnouncedFile, FileIntake
from services.storage.application.file_ports import FileLedger
from services.storage.application.file_uploads import FileUpload, FileUploads
from services.storage.application.files import FileLibrary, files_of
from services.storage.domain.errors import InvalidInput, StorageError
from services.storage.domain.files import PART_BYTES, FilePlan, FilePlans
from t2m.storage.v1 import file_pb2, file_service_pb2_grpc
from t2m.storage.v1 import file_service_pb2 as pb

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_Parts: TypeAlias = AsyncIterator[pb.UploadFileRequest] | AsyncIterator[pb.UploadFilePartRequest]

_READ_ON_BYTES, _READ_ON_S = 16 * 1024 * 1024, 2.0


@dataclass(frozen=True, slots=True)
class FileUseCases:
    """What users can do with files."""

    intake: FileIntake
    uploads: FileUploads
    library: FileLibrary
    ledger: FileLedger
    plans: FilePlans


class FileServicer(file_service_pb2_grpc.FileServiceServicer):
    """See `file_service.proto` for what each method promises."""

    def __init__(self, use_cases: FileUseCases) -> None:
        self._do = use_cases

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context
    ) -> pb.UploadFileResponse:
        """Header, then bytes."""
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidInput([("header", "must be the first message")])
        header = first.header
        announced = AnnouncedFile(_caller(), header.filename, header.size_bytes, header.sha256)
        async with _body(request_iterator, context) as chunks:
            stored = await self._do.intake.upload(announced, header.request_id, self._plan(), chunks)
        return pb.UploadFileResponse(file=encode_file(stored))

    async def CreateFileUpload(
        self, request: pb.CreateFileUploadRequest, _context: Context
    ) -> pb.CreateFileUploadResponse:
        """Room for the file, and where to send it."""
        announced = AnnouncedFile(_caller(), request.filename, request.size_bytes, request.sha256)
        upload = await self._do.uploads.create(
            announced, self._plan(), request.content_type, presigned=request.presigned
        )
        return pb.CreateFileUploadResponse(upload=_encode(upload))

    async def GetFileUpload(self, request: pb.GetFileUploadRequest, _context: Context) -> pb.GetFileUploadResponse:
        """How far it is."""
        return pb.GetFileUploadResponse(upload=_encode(await self._do.uploads.get(_caller(), request.upload_id)))

    async def UploadFilePart(
        self, request_iterator: AsyncIterator[pb.UploadFilePartRequest], context: Context
    ) -> pb.UploadFilePartResponse:
        """Header, then bytes."""
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidInput([("header", "must be the first message")])
        header = first.header
        async with _body(request_iterator, context) as chunks:
            upload = await self._do.uploads.put_part(
                _caller(), header.upload_id, header.offset_bytes, header.size_bytes, chunks
            )
        return pb.UploadFilePartResponse(upload=_encode(upload))

    async def CompleteFileUpload(
        self, request: pb.CompleteFileUploadRequest, _context: Context
    ) -> pb.CompleteFileUploadResponse:
        """Inspected and committed."""
        stored = await self._do.uploads.complete(
            _caller(), request.upload_id, request.store_upload_id, tuple(request.etags)
        )
        return pb.CompleteFileUploadResponse(file=encode_file(stored))

    async def AbortFileUpload(
        self, request: pb.AbortFileUploadRequest, _context: Context
    ) -> pb.AbortFileUploadResponse:
        """Succeeds also when there is nothing."""
        await self._do.uploads.abort(_caller(), request.upload_id)
        return pb.AbortFileUploadResponse()

    async def GetFile(self, request: pb.GetFileRequest, _context: Context) -> pb.GetFileResponse:
        """Metadata."""
        return pb.GetFileResponse(file=encode_file(await self._do.library.get(request.file_id, _sees())))

    async def ListFiles(self, request: pb.ListFilesRequest, _context: Context) -> pb.ListFilesResponse:
        """One page of the caller's own, admins' too."""
        owner_id = _caller()
        wanted = files_of(owner_id)
        page = await self._do.library.page(owner_id, decode_page_token(wanted, request.page_token), request.page_size)
        return pb.ListFilesResponse(
            files=[encode_file(found) for found in page.objects],
            next_page_token=encode_page_token(wanted, page.next_after),
            quota=encode_quota(await self._do.ledger.usage(owner_id), self._plan()),
        )

    async def DownloadFile(self, request: pb.DownloadFileRequest, _context: Context) -> pb.DownloadFileResponse:
        """A location."""
        location = await self._do.library.locate(request.file_id, _sees())
        return pb.DownloadFileResponse(location=codec.encode_location(location))

    async def DeleteFile(self, request: pb.DeleteFileRequest, _context: Context) -> pb.DeleteFileResponse:
        """Row first, bytes second."""
        await self._do.library.delete(request.file_id, _sees())
        return pb.DeleteFileResponse()

    def _plan(self) -> FilePlan:
        return self._do.plans.of(current_principal().plan)


def _caller() -> str:
    return current_principal().subject


def _sees() -> str | None:
    """Whose files the caller may see and remove; None for everybody's."""
    return None if current_principal().role is Role.ADMIN else _caller()


def _encode(upload: FileUpload) -> file_pb2.FileUpload:
    return encode_file_upload(upload, PART_BYTES)


@asynccontextmanager
async def _body(parts: _Parts, context: Context) -> AsyncGenerator[AsyncGenerator[bytes]]:
    """The bytes after the header. What is under way when they are refused is read on, within bounds: a client whose
    write meets the end of the call may not see with what words it has ended.
    """
    wanted = asyncio.Event()
    try:
        async with aclosing(_chunks(parts, context, wanted)) as chunks:
            yield chunks
    except StorageError:
        if wanted.is_set():
            await _read_on(parts)
        raise


async def _chunks(parts: _Parts, context: Context, wanted: asyncio.Event) -> AsyncGenerator[bytes]:
    wanted.set()
    with contextlib.suppress(grpc.aio.UsageError):  # sent, to a caller without a request id of its own
        await context.send_initial_metadata((("upload-wanted", "1"),))
    async for part in parts:
        if part.WhichOneof("part") != "chunk":
            raise InvalidInput([("chunk", "must follow the header, which comes once")])
        yield part.chunk


async def _read_on(parts: _Parts) -> None:
    left = _READ_ON_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READ_ON_S):
            async for part in parts:
                left -= len(part.chunk)
                if left < 0:
                    return
