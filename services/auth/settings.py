"""What auth reads from the environment, beside what every service reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.auth.adapters.mail.message import parse_sender
from services.auth.adapters.oidc.issuer import OidcIssuer
from services.auth.oidc_settings import OidcIssuerSettings
from services.runtime.plans import PlanSettings, default_plans
from services.runtime.settings import ServiceSettings

_LEAST_PASSWORD_WORK = 19_456 * 2
"""KiB × passes; OWASP Password Storage Cheat Sheet."""


class AuthSettings(ServiceSettings):
    """Every name has the prefix `T2M_`."""

    database_url: str = Field(min_length=1, repr=False)
    keys_dir: Path
    """Folder of the signing keys; made with its first key when it is empty."""
    keys_lead_s: float = Field(default=600.0, ge=0)
    """How long a new key is published before it signs, in seconds."""
    keys_reread_s: float = Field(default=2.0, gt=0)
    """How often the folder is looked at, in seconds."""
    api_key_pepper: SecretStr = Field(min_length=16)
    """Key of the digests of API keys and refresh tokens. A new one ends them all."""
    plans: dict[str, PlanSettings] = Field(default_factory=default_plans)
    """The plans by name, in JSON, the same as job reads. A user whose plan is not here has the one named `free`."""
    credit_unconfirmed_s: float = Field(default=900.0, gt=0)
    """Seconds after which credits set aside for a job are given back, if nobody has said that it is stored."""
    billing_provider: Literal["invoice", "stripe"] = "invoice"
    """Who collects charges: the operator, who says which are paid, or Stripe."""
    billing_poll_s: float = Field(default=5.0, gt=0)
    """How often is looked for charges, periods and reservations whose time has come, in seconds."""
    billing_grace_days: float = Field(default=14.0, gt=0, le=28)
    """How long a subscription waits for a payment; shorter than a period."""
    billing_retry_days: list[float] = Field(default_factory=lambda: [1.0, 3.0, 5.0, 7.0])
    """When a renewal that was declined is tried again, in days after the first attempt, as JSON."""
    billing_return_url: str = ""
    """Where Stripe's page sends people back to; an http or https address."""
    stripe_api_key: SecretStr = SecretStr("")
    stripe_webhook_secret: SecretStr = SecretStr("")
    """Of the endpoint `/api/v1/billing/stripe/webhook`, as Stripe shows it (`whsec_…`)."""
    stripe_api_url: str = "https://api.stripe.com"
    api_keys_max: int = Field(default=50, ge=1)
    """How many API keys that work a user may have at a time."""
    oidc_issuers: list[OidcIssuerSettings] = Field(default_factory=list)
    """Whose tokens are accepted beside our own, as a JSON list."""
    oidc_keys_min_interval_s: float = Field(default=10.0, ge=0)
    """How often an unknown key id may make us ask an issuer, in seconds."""
    service_secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """The secret of each service that may ask for a service token, as a JSON object."""
    audit_days: int = Field(default=400, ge=30)
    """How long entries of the audit trail are kept."""
    erasure_services: list[str] = Field(default_factory=lambda: ["job", "storage"])
    """Services that keep data of users, in JSON: an erasure waits until each has acknowledged it."""

    email_verification: Literal["required", "off"] = "required"
    """Whether an account waits until its address is verified."""
    refresh_grace_s: float = Field(default=10.0, ge=0, le=60)
    """How long after its use a refresh token gives a further pair, in seconds."""
    login_failures: int = Field(default=10, ge=1)
    """Wrong passwords for one address before each further one has to wait."""
    login_client_failures: int = Field(default=50, ge=1)
    """The same for one client's address."""

    password_memory_kib: int = Field(default=65_536, ge=8)
    password_passes: int = Field(default=3, ge=1)
    password_lanes: int = Field(default=4, ge=1, le=64)
    """Cost of an Argon2id hash; RFC 9106's second recommendation. Older hashes are made anew at the next login."""

    mail_from: str = "t2m <no-reply@localhost>"
    """Who mails are from: an address, or a name and an address. Has to be set where there is a mail server."""
    mail_outbox: Path | None = None
    """Folder for mails as files, where there is no mail server."""
    mail_verify_link: str = ""
    """Page that takes the token of a mail to `users/verify-email`, with `{token}` in it; empty: mails show the code."""
    mail_reset_link: str = ""
    """The same for `users/reset-password/confirm`."""
    smtp_host: str = ""
    """Mail server; without it and `mail_outbox` mails wait in the database."""
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    """587 when unset, or 465 with `tls` and 25 with `none`."""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_ca: Path | None = None
    """Certificates that are trusted in place of the system's."""

    @model_validator(mode="after")
    def _passwords_are_dear(self) -> Self:
        if self.password_memory_kib < 8 * self.password_lanes:
            raise ValueError("password_memory_kib: Argon2 needs 8 for each of password_lanes")
        work = self.password_memory_kib * self.password_passes
        if self.environment in ("staging", "prod") and work < _LEAST_PASSWORD_WORK:
            raise ValueError(
                "password_memory_kib × password_passes: less than OWASP's least, 19456 KiB and 2 passes, is for tests"
            )
        return self

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, value: str) -> str:
        parse_sender(value)
        return value

    @field_validator("mail_verify_link", "mail_reset_link")
    @classmethod
    def _takes_a_token(cls, value: str) -> str:
        if value and not (value.startswith(("https://", "http://")) and "{token}" in value and value.isprintable()):
            raise ValueError("must be an http or https address with {token} in it")
        return value

    @model_validator(mode="after")
    def _stripe_is_whole(self) -> Self:
        if self.billing_provider == "stripe":
            if not self.stripe_api_key.get_secret_value() or not self.stripe_webhook_secret.get_secret_value():
                raise ValueError("billing by Stripe needs stripe_api_key and stripe_webhook_secret")
            if not self.billing_return_url.startswith(("https://", "http://")):
                raise ValueError("billing by Stripe needs billing_return_url, an http or https address")
        return self

    @model_validator(mode="after")
    def _issuers_are_distinct_and_safe(self) -> Self:
        names = [each.issuer for each in self.trusted_issuers()]
        if len(set(names)) != len(names):
            raise ValueError("oidc_issuers: an issuer is there twice")
        return self

    def trusted_issuers(self) -> list[OidcIssuer]:
        """Whose tokens are accepted beside our own."""
        allow_loopback = self.environment in ("dev", "test")
        return [each.trusted(allow_loopback=allow_loopback) for each in self.oidc_issuers]

    @model_validator(mode="after")
    def _mail_goes_one_way(self) -> Self:
        if self.smtp_host and self.mail_outbox is not None:
            raise ValueError("smtp_host and mail_outbox exclude each other")
        if self.smtp_host and "mail_from" not in self.model_fields_set:
            raise ValueError("smtp_host needs mail_from, an address that the server lets us send from")
        return self
