"""The part that settles credits."""

from __future__ import annotations

from services.job.application.neighbours import Credits
from services.job.application.reservations import CreditCommands
from services.job.bootstrap.base import Base, Part
from services.job.domain.events import Lane


def build_credits(base: Base, credit_accounts: Credits) -> Part:
    """The courier of the lane `credits`."""
    return Part(background=[base.courier(Lane.CREDITS, CreditCommands(credit_accounts), base.wake.credits)])
