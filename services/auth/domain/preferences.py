"""What a person likes; kept for the clients."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.auth.domain.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Preferences:
    """The proto says what each field means; an empty text is the default."""

    quality: str = ""
    theme: str = ""
    narration: bool = False
    voice: str = ""
    captions: bool = False
    language: str = ""
    locale: str = ""
    time_zone: str = ""
    mail_job_completed: bool = False
    mail_job_failed: bool = False
    mail_credits_low: bool = False


def check_preferences(preferences: Preferences) -> None:
    """Return when they make sense; bounds of single fields are the contract's. Raises InvalidValue."""
    if preferences.time_zone:
        try:
            ZoneInfo(preferences.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:  # a folder of the database is an OSError
            wording = "must be a name of the IANA time zone database"
            raise InvalidValue([("preferences.time_zone", wording)]) from exc
