"""Batches as protos, and their requests as what the use cases take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from services.job.api import codec
from services.job.application.batches import BatchOutcome
from services.job.application.queries import JobView
from services.job.application.request import OrderRequest
from services.job.domain.batch import Batch, BatchEvent, BatchStatus, Refusal
from services.job.domain.job import Job
from services.job.domain.values import JobStatus
from services.runtime.validation import validate
from t2m.job.v1 import batch_pb2
from t2m.job.v1 import batch_service_pb2 as pb

STATUSES: Mapping[BatchStatus, Any] = {
    status: batch_pb2.BatchStatus.Value(f"BATCH_STATUS_{status.name}") for status in BatchStatus
}


def wishes(request: pb.CreateBatchRequest) -> list[OrderRequest | Refusal]:
    """What the client wants, item by item; an item whose fields break a rule, or could not be read, is refused."""
    unreadable: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for bad in request.unreadable:
        unreadable[bad.index].append((bad.field, bad.description))
    return [_wish(index, item, unreadable.get(index)) for index, item in enumerate(request.requests)]


def _wish(index: int, item: Any, unreadable: list[tuple[str, str]] | None) -> OrderRequest | Refusal:
    violations = unreadable or [(path, text) for path, text in validate(item)]
    if not unreadable and item.request_id:
        violations.append(("request_id", "must not be set: the batch's own names all its items"))
    if violations:
        return Refusal(index, "VALIDATION_FAILED", "the item is not valid", tuple(violations))
    return codec.order_request(item)


def batch(source: Batch) -> batch_pb2.Batch:
    """The batch as it is now."""
    return batch_pb2.Batch(
        batch_id=source.batch_id,
        owner_id=source.owner_id,
        status=STATUSES[source.status],
        progress=source.progress,
        total_count=source.total,
        refused_count=len(source.refusals),
        queued_count=source.counts[JobStatus.QUEUED],
        processing_count=source.counts[JobStatus.PROCESSING],
        completed_count=source.counts[JobStatus.COMPLETED],
        failed_count=source.counts[JobStatus.FAILED],
        cancelled_count=source.counts[JobStatus.CANCELLED],
        refusals=[refusal(item) for item in source.refusals],
        revision=source.revision,
        created_at=codec.stamp(source.created_at),
        updated_at=codec.stamp(source.updated_at),
        completed_at=codec.stamp(source.completed_at),
        webhook_url=source.webhook_url,
    )


def refusal(source: Refusal) -> batch_pb2.BatchRefusal:
    """Why an item was refused."""
    violations = [batch_pb2.BatchFieldViolation(field=path, description=text) for path, text in source.violations]
    return batch_pb2.BatchRefusal(
        index=source.index, error_code=source.code, message=source.message, violations=violations
    )


def outcome(source: BatchOutcome) -> pb.CreateBatchResponse:
    """The answer to a new batch."""
    items = []
    for index, item in enumerate(source.items):
        if isinstance(item, Job):
            items.append(batch_pb2.BatchItem(index=index, job=codec.job(JobView(item, item.first_estimate))))
        else:
            items.append(batch_pb2.BatchItem(index=index, refusal=refusal(item)))
    return pb.CreateBatchResponse(batch=batch(source.batch), items=items)


def snapshot(source: Batch) -> batch_pb2.BatchEvent:
    """The first message of a watch without a position."""
    return batch_pb2.BatchEvent(
        seq=source.revision,
        batch_id=source.batch_id,
        occurred_at=codec.stamp(source.updated_at),
        snapshot=batch(source),
    )


def event_payload(batch_id: str, source: BatchEvent) -> bytes:
    """An entry of the history as it is stored and sent."""
    message = batch_pb2.BatchEvent(seq=source.seq, batch_id=batch_id, occurred_at=codec.stamp(source.occurred_at))
    counts = source.counts
    if source.status is BatchStatus.PROCESSING:
        message.progress.CopyFrom(
            batch_pb2.BatchProgressed(
                progress=source.progress,
                queued_count=counts[JobStatus.QUEUED],
                processing_count=counts[JobStatus.PROCESSING],
                completed_count=counts[JobStatus.COMPLETED],
                failed_count=counts[JobStatus.FAILED],
                cancelled_count=counts[JobStatus.CANCELLED],
            )
        )
    else:
        message.ended.CopyFrom(
            batch_pb2.BatchEnded(
                status=STATUSES[source.status],
                completed_count=counts[JobStatus.COMPLETED],
                failed_count=counts[JobStatus.FAILED],
                cancelled_count=counts[JobStatus.CANCELLED],
                refused_count=source.refused,
            )
        )
    return message.SerializeToString()


def is_last(payload: bytes) -> bool:
    """Whether the event is the last that a batch can have."""
    return batch_pb2.BatchEvent.FromString(payload).WhichOneof("event") == "ended"
