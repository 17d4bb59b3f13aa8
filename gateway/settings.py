"""Settings of the gateway, from `T2M_*` environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Address = Annotated[str, Field(min_length=1, description="host:port of a gRPC service, or unix:/path")]


class Settings(BaseSettings):
    """Where the gateway listens, whom it talks to, and its limits. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="T2M_", extra="ignore")

    environment: Literal["dev", "test", "staging", "prod"] = "dev"
    log_level: str = "info"

    gateway_host: str = "127.0.0.1"
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8080

    auth_address: Address = "127.0.0.1:50051"
    job_address: Address = "127.0.0.1:50052"
    video_render_address: Address = "127.0.0.1:50053"
    storage_address: Address = "127.0.0.1:50054"
    # PEM files; with a CA the channels are TLS, with certificate and key mutual TLS.
    tls_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    max_body_bytes: Annotated[int, Field(gt=0)] = 1 << 20

    call_deadline_s: Annotated[float, Field(gt=0)] = 15.0
    # Of a call whose body is a file, from its first byte to the answer.
    upload_deadline_s: Annotated[float, Field(gt=0)] = 1800.0
    ready_deadline_s: Annotated[float, Field(gt=0)] = 2.0
    credential_cache_s: Annotated[float, Field(ge=0)] = 5.0
    refusal_cache_s: Annotated[float, Field(ge=0)] = 1.0

    stream_heartbeat_s: Annotated[float, Field(gt=0)] = 15.0
    stream_ring_frames: Annotated[int, Field(gt=0)] = 256
    stream_send_timeout_s: Annotated[float, Field(gt=0)] = 20.0
    stream_reconnect_s: Annotated[float, Field(ge=0)] = 30.0
    stream_max_age_s: Annotated[float, Field(gt=0)] = 3600.0

    drain_s: Annotated[float, Field(ge=0)] = 10.0

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """`https://a.example,https://b.example` → two origins."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def addresses(self) -> dict[str, str]:
        """Address by domain, the second part of a proto package: `t2m.job.v1` → `job`."""
        return {
            "auth": self.auth_address,
            "job": self.job_address,
            "video_render": self.video_render_address,
            "storage": self.storage_address,
        }
