"""Billing without a provider: the operator writes the invoices and says which of them are paid."""

from __future__ import annotations

from services.auth.domain.charges import Charge, Outcome, Result


class InvoiceBilling:
    """The `BillingProvider` of a deployment that bills by itself: every charge is open until
    `python -m services.auth mark-paid` names it.
    """

    async def customer(self, user_id: str) -> str:
        """Nobody needs another name here."""
        return ""

    async def collect(self, charge: Charge, customer_id: str) -> Outcome:
        """Wait for the operator."""
        return Outcome(Result.OPEN, charge.attempt)

    async def void(self, charge: Charge, customer_id: str) -> Outcome:
        """Only the operator could have been paid, and `mark-paid` refuses a charge that is being withdrawn."""
        return Outcome(Result.VOIDED, charge.attempt)

    async def refund(self, charge: Charge) -> Outcome:
        """Whoever took the money pays it back; nothing is collected here."""
        return Outcome(Result.REFUNDED, charge.attempt)
