"""`DirectStore` on S3: presigned PUTs, in parts where an object is large."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from services.storage.adapters.s3.client import code_of, says_missing, translated
from services.storage.adapters.s3.store import ENCRYPTION, READ_CHUNK, multipart_threshold
from services.storage.application.ports import UploadTarget, UploadTargets
from services.storage.domain.errors import UploadIncomplete
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, BlobReceipt

T = TypeVar("T")
_MIB = 1024 * 1024
_PART = 16 * _MIB
_MOST_PARTS = 10_000
"""S3's own limit."""
_INCOMPLETE = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest"}


class S3DirectStore:
    """Signs what one writer may do with one key; see `DirectStore`.

    What has arrived is read back once to take its SHA-256, as not every store checks what arrives; `verify` False
    leaves that to the store.
    """

    def __init__(self, client: Any, buckets: BucketNames, *, threads: int = 4, verify: bool = True) -> None:
        self._client = client
        self._buckets = buckets
        self._verify = verify
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="s3-direct")

    def close(self) -> None:
        """Wait for the threads to end; the client is its maker's to close."""
        self._executor.shutdown()

    async def plan(
        self, address: BlobAddress, size_bytes: int, *, content_type: str, lifetime: timedelta
    ) -> UploadTargets:
        """See `DirectStore.plan`. One part below 25 MiB, videos below 50 MiB."""
        return await self._run(self._plan, address, size_bytes, content_type, int(lifetime.total_seconds()))

    async def join(self, address: BlobAddress, upload_id: str, etags: Sequence[str]) -> None:
        """See `DirectStore.join`."""
        if upload_id:
            await self._run(self._join, address, upload_id, etags)

    async def measure(self, address: BlobAddress, size_bytes: int, sha256: str) -> BlobReceipt:
        """See `DirectStore.measure`."""
        return await self._run(self._measure, address, BlobReceipt(size_bytes, sha256))

    def _plan(self, address: BlobAddress, size: int, content_type: str, seconds: int) -> UploadTargets:
        if size < multipart_threshold(address.bucket):
            wanted = {**self._place(address), "ContentType": content_type, "ContentLength": size, **ENCRYPTION}
            headers = {"Content-Type": content_type, "x-amz-server-side-encryption": ENCRYPTION["ServerSideEncryption"]}
            return UploadTargets("", (self._target("put_object", wanted, headers, 0, size, seconds),))
        with translated():
            begun = self._client.create_multipart_upload(**self._place(address), ContentType=content_type, **ENCRYPTION)
        upload_id: str = begun["UploadId"]
        part = max(_PART, -(-size // _MOST_PARTS))
        targets = []
        for number, offset in enumerate(range(0, size, part), start=1):
            length = min(part, size - offset)
            wanted = {**self._place(address), "UploadId": upload_id, "PartNumber": number, "ContentLength": length}
            targets.append(self._target("upload_part", wanted, {}, offset, length, seconds))
        return UploadTargets(upload_id, tuple(targets))

    def _target(
        self, action: str, wanted: Mapping[str, Any], headers: Mapping[str, str], offset: int, size: int, seconds: int
    ) -> UploadTarget:
        with translated():
            url = self._client.generate_presigned_url(action, Params=dict(wanted), ExpiresIn=seconds)
        return UploadTarget(url, {**headers, "Content-Length": str(size)}, offset, size)

    def _join(self, address: BlobAddress, upload_id: str, etags: Sequence[str]) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        if not parts:
            raise UploadIncomplete("no part of the upload is named")
        with translated():
            try:
                self._client.complete_multipart_upload(
                    **self._place(address), UploadId=upload_id, MultipartUpload={"Parts": parts}
                )
            except ClientError as error:
                if says_missing(error):
                    return  # joined before, or given up: whether the object is there will tell
                if code_of(error) in _INCOMPLETE:
                    raise UploadIncomplete("the store does not have all parts as they were named") from error
                raise

    def _measure(self, address: BlobAddress, announced: BlobReceipt) -> BlobReceipt:
        digest, size = hashlib.sha256(), 0
        with translated():
            if not self._verify:
                found = self._client.head_object(**self._place(address))
                return replace(announced, version=str(found.get("VersionId", "")))
            found = self._client.get_object(**self._place(address))
            with closing(found["Body"]) as body:
                while data := body.read(READ_CHUNK):
                    digest.update(data)
                    size += len(data)
        return BlobReceipt(size, digest.hexdigest(), str(found.get("VersionId", "")))

    def _place(self, address: BlobAddress) -> dict[str, str]:
        return {"Bucket": self._buckets.of(address.bucket), "Key": address.key}

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(*args))
