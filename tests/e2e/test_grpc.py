"""The main job over gRPC, with the stub package alone in an empty virtual environment."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from tests.e2e.local_stack import CHECKOUT, LocalStack

CLIENT = """
import sys, grpc
from t2m.auth.v1 import token_service_pb2 as auth, token_service_pb2_grpc as auth_grpc
from t2m.job.v1 import job_service_pb2 as job, job_service_pb2_grpc as job_grpc, job_pb2
auth_address, job_address, api_key = sys.argv[1:]
tokens = auth_grpc.TokenServiceStub(grpc.insecure_channel(auth_address))
bearer = tokens.ExchangeCredential(auth.ExchangeCredentialRequest(api_key=api_key)).internal_token
metadata = [("authorization", f"Bearer {bearer}")]
jobs = job_grpc.JobServiceStub(grpc.insecure_channel(job_address))
request = job.CreateJobRequest(topic="A line", context="# A line\\n- It is straight", quality=1)
created = jobs.CreateJob(request, metadata=metadata).job
for answer in jobs.WatchJob(job.WatchJobRequest(job_id=created.job_id, after_seq=0), metadata=metadata):
    print(answer.event.seq, answer.event.WhichOneof("event"))
ended = jobs.GetJob(job.GetJobRequest(job_id=created.job_id), metadata=metadata).job
print(job_pb2.JobStatus.Name(ended.status))
"""


def test_J7_the_stub_package_alone_drives_a_job(stack: LocalStack, key: str, tmp_path: Path) -> None:
    """V1, J7: a client that has nothing of t2m but `t2m-protos` orders a video and watches it to the end."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    locked = [line.split()[0] for line in (CHECKOUT / "requirements.lock").read_text().splitlines()]
    needs = [line for line in locked if line.startswith(("grpcio==", "protobuf==", "googleapis-common-protos=="))]
    source = tmp_path / "protos"
    subprocess.run(["cp", "-r", str(CHECKOUT / "protos" / "python"), str(source)], check=True)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*uv, str(source), *needs], check=True, timeout=120)
    done = subprocess.run(
        [str(python), "-I", "-c", CLIENT, stack.address("auth"), stack.address("job"), key],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *events, status = done.stdout.split("\n")[:-1]
    assert status == "JOB_STATUS_COMPLETED"
    assert [int(line.split()[0]) for line in events] == list(range(1, len(events) + 1))
