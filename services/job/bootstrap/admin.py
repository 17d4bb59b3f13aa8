"""The part for operators."""

from __future__ import annotations

import grpc

from services.job.adapters.postgres.failed_jobs import PostgresFailedJobs
from services.job.adapters.postgres.retention import PostgresAudit
from services.job.api.admin_servicer import AdminServicer
from services.job.application.admin import Admin
from services.job.application.failed_jobs import FailedJobs
from services.job.bootstrap.base import Base, Part
from t2m.job.v1 import admin_service_pb2_grpc


def build_admin(base: Base) -> Part:
    """`JobAdminService`."""
    failed = PostgresFailedJobs(base.engine)
    admin = Admin(
        base.store,
        failed,
        base.queue,
        PostgresAudit(base.engine),
        base.orders,
        base.tokens,
        base.clock,
        base.wake.dispatch,
        base.commanded,
    )
    servicer = AdminServicer(admin, FailedJobs(failed, base.tokens), base.limits.in_flight)

    def add(server: grpc.aio.Server) -> str:
        admin_service_pb2_grpc.add_JobAdminServiceServicer_to_server(servicer, server)
        return "t2m.job.v1.JobAdminService"

    return Part([add])
