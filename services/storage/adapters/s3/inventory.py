"""`BlobInventory` on S3."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from services.storage.adapters.s3.client import says_missing, says_unsupported, translated
from services.storage.application.inventory import BlobPage, FoundBlob
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import BlobAddress, Bucket

T = TypeVar("T")


class S3Inventory:
    """Lists versions where the store keeps them, so that a key whose objects are only hidden is found as well."""

    def __init__(self, client: Any, buckets: BucketNames) -> None:
        self._client = client
        self._buckets = buckets

    async def page(self, bucket: Bucket, after: str, limit: int) -> BlobPage:
        """See `BlobInventory.page`."""
        return await self._run(lambda: self._page(self._buckets.of(bucket), after, limit))

    async def unfinished(self, bucket: Bucket, limit: int) -> Sequence[FoundBlob]:
        """See `BlobInventory.unfinished`. Nothing where the store does not list uploads."""
        return await self._run(lambda: list(itertools.islice(self._uploads(self._buckets.of(bucket)), limit)))

    async def discard_unfinished(self, address: BlobAddress) -> None:
        """See `BlobInventory.discard_unfinished`."""
        await self._run(lambda: self._abort(self._buckets.of(address.bucket), address.key))

    def _page(self, bucket: str, after: str, limit: int) -> BlobPage:
        with translated():
            try:
                answer = self._client.list_object_versions(Bucket=bucket, KeyMarker=after, MaxKeys=limit)
            except ClientError as error:
                if not says_unsupported(error):
                    raise
                answer = self._client.list_objects_v2(Bucket=bucket, StartAfter=after, MaxKeys=limit)
        newest: dict[str, FoundBlob] = {}
        for each in [each for kind in ("Versions", "DeleteMarkers", "Contents") for each in answer.get(kind, [])]:
            found = FoundBlob(each["Key"], each.get("Size", 0), each["LastModified"])
            if found.key not in newest or newest[found.key].modified_at < found.modified_at:
                newest[found.key] = found
        # A page that ends among the versions of a key has seen the newest of them, and that is enough.
        page = [newest[key] for key in sorted(newest, key=str.encode)]
        return BlobPage(page, page[-1].key if page and answer.get("IsTruncated") else None)

    def _uploads(self, bucket: str, prefix: str = "") -> Iterator[FoundBlob]:
        for upload in self._listed_uploads(bucket, prefix):
            yield FoundBlob(upload["Key"], 0, upload["Initiated"])

    def _listed_uploads(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        with translated():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
            try:
                for page in pages:
                    yield from page.get("Uploads", [])
            except ClientError as error:
                if not (says_unsupported(error) or says_missing(error)):  # some stores say the latter of having none
                    raise

    def _abort(self, bucket: str, key: str) -> None:
        uploads = [upload for upload in self._listed_uploads(bucket, key) if upload["Key"] == key]
        with translated():
            for upload in uploads:
                with contextlib.suppress(self._client.exceptions.NoSuchUpload):  # completed or aborted meanwhile
                    self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, work)
