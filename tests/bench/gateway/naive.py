"""A gateway as one writes it first: Starlette, json_format, stubs. The peer of `unary.py`."""

from __future__ import annotations

import os
from typing import Any

import grpc
import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc
from t2m.job.v1 import job_service_pb2, job_service_pb2_grpc

STATE: dict[str, Any] = {}


async def metadata(request: Request) -> list[tuple[str, str]]:
    """The internal token of the caller, cached for ever."""
    credential = request.headers["authorization"].removeprefix("Bearer ")
    if credential not in STATE:
        auth = token_service_pb2_grpc.TokenServiceStub(STATE["channel"])
        answer: Any = auth.ExchangeCredential(token_service_pb2.ExchangeCredentialRequest(access_token=credential))
        STATE[credential] = (await answer).internal_token
    return [("authorization", f"Bearer {STATE[credential]}")]


def answer(message: Any, status: int = 200) -> Response:
    """The message as JSON."""
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )
    return Response(text, status, media_type="application/json")


async def get_job(request: Request) -> Response:
    """GET /api/v1/jobs/{job_id}."""
    message = job_service_pb2.GetJobRequest(job_id=request.path_params["job_id"])
    response = await STATE["jobs"].GetJob(message, metadata=await metadata(request), timeout=15)
    return answer(response.job)


async def create_job(request: Request) -> Response:
    """POST /api/v1/videos/generate."""
    message = json_format.Parse(await request.body(), job_service_pb2.CreateJobRequest())
    response = await STATE["jobs"].CreateJob(message, metadata=await metadata(request), timeout=15)
    return answer(response.job, 201)


async def connect() -> None:
    """Open the channel in the running loop."""
    STATE["channel"] = grpc.aio.insecure_channel(os.environ["T2M_JOB_ADDRESS"])
    STATE["jobs"] = job_service_pb2_grpc.JobServiceStub(STATE["channel"])


class Lifespan:
    """Starlette's life span."""

    def __init__(self, app: Starlette) -> None:
        pass

    async def __aenter__(self) -> None:
        await connect()

    async def __aexit__(self, *_: object) -> None:
        await STATE["channel"].close()


app = Starlette(
    routes=[
        Route("/api/v1/jobs/{job_id}", get_job),
        Route("/api/v1/videos/generate", create_job, methods=["POST"]),
    ],
    lifespan=Lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["T2M_GATEWAY_PORT"]), log_level="warning", loop="uvloop", http="httptools")
