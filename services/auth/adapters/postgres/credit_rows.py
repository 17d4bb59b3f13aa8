"""How credits are kept in rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from services.auth.domain.credits import Account, Reservation, ReservationState


def entries_of(account: Account) -> list[dict[str, Any]]:
    """Two for each transfer, which sum to zero; a trigger checks it at the commit."""
    owner, entries = UUID(account.user_id), []
    for transfer in account.transfers:
        transaction_id = uuid4()
        for book, amount in ((transfer.source, -transfer.amount), (transfer.target, transfer.amount)):
            entries.append(
                {
                    "transaction_id": transaction_id,
                    "user_id": owner,
                    "book": book.value,
                    "amount": amount,
                    "kind": transfer.kind,
                    "job_id": transfer.job_id,
                    "request_id": transfer.request_id,
                    "created_at": account.now,
                }
            )
    return entries


def reservation_of(row: Any) -> Reservation | None:
    """The reservation in a row."""
    if row is None:
        return None
    return Reservation(
        str(row.job_id), str(row.user_id), row.amount, ReservationState(row.state), row.created_at, row.expires_at
    )
