"""`JobAdminService`: decode, use case, encode."""

from __future__ import annotations

from services.job.api import codec
from services.job.api.servicer import Context, current_viewer
from services.job.application.admin import Admin
from services.job.application.failed_jobs import FailedJobs, FailedQuery
from services.job.application.queries import JobView
from services.job.application.queueing import QueueState
from services.job.domain.audit import AuditEntry
from t2m.job.v1 import admin_service_pb2 as pb
from t2m.job.v1 import admin_service_pb2_grpc

_DEFAULT_ENTRIES = 50


class AdminServicer(admin_service_pb2_grpc.JobAdminServiceServicer):
    """What operators do."""

    def __init__(self, admin: Admin, failed: FailedJobs, slots: int) -> None:
        self._admin = admin
        self._failed = failed
        self._slots = slots

    async def ReprocessJob(self, request: pb.ReprocessJobRequest, context: Context) -> pb.ReprocessJobResponse:
        """Order a job again."""
        job = await self._admin.reprocess(current_viewer(), codec.canonical_id(request.job_id))
        return pb.ReprocessJobResponse(job=codec.job(JobView(job, job.first_estimate)))

    async def ListFailedJobs(self, request: pb.ListFailedJobsRequest, context: Context) -> pb.ListFailedJobsResponse:
        """A page of failed jobs."""
        query = FailedQuery(
            codec.without_nul("error_code", request.error_code),
            codec.without_nul("owner_id", request.owner_id),
            codec.moment_of(request, "failed_after"),
        )
        jobs, token = await self._failed.page(query, request.page_token, request.page_size or codec.DEFAULT_PAGE)
        return pb.ListFailedJobsResponse(jobs=[codec.job(JobView(job, None)) for job in jobs], next_page_token=token)

    async def RequeueJob(self, request: pb.RequeueJobRequest, context: Context) -> pb.RequeueJobResponse:
        """Take a job back."""
        job = await self._admin.requeue(current_viewer(), codec.canonical_id(request.job_id))
        return pb.RequeueJobResponse(job=codec.job(JobView(job, None)))

    async def DrainQueue(self, request: pb.DrainQueueRequest, context: Context) -> pb.DrainQueueResponse:
        """Start nothing any more."""
        return pb.DrainQueueResponse(queue=self._queue(await self._admin.drain(current_viewer())))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Context) -> pb.ResumeQueueResponse:
        """Start jobs again."""
        return pb.ResumeQueueResponse(queue=self._queue(await self._admin.resume(current_viewer())))

    async def GetQueue(self, request: pb.GetQueueRequest, context: Context) -> pb.GetQueueResponse:
        """The queue."""
        return pb.GetQueueResponse(queue=self._queue(await self._admin.queue()))

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        """A page of the audit."""
        job_id = codec.without_nul("job_id", request.job_id)
        entries, token = await self._admin.audit(job_id, request.page_token, request.page_size or _DEFAULT_ENTRIES)
        return pb.ListAuditEntriesResponse(entries=[_entry(entry) for entry in entries], next_page_token=token)

    def _queue(self, state: QueueState) -> pb.JobQueue:
        return pb.JobQueue(
            drained=state.drained_at is not None,
            drained_by=state.drained_by,
            drained_at=codec.stamp(state.drained_at),
            depths=[
                pb.JobQueueDepth(
                    priority=codec.PRIORITIES[depth.priority],
                    ready_count=depth.ready,
                    delayed_count=depth.delayed,
                    oldest_created_at=codec.stamp(depth.oldest_created_at),
                )
                for depth in state.depths
            ],
            processing_count=state.processing,
            slot_count=self._slots,
        )


def _entry(source: AuditEntry) -> pb.JobAuditEntry:
    return pb.JobAuditEntry(
        entry_id=source.entry_id,
        occurred_at=codec.stamp(source.occurred_at),
        actor=source.note.actor,
        action=source.note.action,
        job_id=source.job_id,
        owner_id=source.owner_id,
        details=dict(source.note.details),
    )
