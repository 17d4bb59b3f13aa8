"""What auth reads from the environment, beside what every service reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from services.runtime.settings import ServiceSettings


class AuthSettings(ServiceSettings):
    """Every name has the prefix `T2M_`."""

    database_url: str = Field(min_length=1, repr=False)
    keys_dir: Path
    """Folder of the signing keys; made with its first key when it is empty."""
    api_key_pepper: SecretStr = Field(min_length=16)
    """Key of the digests of API keys and refresh tokens. A new one ends them all."""
    service_secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """The secret of each service that may ask for a service token, as a JSON object."""
