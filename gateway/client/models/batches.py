"""Orders that were handed in together."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from gateway.client.models.jobs import Job

BatchStatus = Literal["unspecified", "processing", "completed", "partially_completed", "failed", "cancelled"]


class BatchFieldViolation(TypedDict):
    """A field at fault."""

    field: str
    description: str


class BatchRefusal(TypedDict):
    """Why an item was refused."""

    index: int
    error_code: str
    message: str
    violations: list[BatchFieldViolation]


class Batch(TypedDict):
    """Orders that were handed in together (V2). The jobs are ordinary jobs, listed with `batch_id`; the batch
    counts them.
    """

    batch_id: str
    owner_id: str
    status: BatchStatus
    progress: float
    total_count: int
    refused_count: int
    queued_count: int
    processing_count: int
    completed_count: int
    failed_count: int
    cancelled_count: int
    refusals: list[BatchRefusal]
    revision: int
    created_at: str
    updated_at: str
    completed_at: NotRequired[str]
    webhook_url: str


class BatchItem(TypedDict):
    """What became of one item."""

    index: int
    job: NotRequired[Job]
    refusal: NotRequired[BatchRefusal]


class CreateBatchResponse(TypedDict):
    """The accepted batch."""

    batch: Batch
    items: list[BatchItem]


class ListBatchesResponse(TypedDict):
    """A page of batches."""

    batches: list[Batch]
    next_page_token: str
