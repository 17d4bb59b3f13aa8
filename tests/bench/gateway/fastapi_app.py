"""A gateway as a good engineer writes it today: FastAPI on uvloop and httptools, orjson, the stubs of `grpc.aio`, a
model of the body. No limits, no metrics, no access log; credentials are remembered for ever. The peer of `unary.py`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import grpc
import orjson
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from google.protobuf import json_format
from pydantic import BaseModel, ConfigDict, Field

from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc
from t2m.job.v1 import job_service_pb2, job_service_pb2_grpc

Metadata = list[tuple[str, str]]
_STATUS = {grpc.StatusCode.NOT_FOUND: 404, grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.INVALID_ARGUMENT: 422}


class Order(BaseModel):
    """The body of POST /api/v1/videos/generate."""

    model_config = ConfigDict(extra="forbid")

    topic: str = Field(min_length=1, max_length=500)
    context: str = Field(min_length=1, max_length=2000)
    model: str = ""
    quality: Literal["QUALITY_LOW", "QUALITY_MEDIUM", "QUALITY_HIGH"] = "QUALITY_MEDIUM"
    quality_levels: list[Literal["480p", "720p", "1080p"]] = []
    narration: bool = False
    configuration: dict[str, Any] = {}
    max_retries: int | None = Field(None, ge=0, le=10)


class Services:
    """The stubs, and the internal tokens of the credentials seen so far."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self.jobs: Any = job_service_pb2_grpc.JobServiceStub(self.channel)
        self._auth: Any = token_service_pb2_grpc.TokenServiceStub(self.channel)
        self._tokens: dict[str, str] = {}

    async def metadata(self, authorization: str) -> Metadata:
        """The internal token of the caller."""
        token = self._tokens.get(authorization)
        if token is None:
            secret = authorization.removeprefix("Bearer ")
            request = token_service_pb2.ExchangeCredentialRequest(access_token=secret)
            token = self._tokens[authorization] = (await self._auth.ExchangeCredential(request)).internal_token
        return [("authorization", f"Bearer {token}")]


@asynccontextmanager
async def lifespan(running: FastAPI) -> AsyncIterator[None]:
    """Open the channel in the running loop."""
    running.state.services = Services(os.environ["T2M_JOB_ADDRESS"])
    yield
    await running.state.services.channel.close()


async def caller(request: Request, authorization: Annotated[str, Header()]) -> Metadata:
    """Who calls."""
    metadata: Metadata = await request.app.state.services.metadata(authorization)
    return metadata


Caller = Annotated[Metadata, Depends(caller)]
app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/api/v1/jobs/{job_id}")
async def get_job(request: Request, job_id: str, metadata: Caller) -> Response:
    """One job."""
    message = job_service_pb2.GetJobRequest(job_id=job_id)
    return answer((await call(request.app.state.services.jobs.GetJob, message, metadata)).job)


@app.post("/api/v1/videos/generate")
async def create_job(request: Request, order: Order, metadata: Caller) -> Response:
    """Order a video."""
    message = json_format.ParseDict(order.model_dump(exclude_none=True), job_service_pb2.CreateJobRequest())
    return answer((await call(request.app.state.services.jobs.CreateJob, message, metadata)).job, 201)


async def call(method: Any, request: Any, metadata: Metadata) -> Any:
    """The response message. Raises HTTPException."""
    try:
        return await method(request, metadata=metadata, timeout=15)
    except grpc.aio.AioRpcError as error:
        raise HTTPException(_STATUS.get(error.code(), 500), error.details()) from error


def answer(message: Any, status: int = 200) -> Response:
    """The message as JSON."""
    tree = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return Response(orjson.dumps(tree), status, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["T2M_GATEWAY_PORT"]),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
