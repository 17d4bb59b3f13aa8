"""The command that makes buckets, on ministack, which keeps their rules (S1, S2)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import Bucket
from tests.s3_servers import S3Server, ministack
from tests.stack import CHECKOUT

NAMES = BucketNames("staging", "eu-central-1", "000000000000")
ENVIRONMENT = {
    "T2M_ENVIRONMENT": "staging",
    "T2M_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1/none",
    "T2M_STORAGE_BACKEND": "s3",
    "T2M_STORAGE_ROOT": "/nonexistent",
    "T2M_STORAGE_REGION": "eu-central-1",
    "T2M_STORAGE_ACCOUNT": "000000000000",
    "T2M_S3_PATH_STYLE": "true",
    "T2M_PUBLIC_URL": "https://videos.example",
    "T2M_URL_SIGNING_KEY": "0123456789abcdef0123456789abcdef",
}


def create_buckets(server: S3Server, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    credentials = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    environment = {**os.environ, **ENVIRONMENT, **credentials, "T2M_S3_ENDPOINT_URL": server.url, **changes}
    return subprocess.run(
        [sys.executable, "-m", "services.storage", "create-buckets", *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def client() -> Any:
    """Sees what the command has made, twice, as it may be repeated."""
    server = ministack()
    server.client.create_bucket(Bucket="access-logs")
    for _ in range(2):
        done = create_buckets(server, "--log-bucket", "access-logs")
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [NAMES.of(bucket) for bucket in Bucket]
    return server.client


@pytest.mark.parametrize("bucket", Bucket)
def test_S2_buckets_keep_versions_encrypt_and_are_closed(client: Any, bucket: Bucket) -> None:
    """S1, S2: four buckets by their names, each with its rules."""
    name = NAMES.of(bucket)
    assert client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    (rule,) = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert set(client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()) == {True}
    logging = client.get_bucket_logging(Bucket=name)["LoggingEnabled"]
    assert (logging["TargetBucket"], logging["TargetPrefix"]) == ("access-logs", f"{name}/")


@pytest.mark.parametrize("bucket", Bucket)
def test_S2_old_versions_and_temp_objects_go_by_themselves(client: Any, bucket: Bucket) -> None:
    """S2: temp after 7 days, old versions after 90, unfinished uploads after 7."""
    rules = client.get_bucket_lifecycle_configuration(Bucket=NAMES.of(bucket))["Rules"]
    assert [rule["ID"] for rule in rules] == ["old-versions", *(["temp"] if bucket is Bucket.TEMP else [])]
    assert rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 90
    assert rules[0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    assert [rule["Expiration"]["Days"] for rule in rules[1:]] == ([7] if bucket is Bucket.TEMP else [])
    assert {rule["Status"] for rule in rules} == {"Enabled"}


@pytest.mark.parametrize("bucket", Bucket)
def test_V5_S3_pages_may_use_signed_urls(client: Any, bucket: Bucket) -> None:
    """V5, S3: also behind a redirect, where browsers send `Origin: null`; ranges can be seen by players."""
    (rule,) = client.get_bucket_cors(Bucket=NAMES.of(bucket))["CORSRules"]
    assert rule["AllowedOrigins"] == ["*"]
    assert set(rule["AllowedMethods"]) == {"GET", "HEAD", "PUT"}
    assert "Content-Range" in rule["ExposeHeaders"]


def test_S2_a_store_that_is_away_is_said_in_one_line() -> None:
    """S2, O9: no traceback, no credential."""
    done = create_buckets(ministack(), T2M_S3_ENDPOINT_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the object store cannot be reached")
    assert len(done.stderr.splitlines()) == 1
