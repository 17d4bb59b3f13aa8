"""ObjectService: decode, run the use case, encode. Errors are mapped by the table in `errors`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC
from typing import Any, TypeAlias

import grpc

from services.runtime.identity import Principal, Role
from services.runtime.interceptors.admission import bearer_token
from services.storage.api import codec
from services.storage.api.page_tokens import decode_page_token, encode_page_token
from services.storage.application.direct_uploads import DirectUploads
from services.storage.application.locating import LocateObject
from services.storage.application.ports import ObjectFilter, ObjectRepository, Presentation
from services.storage.application.reading import DeleteJobObjects, DeleteObject, ListObjects, ReadObject, require
from services.storage.application.writing import WriteObject
from services.storage.domain.errors import InvalidInput
from services.storage.domain.objects import StoredObject
from t2m.storage.v1 import object_service_pb2 as pb
from t2m.storage.v1 import object_service_pb2_grpc

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Authenticate: TypeAlias = Callable[[str], Awaitable[Principal]]


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the service can do."""

    write: WriteObject
    uploads: DirectUploads
    read: ReadObject
    page: ListObjects
    delete: DeleteObject
    delete_job: DeleteJobObjects
    locate: LocateObject
    objects: ObjectRepository


class ObjectServicer(object_service_pb2_grpc.ObjectServiceServicer):
    """See `object_service.proto` for what each method promises."""

    def __init__(self, use_cases: UseCases, authenticate: Authenticate) -> None:
        """`authenticate` verifies a token where a public method is called with one."""
        self._do = use_cases
        self._authenticate = authenticate

    async def WriteObject(
        self, request_iterator: AsyncIterator[pb.WriteObjectRequest], _context: Context
    ) -> pb.WriteObjectResponse:
        """Header, then chunks."""
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidInput([("header", "must be the first message")])
        command = codec.decode_header(first.header)
        async with aclosing(_chunks(request_iterator)) as chunks:
            stored = await self._do.write(command, chunks)
        return pb.WriteObjectResponse(object=codec.encode_object(stored))

    async def BeginUpload(self, request: pb.BeginUploadRequest, _context: Context) -> pb.BeginUploadResponse:
        """Where the bytes go."""
        begun = await self._do.uploads.begin(codec.decode_header(request.header))
        if begun is None:
            return pb.BeginUploadResponse()
        if isinstance(begun, StoredObject):
            return pb.BeginUploadResponse(object=codec.encode_object(begun))
        return pb.BeginUploadResponse(upload=codec.encode_upload(begun))

    async def CompleteUpload(self, request: pb.CompleteUploadRequest, _context: Context) -> pb.CompleteUploadResponse:
        """Verified and committed."""
        stored = await self._do.uploads.complete(
            request.object_id, request.owner_id, request.upload_id, tuple(request.etags)
        )
        return pb.CompleteUploadResponse(object=codec.encode_object(stored))

    async def AbortUpload(self, request: pb.AbortUploadRequest, _context: Context) -> pb.AbortUploadResponse:
        """Succeeds also when there is nothing."""
        await self._do.uploads.abort(request.object_id, request.owner_id)
        return pb.AbortUploadResponse()

    async def ReadObject(
        self, request: pb.ReadObjectRequest, context: Context
    ) -> AsyncGenerator[pb.ReadObjectResponse]:
        """Chunks; the next is read from the disk once the transport has taken the last."""
        limit = request.limit if request.HasField("limit") else None
        match request.WhichOneof("source"):
            case "read_ticket":
                found = await self._do.read.by_ticket(request.read_ticket, request.offset, limit)
            case "object_id":
                found = await self._do.read.by_id(
                    request.object_id,
                    request.owner_id or None,
                    request.offset,
                    limit,
                    caller_is_service=await self._called_by_service(context),
                )
            case _:
                raise InvalidInput([("read_ticket", "a read ticket or an object id is required")])
        async with aclosing(found) as chunks:
            async for chunk in chunks:
                yield pb.ReadObjectResponse(chunk=chunk)

    async def GetObject(self, request: pb.GetObjectRequest, _context: Context) -> pb.GetObjectResponse:
        """Metadata."""
        found = await require(self._do.objects, request.object_id, request.owner_id or None)
        return pb.GetObjectResponse(object=codec.encode_object(found))

    async def ListObjects(self, request: pb.ListObjectsRequest, _context: Context) -> pb.ListObjectsResponse:
        """One page."""
        wanted = ObjectFilter(request.owner_id, request.job_id or None, codec.decode_kind(request.kind))
        after = decode_page_token(wanted, request.page_token)
        page = await self._do.page(wanted, after, request.page_size)
        return pb.ListObjectsResponse(
            objects=[codec.encode_object(found) for found in page.objects],
            next_page_token=encode_page_token(wanted, page.next_after),
        )

    async def DeleteObject(self, request: pb.DeleteObjectRequest, _context: Context) -> pb.DeleteObjectResponse:
        """Succeeds also when there is nothing."""
        await self._do.delete(request.object_id, request.owner_id or None)
        return pb.DeleteObjectResponse()

    async def DeleteJobObjects(
        self, request: pb.DeleteJobObjectsRequest, _context: Context
    ) -> pb.DeleteJobObjectsResponse:
        """Succeeds also when there is nothing."""
        kinds = frozenset(kind for number in request.kinds if (kind := codec.decode_kind(number)))
        removed = await self._do.delete_job(request.owner_id, request.job_id, kinds)
        return pb.DeleteJobObjectsResponse(object_count=removed.objects, total_bytes=removed.total_bytes)

    async def CreateObjectLocation(
        self, request: pb.CreateObjectLocationRequest, _context: Context
    ) -> pb.CreateObjectLocationResponse:
        """A signed URL and a ticket."""
        lifetime = request.lifetime.ToTimedelta() if request.HasField("lifetime") else None
        presentation = Presentation(request.filename, request.inline, request.cache_control)
        until = request.expires_at.ToDatetime(UTC) if request.HasField("expires_at") else None
        location = await self._do.locate.create(request.object_id, request.owner_id, lifetime, presentation, until)
        return pb.CreateObjectLocationResponse(location=codec.encode_location(location))

    async def GetSignedObject(
        self, request: pb.GetSignedObjectRequest, _context: Context
    ) -> pb.GetSignedObjectResponse:
        """The location that the ticket was made for."""
        location = await self._do.locate.resolve(request.read_ticket)
        return pb.GetSignedObjectResponse(location=codec.encode_location(location))

    async def _called_by_service(self, context: Context) -> bool:
        """ReadObject is public because a ticket is credential enough, so nobody has looked at the token yet.

        Raises CredentialError for a token that is not valid.
        """
        token = bearer_token(dict(context.invocation_metadata() or ()))
        return token is not None and (await self._authenticate(token)).role is Role.SERVICE


async def _chunks(parts: AsyncIterator[pb.WriteObjectRequest]) -> AsyncGenerator[bytes]:
    async for part in parts:
        if part.WhichOneof("part") != "chunk":
            raise InvalidInput([("chunk", "must follow the header, which comes once")])
        yield part.chunk
