"""The part that shows a user's figures."""

from __future__ import annotations

import grpc

from services.job.adapters.postgres.dashboard import PostgresDashboard
from services.job.api.dashboard_servicer import DashboardServicer
from services.job.application.dashboard import Dashboard
from services.job.bootstrap.base import Base, Part
from t2m.job.v1 import dashboard_service_pb2_grpc


def build_dashboard(base: Base) -> Part:
    """`DashboardService`."""
    dashboard = Dashboard(PostgresDashboard(base.engine), base.queries, base.clock)

    def add(server: grpc.aio.Server) -> str:
        dashboard_service_pb2_grpc.add_DashboardServiceServicer_to_server(DashboardServicer(dashboard), server)
        return "t2m.job.v1.DashboardService"

    return Part([add])
