"""Users who upload files to a storage server, over gRPC."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner
from t2m.storage.v1 import file_pb2, file_service_pb2_grpc
from t2m.storage.v1 import file_service_pb2 as pb
from tests.integration.storage_harness import KEY, Running, running
from tests.s3_servers import S3Server, credentials, ministack, rclone

SERVERS: dict[str, Callable[[], S3Server] | None] = {"filesystem": None, "rclone": rclone, "ministack": ministack}
_numbers = itertools.count(1)


@asynccontextmanager
async def files_on(backend: str, database_url: str, folder: Path, **settings: Any) -> AsyncIterator[Running]:
    """The service on one of `SERVERS`."""
    start = SERVERS[backend]
    if start is None:
        async with running(database_url, folder / "objects", **settings) as found:
            yield found
        return
    server = start()
    wanted: dict[str, Any] = {
        "storage_backend": "s3",
        "storage_region": "us-east-1",
        "storage_account": f"f{next(_numbers)}",
        "s3_endpoint_url": server.url,
        "s3_path_style": True,
    }
    with credentials(server.access_key, server.secret_key):
        async with running(database_url, folder / "objects", **wanted, **settings) as found:
            server.make_buckets(found.settings.buckets())
            yield found


class User:
    """Somebody with a token."""

    def __init__(self, storage: Running, name: str = "ada", role: Role = Role.USER, plan: str = "") -> None:
        token, _ = TokenSigner(KEY).sign(name, role, timedelta(days=2), plan=plan)
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.stub = file_service_pb2_grpc.FileServiceStub(storage.channel)

    async def upload(self, data: bytes, **fields: Any) -> file_pb2.File:
        """A file in one go."""
        header = pb.UploadFileHeader(**{"filename": "a file", "size_bytes": len(data), **fields})

        async def messages() -> AsyncIterator[pb.UploadFileRequest]:
            yield pb.UploadFileRequest(header=header)
            for start in range(0, len(data), 65536):
                yield pb.UploadFileRequest(chunk=data[start : start + 65536])

        return (await self.stub.UploadFile(messages(), metadata=self.metadata, timeout=60)).file

    async def begin(self, data: bytes, **fields: Any) -> file_pb2.FileUpload:
        """An upload in parts."""
        request = pb.CreateFileUploadRequest(**{"filename": "a file", "size_bytes": len(data), **fields})
        return (await self.stub.CreateFileUpload(request, metadata=self.metadata)).upload

    async def send(self, upload_id: str, data: bytes, offset: int, **fields: Any) -> file_pb2.FileUpload:
        """A part."""
        values = {"upload_id": upload_id, "offset_bytes": offset, "size_bytes": len(data), **fields}

        async def messages() -> AsyncIterator[pb.UploadFilePartRequest]:
            yield pb.UploadFilePartRequest(header=pb.UploadFilePartHeader(**values))
            for start in range(0, len(data), 1 << 20):
                yield pb.UploadFilePartRequest(chunk=data[start : start + (1 << 20)])

        return (await self.stub.UploadFilePart(messages(), metadata=self.metadata, timeout=60)).upload

    async def status(self, upload_id: str) -> file_pb2.FileUpload:
        """How far an upload is."""
        request = pb.GetFileUploadRequest(upload_id=upload_id)
        return (await self.stub.GetFileUpload(request, metadata=self.metadata)).upload

    async def complete(self, upload_id: str, **fields: Any) -> file_pb2.File:
        """The end of an upload."""
        request = pb.CompleteFileUploadRequest(upload_id=upload_id, **fields)
        return (await self.stub.CompleteFileUpload(request, metadata=self.metadata, timeout=60)).file

    async def abort(self, upload_id: str) -> None:
        """Another end."""
        await self.stub.AbortFileUpload(pb.AbortFileUploadRequest(upload_id=upload_id), metadata=self.metadata)

    async def get(self, file_id: str) -> file_pb2.File:
        """Metadata."""
        return (await self.stub.GetFile(pb.GetFileRequest(file_id=file_id), metadata=self.metadata)).file

    async def list(self, **fields: Any) -> pb.ListFilesResponse:
        """A page."""
        return await self.stub.ListFiles(pb.ListFilesRequest(**fields), metadata=self.metadata)

    async def delete(self, file_id: str) -> None:
        """Remove."""
        await self.stub.DeleteFile(pb.DeleteFileRequest(file_id=file_id), metadata=self.metadata)

    async def locate(self, file_id: str) -> Any:
        """A location."""
        answer = await self.stub.DownloadFile(pb.DownloadFileRequest(file_id=file_id), metadata=self.metadata)
        return answer.location
