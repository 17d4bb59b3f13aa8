"""The settings every service has. A service's own settings subclass `ServiceSettings` and add theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.tls import TlsFiles


class ServiceSettings(BaseSettings):
    """Read from the environment, every name with the prefix `T2M_` (`T2M_DATABASE_URL` …)."""

    model_config = SettingsConfigDict(env_prefix="T2M_", extra="ignore")

    environment: Literal["dev", "staging", "prod", "test"] = "dev"
    bind: str = "127.0.0.1:0"
    """`host:port` of the gRPC server; port 0 takes a free one."""
    metrics_port: int | None = None
    """Port of the Prometheus endpoint; unset: none is opened, 0: a free one."""
    metrics_bind: str = "127.0.0.1"

    database_url: str = Field(default="", repr=False)
    """`postgresql://user:password@host:port/database`; the driver is added by `db.create_engine`."""
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)

    auth_address: str = "127.0.0.1:50051"
    job_address: str = "127.0.0.1:50052"
    video_render_address: str = "127.0.0.1:50053"
    storage_address: str = "127.0.0.1:50054"

    service_id: str = ""
    """The name under which this process asks auth for its service token."""
    service_secret: SecretStr = SecretStr("")

    erasure_poll_s: float = Field(default=5.0, gt=0)
    """How often a service that keeps data of users asks auth whose is to be purged."""
    erasure_settle_s: float = Field(default=5.0, ge=0)
    """After this, a user's calls that were let in before have ended or are refused: longer than revocations travel."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    shutdown_grace_s: float = Field(default=20.0, ge=0)
    """Longest time that calls in flight may take to end after SIGTERM, in seconds."""

    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    """PEM files of this process's certificate, its key, and the authority of all; read again when they change."""
    tls_trust_domain: str = "t2m"
    """Certificates name services as `spiffe://{trust domain}/{service}`."""
    tls_clients: frozenset[str] = frozenset()
    """Names in certificates that may call what the gateway may, beside it; in JSON."""

    @model_validator(mode="after")
    def _tls_is_all_or_nothing(self) -> Self:
        paths = (self.tls_cert, self.tls_key, self.tls_ca)
        if any(paths) and not all(paths):
            raise ValueError("tls_cert, tls_key and tls_ca are set together or not at all")
        return self

    @property
    def tls(self) -> bool:
        """Whether servers and channels of this process speak mutual TLS."""
        return self.tls_cert is not None

    @property
    def tls_files(self) -> TlsFiles | None:
        """The files of mutual TLS; None without."""
        if self.tls_cert is None or self.tls_key is None or self.tls_ca is None:
            return None
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_ca)
