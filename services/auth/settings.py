"""What auth reads from the environment, beside what every service reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from services.runtime.plans import PlanSettings, default_plans
from services.runtime.settings import ServiceSettings


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
    service_secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """The secret of each service that may ask for a service token, as a JSON object."""
    audit_days: int = Field(default=400, ge=30)
    """How long entries of the audit trail are kept."""
    erasure_services: list[str] = Field(default_factory=lambda: ["job", "storage"])
    """Services that keep data of users, in JSON: an erasure waits until each has acknowledged it."""
