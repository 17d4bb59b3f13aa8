"""The S3 client. Credentials come by boto3's own chain (environment, profile, role of the pod); none passes here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.storage.domain.errors import StorageFull, StorageUnavailable

_ATTEMPTS = 4
"""The first and three more, with pauses that grow and are never quite the same."""
_CONNECT_TIMEOUT_S = 3.0
_READ_TIMEOUT_S = 30.0
_MISSING = {"404", "NoSuchKey", "NoSuchVersion", "NotFound", "NoSuchUpload"}
_FULL = {"EntityTooLarge", "QuotaExceeded", "507"}
_UNSUPPORTED = {"NotImplemented", "501", "MethodNotAllowed", "405"}


@dataclass(frozen=True, slots=True)
class S3Options:
    """Which store, and how it is talked to."""

    region: str
    endpoint_url: str | None = None
    """Of a store that is not Amazon's."""
    path_style: bool = False
    """`{endpoint}/{bucket}/{key}` in place of `{bucket}.{endpoint}/{key}`."""
    connections: int = 16


def create_client(options: S3Options) -> Any:
    """A client for use by several threads."""
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if options.path_style else "virtual"},
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        max_pool_connections=options.connections,
        # Checksums of its own in trailers are unknown to other stores; what counts is our SHA-256 of all the bytes.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session()
    return session.client("s3", region_name=options.region, endpoint_url=options.endpoint_url, config=config)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of boto3 in the domain's words, without what they may say of requests and credentials."""
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in _FULL:
            raise StorageFull("the object store takes no more") from error
        raise StorageUnavailable(f"the object store refused: {code}") from error
    except BotoCoreError as error:
        raise StorageUnavailable(f"the object store cannot be reached: {type(error).__name__}") from error


def code_of(error: ClientError) -> str:
    """S3's name of an error, or the HTTP status where there is none."""
    return str(error.response.get("Error", {}).get("Code", "")) or "unknown"


def says_missing(error: ClientError) -> bool:
    """There is no such thing."""
    return code_of(error) in _MISSING


def says_unsupported(error: ClientError) -> bool:
    """This store does not know the operation."""
    return code_of(error) in _UNSUPPORTED
