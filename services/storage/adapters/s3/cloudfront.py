"""Signed URLs of CloudFront in place of S3's own: clients are served by the edge that is nearest to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.storage.adapters.s3.store import disposition
from services.storage.application.ports import Presentation
from services.storage.domain.objects import BlobAddress, Bucket


@dataclass(frozen=True, slots=True)
class CloudFrontOptions:
    """One distribution, or one for each bucket."""

    url: str
    """Where a bucket is served: `https://{bucket}.cdn.example`, where `{bucket}` is `videos`, `thumbnails` …"""
    key_id: str
    """Of the public key that CloudFront has."""
    private_key: bytes
    """The RSA key that belongs to it, as PEM."""


class CloudFrontUrls:
    """Signs URLs with a canned policy: one object, until a time.

    The distribution must pass `response-content-*` and `response-cache-control` in the query on to S3.
    """

    def __init__(self, options: CloudFrontOptions) -> None:
        """Raises ValueError for a URL without a scheme or a key that is not RSA."""
        if not options.url.startswith("https://"):
            raise ValueError("the URL of the distribution must begin with https://")
        key = serialization.load_pem_private_key(options.private_key, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the key of the distribution must be an RSA key")  # noqa: TRY004  # it is a setting
        self._url = options.url.rstrip("/")
        # CloudFront knows no other digest: https://docs.aws.amazon.com/AmazonCloudFront, "signed URLs", canned policy.
        self._signer: Any = CloudFrontSigner(
            options.key_id,
            lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA1()),  # noqa: S303  # as above
        )

    def sign(self, address: BlobAddress, expires_at: datetime, content_type: str, presentation: Presentation) -> str:
        """An absolute URL that serves this object until then."""
        shown = {"response-content-type": content_type, "response-content-disposition": disposition(presentation)}
        if presentation.cache_control:
            shown["response-cache-control"] = presentation.cache_control
        plain = f"{self.base(address.bucket)}/{quote(address.key)}?{urlencode(shown)}"
        url: str = self._signer.generate_presigned_url(plain, date_less_than=expires_at)
        return url

    def base(self, bucket: Bucket) -> str:
        """Where a bucket is served."""
        return self._url.replace("{bucket}", bucket.value)
