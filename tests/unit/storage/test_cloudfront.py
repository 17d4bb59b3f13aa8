"""URLs of CloudFront, verified as its edge does: with the public key, against the canned policy (S3)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from services.storage.adapters.s3 import CloudFrontOptions, CloudFrontUrls
from services.storage.application.ports import Presentation
from services.storage.domain.objects import BlobAddress, Bucket

UNTIL = datetime(2030, 1, 1, 12, tzinfo=UTC)
ADDRESS = BlobAddress(Bucket.VIDEOS, "users/u1/jobs/j1/video/000001-a.mp4")
SHOWN = Presentation("Größe 映画.mp4", cache_control="private, max-age=60")
KEY = rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """As an operator has it."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def verify(url: str) -> None:
    """What the edge does: rebuild the policy from the URL, and check its signature. Raises InvalidSignature."""
    plain, _, rest = url.partition("&Expires=")
    expires, signature = parse_qs("Expires=" + rest)["Expires"][0], parse_qs(rest)["Signature"][0]
    condition = {"DateLessThan": {"AWS:EpochTime": int(expires)}}
    policy = json.dumps({"Statement": [{"Resource": plain, "Condition": condition}]}, separators=(",", ":"))
    raw = base64.b64decode(signature.translate(str.maketrans("-_~", "+=/")))
    KEY.public_key().verify(raw, policy.encode(), padding.PKCS1v15(), hashes.SHA1())


def test_S3_a_url_is_for_one_object_until_a_time() -> None:
    """S3: it carries the key's id and how the object is shown; nothing in it can be changed."""
    url = CloudFrontUrls(CloudFrontOptions("https://{bucket}.cdn.example/", "K123", pem(KEY))).sign(
        ADDRESS, UNTIL, "video/mp4", SHOWN
    )
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert (parts.netloc, unquote(parts.path)) == ("videos.cdn.example", f"/{ADDRESS.key}")
    assert (query["Key-Pair-Id"], query["Expires"]) == (["K123"], [str(int(UNTIL.timestamp()))])
    assert query["response-content-type"] == ["video/mp4"]
    assert query["response-cache-control"] == ["private, max-age=60"]
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe" in query["response-content-disposition"][0]
    verify(url)
    later = str(int(UNTIL.timestamp()) + 1)
    for tampered in (url.replace("000001-a", "000001-b"), url.replace(str(int(UNTIL.timestamp())), later)):
        assert tampered != url
        with pytest.raises(InvalidSignature):
            verify(tampered)


@pytest.mark.parametrize(
    ("url", "key"),
    [("http://cdn.example", pem(KEY)), ("https://cdn.example", pem(ec.generate_private_key(ec.SECP256R1())))],
)
def test_S3_what_cannot_work_is_refused_at_the_start(url: str, key: bytes) -> None:
    """S3: neither plain HTTP nor a key that CloudFront does not know."""
    with pytest.raises(ValueError, match="must b"):
        CloudFrontUrls(CloudFrontOptions(url, "K123", key))
