"""The whole stack under mutual TLS (row A5): what a video needs is open, and nothing answers without proof."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from deploy.local import certificates
from t2m.job.v1 import job_service_pb2 as pb
from t2m.job.v1 import job_service_pb2_grpc
from t2m.video_render.v1 import render_service_pb2, render_service_pb2_grpc
from tests.e2e.local_stack import SAMPLE, LocalStack, watch

SERVICES = ("auth", "job", "storage", "video_render")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """`T2M_LOCAL_TLS=true make up`."""
    stack = LocalStack(tmp_path_factory.mktemp("tls-stack"), T2M_LOCAL_TLS="true")
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


def test_a5_a_video_is_made_and_downloaded_under_mutual_tls(sealed: LocalStack) -> None:
    """Every call of the architecture is on the allow-lists: order, render, store, watch, download, delete."""
    key = sealed.api_key("ada@t2m.example")
    with sealed.client(key) as client:
        job_id = client.post("/api/v1/videos/generate", json=SAMPLE).json()["job_id"]
        assert watch(lambda: sealed.client(key), job_id).ended == "completed"
        video = client.get(f"/api/v1/videos/jobs/{job_id}/download")
        assert (video.status_code, video.content[4:8]) == (200, b"ftyp")
        assert client.post(f"/api/v1/videos/jobs/{job_id}:remix", json={}).is_success
        assert client.post("/api/v1/files?filename=a.txt", content=b"Words.\n").status_code == 201
        assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    for name in (*SERVICES, "gateway"):
        log = (sealed.folder / "logs" / f"{name}.log").read_text()
        assert "may not call" not in log
        assert "came over a connection" not in log


@pytest.mark.parametrize("service", SERVICES)
def test_a5_no_service_answers_in_plain_text(sealed: LocalStack, service: str) -> None:
    with grpc.insecure_channel(sealed.address(service)) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a5_a_person_at_this_machine_calls_by_the_certificate_that_is_meant_for_that(sealed: LocalStack) -> None:
    """`local` may do what the gateway may: users' methods with a user's credential, no internal ones."""
    credentials = certificates.credentials(sealed.folder / "tls" / "local")
    with grpc.secure_channel(sealed.address("job"), credentials) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            job_service_pb2_grpc.JobServiceStub(channel).ListJobs(pb.ListJobsRequest(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with grpc.secure_channel(sealed.address("video_render"), credentials) as channel:
        stub = render_service_pb2_grpc.RenderServiceStub(channel)
        request = render_service_pb2.GetRenderRequest(render_id="x")
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetRender(request, timeout=10)
        assert caught.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
