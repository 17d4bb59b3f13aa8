"""What auth reads from the environment, beside what every service reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.runtime.settings import ServiceSettings


class CreditPlanSettings(BaseModel):
    """A plan in `T2M_CREDIT_PLANS`, for example `{"trial": {"metered": true, "signup_credits": 20}}`."""

    model_config = ConfigDict(extra="forbid")

    metered: bool = False
    """Whether jobs are refused that the balance does not cover."""
    signup_credits: int = Field(default=0, ge=0)


class AuthSettings(ServiceSettings):
    """Every name has the prefix `T2M_`."""

    database_url: str = Field(min_length=1, repr=False)
    keys_dir: Path
    """Folder of the signing keys; made with its first key when it is empty."""
    api_key_pepper: SecretStr = Field(min_length=16)
    """Key of the digests of API keys and refresh tokens. A new one ends them all."""
    credit_plans: dict[str, CreditPlanSettings] = Field(default_factory=dict)
    """What each plan says of credits, in JSON. A plan that is not here counts jobs and refuses none."""
    credit_unconfirmed_s: float = Field(default=900.0, gt=0)
    """Seconds after which credits set aside for a job are given back, if nobody has said that it is stored."""
    service_secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """The secret of each service that may ask for a service token, as a JSON object."""
