"""Settings of the gateway, from `T2M_*` environment variables."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.ratelimit import RateConfig
from gateway.tls import TlsFiles

Address = Annotated[str, Field(min_length=1, description="host:port of a gRPC service, or unix:/path")]


_ORIGIN = re.compile(r"https://[a-z0-9.\[\]:-]+(?<!:443)|http://[a-z0-9.\[\]:-]+(?<!:80)")
"""RFC 6454, as browsers serialise it: lower case, no default port, no path."""


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
    # PEM files; with a CA the channels are TLS, with certificate and key mutual TLS. Read again when they change.
    tls_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None

    # What the gateway is called by auth; it hears of revocations only with a secret.
    service_id: str = "gateway"
    service_secret: SecretStr | None = None

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    # Networks of proxies whose word on the client's address is taken, and the field that they write it to.
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"

    # Session tokens in cookies, for clients that ask for them; insecure: also over plain http, on one's own machine.
    session_cookies: Literal["secure", "insecure", "off"] = "secure"
    # The origin of the pages that the gateway serves under, where a proxy gives it another name.
    public_url: str = ""

    # "off", or JSON over the defaults; see gateway/ratelimit/config.py.
    rate_limits: Annotated[RateConfig | None, NoDecode] = RateConfig.model_validate({})
    # Where calls are counted, for all gateways together; each counts for itself without one.
    redis_url: SecretStr | None = None
    # How long a call waits for the count before Redis is taken to be away.
    rate_limit_timeout_s: Annotated[float, Field(gt=0)] = 0.25

    max_body_bytes: Annotated[int, Field(gt=0)] = 1 << 20
    # By when a JSON body must be there; and the least speed of an upload after as long a start.
    body_deadline_s: Annotated[float, Field(gt=0)] = 30.0
    upload_min_bytes_per_s: Annotated[int, Field(ge=0)] = 4096
    # The head of a request: by when it must be there, and its most bytes.
    head_deadline_s: Annotated[float, Field(gt=0)] = 15.0
    max_head_bytes: Annotated[int, Field(ge=1024)] = 64 << 10

    # How often the parts are looked at while somebody follows /ws/system/health.
    system_health_every_s: Annotated[float, Field(gt=0)] = 5.0

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
    # By when a client that opened a WebSocket without a credential has to send one.
    ws_first_message_s: Annotated[float, Field(gt=0)] = 10.0
    # Streams that a user may have open at this process; 0 for any number.
    streams_per_user: Annotated[int, Field(ge=0)] = 100

    drain_s: Annotated[float, Field(ge=0)] = 10.0
    # How long a gateway that stops still serves whom it tells to come back elsewhere, before it closes what is idle.
    drain_grace_s: Annotated[float, Field(ge=0)] = 1.0
    # Another gateway may listen on the same port beside this one, and takes its new connections over.
    reuse_port: bool = False

    @field_validator("cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """`https://a.example,https://b.example` → two origins."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers write them: a path, or a port that goes without saying, would never match."""
        for value in values:
            if value != "*" and not _ORIGIN.fullmatch(value):
                raise ValueError(f"{value!r} is no origin such as https://app.example or http://127.0.0.1:3000")
        return values

    @field_validator("rate_limits", mode="before")
    @classmethod
    def _read_limits(cls, value: object) -> object:
        return RateConfig.from_text(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        if "*" in self.cors_origins and self.session_cookies != "off":
            raise ValueError("T2M_CORS_ORIGINS=* with T2M_SESSION_COOKIES would lend every page its reader's session")
        if self.environment in ("staging", "prod"):
            if self.session_cookies == "insecure":
                raise ValueError("T2M_SESSION_COOKIES=insecure is for one's own machine")
            if self.rate_limits is not None and self.redis_url is None:
                raise ValueError("T2M_RATE_LIMITS needs T2M_REDIS_URL here: gateways must count together")
        return self

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None) or (self.tls_cert_file and not self.tls_ca_file):
            raise ValueError("tls_cert_file and tls_key_file are set together, and with tls_ca_file")
        return self

    def tls(self) -> TlsFiles | None:
        """The certificate files; None for plain text."""
        if self.tls_ca_file is None:
            return None
        return TlsFiles(self.tls_ca_file, self.tls_cert_file, self.tls_key_file)

    def addresses(self) -> dict[str, str]:
        """Address by domain, the second part of a proto package: `t2m.job.v1` → `job`."""
        return {
            "auth": self.auth_address,
            "job": self.job_address,
            "video_render": self.video_render_address,
            "storage": self.storage_address,
        }
