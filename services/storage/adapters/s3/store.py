"""`BlobStore` on S3."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, ReadTimeoutError, ResponseStreamingError

from services.storage.adapters.s3.client import says_missing, says_unsupported, translated
from services.storage.adapters.s3.feed import Feed
from services.storage.application.ports import Presentation
from services.storage.domain.errors import BytesLost, StorageError, StorageUnavailable
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, BlobReceipt, Bucket

T = TypeVar("T")

READ_CHUNK = 128 * 1024
_VERIFY_CHUNK = 1024 * 1024
_MIB = 1024 * 1024
_PART = 8 * _MIB
_MULTIPART_FROM = {Bucket.VIDEOS: 50 * _MIB}
_MULTIPART_ELSE = 25 * _MIB
_PARTS_AT_ONCE = 4
ENCRYPTION = {"ServerSideEncryption": "AES256"}


def multipart_threshold(bucket: Bucket) -> int:
    """From which length on, in bytes, an object goes in parts."""
    return _MULTIPART_FROM.get(bucket, _MULTIPART_ELSE)


class SignsUrls(Protocol):
    """Makes URLs of objects that something before the store serves."""

    def sign(self, address: BlobAddress, expires_at: datetime, content_type: str, presentation: Presentation) -> str:
        """An absolute URL that serves this object until then."""
        ...


class S3BlobStore:
    """Objects `{key}` in the buckets of `buckets`, which exist.

    boto3 blocks, so its calls run in threads of the store's own. What was stored is read back once and its SHA-256
    compared, as not every store checks what arrives; `verify` False leaves that to the store.
    """

    def __init__(
        self,
        client: Any,
        buckets: BucketNames,
        *,
        threads: int = 16,
        verify: bool = True,
        edge: SignsUrls | None = None,
    ) -> None:
        """`edge` signs the URLs that clients get, in place of the store."""
        self._edge = edge
        self._client = client
        self._buckets = buckets
        self._verify = verify
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="s3")

    def close(self) -> None:
        """Wait for the threads to end; the client is its maker's to close."""
        self._executor.shutdown()

    async def put(self, address: BlobAddress, chunks: AsyncIterator[bytes], *, content_type: str) -> BlobReceipt:
        """See `BlobStore.put`. In parts beyond 25 MiB, videos beyond 50 MiB."""
        feed = Feed(chunks, asyncio.get_running_loop())
        try:
            version = await self._run(self._upload, address, feed, content_type, on_cancel=feed.stop)
            return await self._run(self._checked, address, feed, version)
        except BaseException as error:
            with contextlib.suppress(StorageError):  # the first error counts; the sweep removes what is left
                await self._run(self._remove, address)
            if feed.failure is not None and isinstance(error, Exception):
                raise feed.failure from None
            raise
        finally:
            feed.close()

    async def read(self, address: BlobAddress, offset: int, length: int) -> AsyncGenerator[bytes]:
        """See `BlobStore.read`."""
        if not length:
            if await self.head(address) is None:
                raise BytesLost("the bytes of the object are missing")
            return
        body = await self._run(self._open, address, offset, length)
        try:
            left = length
            while left:
                data = await self._run(_read, body, min(READ_CHUNK, left))
                left -= len(data)
                yield data
        finally:
            await self._run(body.close)

    async def head(self, address: BlobAddress) -> int | None:
        """See `BlobStore.head`."""
        return await self._run(self._head, address)

    async def delete(self, address: BlobAddress) -> None:
        """See `BlobStore.delete`. All versions go, and the parts of uploads that were never completed."""
        await self._run(self._remove, address)

    async def presign(
        self, address: BlobAddress, *, expires_at: datetime, content_type: str, presentation: Presentation
    ) -> str | None:
        """See `BlobStore.presign`. For GET only: S3 signs the method."""
        if self._edge is not None:
            return self._edge.sign(address, expires_at, content_type, presentation)
        wanted = {
            **self._place(address),
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition(presentation),
        }
        if presentation.cache_control:
            wanted["ResponseCacheControl"] = presentation.cache_control
        seconds = max(int((expires_at - datetime.now(UTC)).total_seconds()), 1)
        url: str = await self._run(
            lambda: self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=seconds)
        )
        return url

    def _upload(self, address: BlobAddress, feed: Feed, content_type: str) -> str | None:
        """The version of what is stored, where the store tells: of an object that goes in one piece."""
        place = self._place(address)
        extra = {"ContentType": content_type, **ENCRYPTION}
        with translated():
            if feed.ends_within(multipart_threshold(address.bucket) - 1):
                return str(self._client.put_object(**place, **extra, Body=feed.read()).get("VersionId", ""))
            config = TransferConfig(
                multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=_PARTS_AT_ONCE
            )
            config.max_in_memory_upload_chunks = _PARTS_AT_ONCE
            self._client.upload_fileobj(feed, place["Bucket"], place["Key"], ExtraArgs=extra, Config=config)
            return None

    def _checked(self, address: BlobAddress, feed: Feed, version: str | None) -> BlobReceipt:
        """What was sent. Raises StorageUnavailable when the store has other bytes: they may be sent again."""
        receipt = BlobReceipt(feed.size, feed.sha256, version or "")
        if not self._verify:
            if version is not None:
                return receipt
            found = self._facts(address)
            if found is None or found[0] != receipt.size_bytes:
                raise StorageUnavailable("the object store has not kept all bytes")
            return replace(receipt, version=found[1])
        digest = hashlib.sha256()
        with translated():
            answer = self._client.get_object(**self._place(address))
            with contextlib.closing(answer["Body"]) as body:
                while data := body.read(_VERIFY_CHUNK):
                    digest.update(data)
        if digest.hexdigest() != receipt.sha256:
            raise StorageUnavailable("the object store has kept other bytes than were sent")
        return replace(receipt, version=str(answer.get("VersionId", "")))

    def _open(self, address: BlobAddress, offset: int, length: int) -> Any:
        wanted = f"bytes={offset}-{offset + length - 1}"
        with translated():
            try:
                found = self._client.get_object(**self._place(address), Range=wanted)
            except ClientError as error:
                if says_missing(error) or error.response.get("Error", {}).get("Code") == "InvalidRange":
                    raise BytesLost("the bytes of the object are missing") from error
                raise
        if found["ContentLength"] != length:
            found["Body"].close()
            raise BytesLost("the bytes of the object end too early")
        return found["Body"]

    def _head(self, address: BlobAddress) -> int | None:
        found = self._facts(address)
        return None if found is None else found[0]

    def _facts(self, address: BlobAddress) -> tuple[int, str] | None:
        """Length in bytes and version; None when there is nothing."""
        with translated():
            try:
                found = self._client.head_object(**self._place(address))
                return int(found["ContentLength"]), str(found.get("VersionId", ""))
            except ClientError as error:
                if says_missing(error):
                    return None
                raise

    def _remove(self, address: BlobAddress) -> None:
        place = self._place(address)
        with translated():
            for upload in self._unfinished(place):
                with contextlib.suppress(ClientError):  # completed or aborted meanwhile
                    self._client.abort_multipart_upload(**place, UploadId=upload)
            for version in self._versions(place):
                self._client.delete_object(**place, **version)

    def _unfinished(self, place: dict[str, str]) -> list[str]:
        try:
            found = self._client.list_multipart_uploads(Bucket=place["Bucket"], Prefix=place["Key"])
        except ClientError as error:
            if says_unsupported(error) or says_missing(error):  # some stores say that of having none
                return []
            raise
        return [upload["UploadId"] for upload in found.get("Uploads", []) if upload["Key"] == place["Key"]]

    def _versions(self, place: dict[str, str]) -> list[dict[str, str]]:
        """What to delete: every version and delete marker; without versions the object as it is."""
        try:
            pages = self._client.get_paginator("list_object_versions").paginate(
                Bucket=place["Bucket"], Prefix=place["Key"]
            )
            found = [each for page in pages for kind in ("Versions", "DeleteMarkers") for each in page.get(kind, [])]
        except ClientError as error:
            if says_unsupported(error):
                return [{}]
            raise
        mine = [each for each in found if each["Key"] == place["Key"]]
        return [{"VersionId": each["VersionId"]} for each in mine if each.get("VersionId", "null") != "null"] or [{}]

    def _place(self, address: BlobAddress) -> dict[str, str]:
        return {"Bucket": self._buckets.of(address.bucket), "Key": address.key}

    async def _run(self, work: Callable[..., T], *args: object, on_cancel: Callable[[], None] | None = None) -> T:
        """Run blocking work in a thread, and wait for it even when cancelled: it cannot be interrupted."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(*args))
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as error:
                cancelled = error
                if on_cancel is not None:
                    on_cancel()
        if cancelled is not None:
            future.exception()  # retrieved, so that it is not reported as forgotten
            raise cancelled
        return future.result()


def _read(body: Any, size: int) -> bytes:
    try:
        data: bytes = body.read(size)
    except (ResponseStreamingError, ReadTimeoutError) as error:
        raise StorageUnavailable("the object store broke off") from error
    if not data:
        raise BytesLost("the bytes of the object end too early")
    return data


def disposition(presentation: Presentation) -> str:
    """`Content-Disposition` (RFC 6266, RFC 8187): a plain name for old clients, the name itself for all others."""
    kind = "inline" if presentation.inline else "attachment"
    if not presentation.filename:
        return kind
    plain = "".join(mark if " " <= mark <= "~" and mark not in '"\\%' else "_" for mark in presentation.filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(presentation.filename, safe='')}"
