"""Settings of the storage service, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from services.runtime.settings import ServiceSettings
from services.storage.adapters.clamd import ClamdScanner
from services.storage.adapters.tickets import MIN_KEY_BYTES
from services.storage.domain.files import FilePlan, FilePlans
from services.storage.domain.keys import BucketNames

_MIB = 1024 * 1024
_FREE = FilePlan()


class FilePlanSettings(BaseModel):
    """A plan in `T2M_FILE_PLANS`, for example `{"pro": {"max_file_bytes": 104857600, "max_files": 1000}}`."""

    model_config = ConfigDict(extra="forbid")

    max_file_bytes: int = Field(default=_FREE.max_file_bytes, ge=1)
    max_files: int = Field(default=_FREE.max_files, ge=0)
    max_total_bytes: int = Field(default=_FREE.max_total_bytes, ge=0)


class StorageSettings(ServiceSettings):
    """Every name with the prefix `T2M_`, as `T2M_STORAGE_ROOT`."""

    storage_backend: Literal["filesystem", "s3"] = "filesystem"
    storage_root: Path
    """Folder of the filesystem backend; made when missing."""
    s3_endpoint_url: str = Field(default="", pattern=r"(https?://[^\s?#]+)?")
    """Of a store that is not Amazon's; credentials come by the AWS SDK's own chain."""
    s3_path_style: bool = False
    """Buckets in the path of URLs, not in their host, as many other stores want it."""
    s3_verify: bool = True
    """Read back what was stored, once, and compare its SHA-256."""
    cloudfront_url: str = Field(default="", pattern=r"(https://[^\s?#]+)?")
    """Where clients fetch objects in place of S3: `https://{bucket}.cdn.example`."""
    cloudfront_key_id: str = ""
    cloudfront_private_key: SecretStr = SecretStr("")
    """The RSA key of the distribution, as PEM."""
    storage_region: str = "local"
    storage_account: str = "embedded"
    storage_threads: int = Field(default=8, ge=1, le=64)
    """Disk operations at a time."""

    public_url: str = Field(pattern=r"https?://[^\s?#]+")
    """Where clients reach the gateway; signed URLs begin with it."""
    url_signing_key: SecretStr
    """Signs read tickets; at least 32 bytes. Several, separated by commas: the first signs, all verify."""

    max_object_bytes: int = Field(default=8192 * _MIB, ge=1)
    write_timeout_s: float = Field(default=1800.0, gt=0)
    """Longest time that one upload may take, in seconds."""
    pending_grace_s: float = Field(default=3600.0, gt=0)
    """Age at which an unfinished upload is given up, in seconds."""
    sweep_interval_s: float = Field(default=300.0, gt=0)
    orphan_interval_s: float = Field(default=86_400.0, ge=0)
    """How often the store is compared with the rows, in seconds; 0: only by command."""
    orphan_grace_s: float = Field(default=86_400.0, ge=0)
    """What is younger is left alone, in seconds."""
    orphan_limit: int = Field(default=1000, ge=1)
    """How many things one comparison may put right, each way."""
    orphan_mark_lost: bool = False
    """Delete rows whose bytes are gone, in place of only reporting them."""

    file_plans: dict[str, FilePlanSettings] = Field(default_factory=dict)
    """What users may upload by plan, in JSON. A user whose plan is not here has the one named `free`."""
    file_upload_lifetime_s: float = Field(default=86_400.0, gt=0)
    """How long an upload in parts may take, in seconds."""
    file_max_pixels: int = Field(default=25_000_000, ge=1)
    """Of an image that a user uploads; each takes up to 4 bytes of memory while it is looked at."""
    clamd_address: str = ""
    """`host:port` or `unix:/path` of clamd, without which no file of a user is accepted then; empty: no scanner."""
    clamd_timeout_s: float = Field(default=60.0, gt=0)

    @field_validator("clamd_address")
    @classmethod
    def _clamd_can_be_addressed(cls, value: str) -> str:
        if value:
            ClamdScanner(value)
        return value

    @model_validator(mode="after")
    def _grace_outlasts_writes(self) -> Self:
        if self.pending_grace_s <= self.write_timeout_s:
            raise ValueError("pending_grace_s must be longer than write_timeout_s, or live uploads are swept")
        return self

    @field_validator("url_signing_key")
    @classmethod
    def _keys_are_strong(cls, value: SecretStr) -> SecretStr:
        keys = split_keys(value)
        if not keys or any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"every key must have at least {MIN_KEY_BYTES} bytes")
        return value

    @model_validator(mode="after")
    def _cloudfront_is_whole(self) -> Self:
        if self.cloudfront_url and not (self.cloudfront_key_id and self.cloudfront_private_key.get_secret_value()):
            raise ValueError("cloudfront_url needs cloudfront_key_id and cloudfront_private_key")
        return self

    @model_validator(mode="after")
    def _bucket_names_are_legal(self) -> Self:
        self.buckets()
        return self

    def known_file_plans(self) -> FilePlans:
        """The plans as the domain knows them."""
        return FilePlans({name: FilePlan(**plan.model_dump()) for name, plan in self.file_plans.items()})

    def buckets(self) -> BucketNames:
        """The physical names of the buckets."""
        return BucketNames(self.environment, self.storage_region, self.storage_account)

    def signing_keys(self) -> list[bytes]:
        """The keys of the tickets, the signing one first."""
        return split_keys(self.url_signing_key)


def split_keys(value: SecretStr) -> list[bytes]:
    """Keys that are separated by commas."""
    return [key.strip().encode() for key in value.get_secret_value().split(",") if key.strip()]
