"""`BatchService`: decode, use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from services.job.api import batch_codec, codec
from services.job.api.servicer import Context, current_viewer
from services.job.application.batches import Batches
from services.job.domain.batch import Batch, BatchStatus
from services.runtime.errors import unavailable
from services.runtime.identity import current_drain
from t2m.job.v1 import batch_pb2, batch_service_pb2_grpc
from t2m.job.v1 import batch_service_pb2 as pb


class BatchServicer(batch_service_pb2_grpc.BatchServiceServicer):
    """Orders for many videos at once."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def CreateBatch(self, request: pb.CreateBatchRequest, context: Context) -> pb.CreateBatchResponse:
        """Accept what can be accepted."""
        wishes = batch_codec.wishes(request)
        outcome = await self._batches.create(current_viewer(), wishes, request.webhook_url, request.request_id)
        return batch_codec.outcome(outcome)

    async def GetBatch(self, request: pb.GetBatchRequest, context: Context) -> pb.GetBatchResponse:
        """The batch."""
        batch = await self._batches.get(current_viewer(), codec.canonical_id(request.batch_id))
        return pb.GetBatchResponse(batch=batch_codec.batch(batch))

    async def ListBatches(self, request: pb.ListBatchesRequest, context: Context) -> pb.ListBatchesResponse:
        """A page of the caller's batches."""
        limit = request.page_size or codec.DEFAULT_PAGE
        batches, token = await self._batches.page(current_viewer(), request.page_token, limit)
        return pb.ListBatchesResponse(batches=[batch_codec.batch(each) for each in batches], next_page_token=token)

    async def CancelBatch(self, request: pb.CancelBatchRequest, context: Context) -> pb.CancelBatchResponse:
        """Stop every job of it."""
        batch = await self._batches.cancel(current_viewer(), codec.canonical_id(request.batch_id))
        return pb.CancelBatchResponse(batch=batch_codec.batch(batch))

    async def WatchBatch(self, request: pb.WatchBatchRequest, context: Context) -> AsyncIterator[pb.WatchBatchResponse]:
        """Follow a batch to its end."""
        after = request.after_seq if request.HasField("after_seq") else None
        opened = await self._batches.watch(current_viewer(), codec.canonical_id(request.batch_id), after)
        terminal = False
        async with aclosing(opened) as stream:
            async for item in stream:
                if isinstance(item, Batch):
                    terminal = item.status is not BatchStatus.PROCESSING
                    yield pb.WatchBatchResponse(event=batch_codec.snapshot(item))
                else:
                    terminal = item.terminal
                    yield pb.WatchBatchResponse(event=batch_pb2.BatchEvent.FromString(item.payload))
        if not terminal and current_drain().is_set():
            raise unavailable("the server is shutting down; watch again from the last seq received")
