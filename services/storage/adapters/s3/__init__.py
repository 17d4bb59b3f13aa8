"""Bytes in Amazon S3, or in any store that speaks its protocol."""

from services.storage.adapters.s3.buckets import prepare
from services.storage.adapters.s3.client import S3Options, create_client
from services.storage.adapters.s3.cloudfront import CloudFrontOptions, CloudFrontUrls
from services.storage.adapters.s3.direct import S3DirectStore
from services.storage.adapters.s3.inventory import S3Inventory
from services.storage.adapters.s3.store import S3BlobStore

__all__ = [
    "CloudFrontOptions",
    "CloudFrontUrls",
    "S3BlobStore",
    "S3DirectStore",
    "S3Inventory",
    "S3Options",
    "create_client",
    "prepare",
]
