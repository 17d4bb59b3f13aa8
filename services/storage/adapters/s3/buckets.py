"""The buckets and their rules, made once by a person who may do that; the service itself needs no such right."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from services.storage.adapters.s3.client import says_missing, translated
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import Bucket

TEMP_DAYS = 7
OLD_VERSION_DAYS = 90
UNFINISHED_UPLOAD_DAYS = 7
_HOME = "us-east-1"
"""The one region that must not be named where a bucket is made."""


_PAGES = {
    # What lets in is the signed URL. Behind a redirect browsers send `Origin: null`, so no list of origins would help.
    "AllowedOrigins": ["*"],
    "AllowedMethods": ["GET", "HEAD", "PUT"],
    "AllowedHeaders": ["*"],
    "ExposeHeaders": ["Accept-Ranges", "Content-Length", "Content-Range", "ETag"],
    "MaxAgeSeconds": 3600,
}


def prepare(client: Any, names: BucketNames, *, log_bucket: str = "") -> list[str]:
    """Make the buckets that are missing and give all of them their rules; their names. Safe to repeat.

    Versions are kept, everything is encrypted (AES-256), nothing is public; temp objects go after 7 days, old versions
    after 90, parts of uploads that nobody completed after 7. Pages of any origin may use URLs that are signed. With
    `log_bucket` (which exists, and lets S3 write) accesses are logged to it. Raises StorageUnavailable.
    """
    made = [names.of(bucket) for bucket in Bucket]
    with translated():
        for bucket, name in zip(Bucket, made, strict=True):
            _make(client, name, names.region)
            client.put_public_access_block(
                Bucket=name,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
            encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
            client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=encryption)
            client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [_PAGES]})
            client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": _rules(bucket)})
            if log_bucket:
                target = {"LoggingEnabled": {"TargetBucket": log_bucket, "TargetPrefix": f"{name}/"}}
                client.put_bucket_logging(Bucket=name, BucketLoggingStatus=target)
    return made


def _make(client: Any, name: str, region: str) -> None:
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        if not (says_missing(error) or error.response.get("Error", {}).get("Code") == "NoSuchBucket"):
            raise
        place = {} if region == _HOME else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=name, **place)


def _rules(bucket: Bucket) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = [
        {
            "ID": "old-versions",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_VERSION_DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_UPLOAD_DAYS},
        }
    ]
    if bucket is Bucket.TEMP:
        expiry = {"Days": TEMP_DAYS}
        rules.append({"ID": "temp", "Status": "Enabled", "Filter": {"Prefix": "temp/"}, "Expiration": expiry})
    return rules
