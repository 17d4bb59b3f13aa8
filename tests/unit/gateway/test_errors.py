"""gRPC status → HTTP answer (O6)."""

from __future__ import annotations

from datetime import datetime

import grpc
import orjson
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from gateway.codec import Violation
from gateway.errors import BY_CODE, ApiError, from_rpc, validation_failed
from t2m.common.v1.error_reason_pb2 import ErrorReason
from t2m.job.v1 import job_pb2

C = grpc.StatusCode


def failure(code: grpc.StatusCode, *details: Message, message: str = "words", raw: bytes | None = None) -> ApiError:
    """Translate a failed call with these details."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    metadata = grpc.aio.Metadata()
    if details or raw is not None:
        metadata.add("grpc-status-details-bin", status.SerializeToString() if raw is None else raw)
    return from_rpc(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=message))


def info(reason: str, domain: str = "t2m", **metadata: str) -> error_details_pb2.ErrorInfo:
    """An ErrorInfo."""
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


# Every reason of the contract with the code that error_reason.proto says it comes with.
REASONS = [
    ("INTERNAL", C.INTERNAL, 500, "INTERNAL_ERROR"),
    ("VALIDATION_FAILED", C.INVALID_ARGUMENT, 422, "VALIDATION_ERROR"),
    ("CREDENTIAL_MISSING", C.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
    ("CREDENTIAL_INVALID", C.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
    ("CREDENTIAL_EXPIRED", C.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
    ("PERMISSION_DENIED", C.PERMISSION_DENIED, 403, "PERMISSION_DENIED"),
    ("NOT_FOUND", C.NOT_FOUND, 404, "NOT_FOUND"),
    ("ALREADY_EXISTS", C.ALREADY_EXISTS, 409, "CONFLICT"),
    ("IDEMPOTENCY_CONFLICT", C.ALREADY_EXISTS, 409, "CONFLICT"),
    ("STATE_CONFLICT", C.FAILED_PRECONDITION, 409, "CONFLICT"),
    ("CONCURRENT_UPDATE", C.ABORTED, 409, "CONFLICT"),
    ("POSITION_EXPIRED", C.OUT_OF_RANGE, 410, "POSITION_EXPIRED"),
    ("RANGE_NOT_SATISFIABLE", C.OUT_OF_RANGE, 416, "RANGE_NOT_SATISFIABLE"),
    ("RATE_LIMITED", C.RESOURCE_EXHAUSTED, 429, "RATE_LIMIT_EXCEEDED"),
    ("QUOTA_EXHAUSTED", C.RESOURCE_EXHAUSTED, 429, "QUOTA_EXHAUSTED"),
    ("UNAVAILABLE", C.UNAVAILABLE, 503, "SERVICE_UNAVAILABLE"),
    ("DEADLINE_EXCEEDED", C.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
    ("CANCELLED", C.CANCELLED, 503, "SERVICE_UNAVAILABLE"),
    ("METHOD_NOT_FOUND", C.UNIMPLEMENTED, 501, "NOT_IMPLEMENTED"),
    ("MALFORMED_REQUEST", C.INVALID_ARGUMENT, 400, "MALFORMED_REQUEST"),
    ("REQUEST_TOO_LARGE", C.RESOURCE_EXHAUSTED, 413, "REQUEST_TOO_LARGE"),
    ("CHECKSUM_MISMATCH", C.DATA_LOSS, 500, "INTERNAL_ERROR"),
    ("UNSUPPORTED", C.INVALID_ARGUMENT, 422, "VALIDATION_ERROR"),
    ("READER_TOO_SLOW", C.ABORTED, 409, "CONFLICT"),
    ("UNSUPPORTED_MEDIA_TYPE", C.INVALID_ARGUMENT, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ("MALWARE_FOUND", C.INVALID_ARGUMENT, 422, "MALWARE_FOUND"),
    ("REQUEST_TOO_SLOW", C.DEADLINE_EXCEEDED, 408, "REQUEST_TIMEOUT"),
    ("CSRF_REFUSED", C.PERMISSION_DENIED, 403, "PERMISSION_DENIED"),
    ("PRECONDITION_FAILED", C.FAILED_PRECONDITION, 412, "PRECONDITION_FAILED"),
]


@pytest.mark.parametrize(("reason", "code", "status", "error_code"), REASONS)
def test_O6_every_reason(reason: str, code: grpc.StatusCode, status: int, error_code: str) -> None:
    """O6."""
    error = failure(code, info(reason))
    assert (error.status, error.error_code, error.reason, error.message) == (status, error_code, reason, "words")


def test_O6_the_table_above_is_complete() -> None:
    """O6: a new reason in the contract needs a line."""
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert names == {reason for reason, *_ in REASONS}


@pytest.mark.parametrize("code", [code for code in C if code is not C.OK])
def test_O6_every_code_without_details(code: grpc.StatusCode) -> None:
    """O6: what gRPC itself or a proxy says is translated too, and never quoted when it is a server fault."""
    error = failure(code, message="failed to connect to 10.0.0.7:50051")
    assert error.status == BY_CODE.get(code, (500,))[0]
    if error.status >= 500:
        assert "10.0.0.7" not in error.message
        assert error.message


def test_O6_details_of_another_domain_are_not_trusted() -> None:
    """O6."""
    error = failure(C.UNAVAILABLE, info("QUOTA_EXHAUSTED", domain="example.com"), message="secret")
    assert (error.status, error.reason) == (503, "UNAVAILABLE")
    assert "secret" not in error.message


def test_O6_violations_metadata_and_our_own_messages_become_details() -> None:
    """O6: the snapshot that comes with 410 is JSON of the dialect."""
    bad = error_details_pb2.BadRequest(
        field_violations=[error_details_pb2.BadRequest.FieldViolation(field="a.b", description="too long")]
    )
    progress = job_pb2.JobProgress(job_id="1", status=job_pb2.JOB_STATUS_QUEUED)
    error = failure(C.OUT_OF_RANGE, info("POSITION_EXPIRED", oldest="7"), bad, progress)
    assert error.details["violations"] == [{"field": "a.b", "message": "too long"}]
    assert error.details["oldest"] == "7"
    assert error.details["job_progress"]["status"] == "queued"


@pytest.mark.parametrize(("seconds", "nanos", "header"), [(7, 0, b"7"), (0, 1, b"1"), (2, 1, b"3")])
def test_O6_retry_after_is_rounded_up(seconds: int, nanos: int, header: bytes) -> None:
    """O6: for 429 and 503; a default where the service names no delay."""
    delay = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds, nanos=nanos))
    for code, reason in ((C.UNAVAILABLE, "UNAVAILABLE"), (C.RESOURCE_EXHAUSTED, "RATE_LIMITED")):
        assert (b"retry-after", header) in failure(code, info(reason), delay).headers
    assert (b"retry-after", b"2") in failure(C.UNAVAILABLE).headers


def test_O6_a_challenge_says_whether_a_credential_was_sent() -> None:
    """O6: RFC 6750."""
    assert failure(C.UNAUTHENTICATED, info("CREDENTIAL_MISSING")).headers == [
        (b"www-authenticate", b'Bearer realm="t2m"')
    ]
    assert b"invalid_token" in failure(C.UNAUTHENTICATED, info("CREDENTIAL_EXPIRED")).headers[0][1]


def test_O6_broken_details_do_no_harm() -> None:
    """O6: bytes that are no Status, an Any of an unknown type, an Any of ours with bytes that are none."""
    assert failure(C.NOT_FOUND, raw=b"\xff\xff").status == 404
    unknown = any_pb2.Any(type_url="type.googleapis.com/x.Y", value=b"z")
    broken = any_pb2.Any(type_url="type.googleapis.com/t2m.job.v1.JobProgress", value=b"\xff")
    status = status_pb2.Status(code=5, message="m", details=[unknown, broken])
    error = failure(C.NOT_FOUND, raw=status.SerializeToString())
    assert (error.status, error.details) == (404, {})


def test_O6_the_body() -> None:
    """O6: exactly these keys."""
    raw = ApiError(404, "NOT_FOUND", "no such job", "NOT_FOUND", {"x": 1}).body(path="/p", request_id="r")
    error = orjson.loads(raw)["error"]
    assert datetime.fromisoformat(error.pop("timestamp")).tzinfo is not None
    assert error == {
        "message": "no such job",
        "error_code": "NOT_FOUND",
        "details": {"reason": "NOT_FOUND", "x": 1},
        "path": "/p",
        "request_id": "r",
    }


def test_o6_an_answer_is_no_larger_than_it_needs_to_be() -> None:
    """O6: fifty thousand unknown fields in, not a megabyte out."""
    error = validation_failed(Violation(f"k{n}" + "x" * 1000, "unknown field") for n in range(50_000))
    body = error.body(path="/" + "p" * 5000, request_id="r")
    assert len(body) < 40_000
    assert len(error.details["violations"]) == 100
    assert error.details["violations_omitted"] == "49900"
