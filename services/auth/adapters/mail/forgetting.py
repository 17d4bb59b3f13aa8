"""Mails that lie in the folder of the file outbox, and their end when their recipient's account is erased."""

from __future__ import annotations

import asyncio
import email.policy
from email.parser import BytesHeaderParser
from pathlib import Path


class OutboxFiles:
    """`KeptMail` over the folder. A mail server keeps nothing of ours, so there nothing stands behind the port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def forget(self, address: str) -> None:
        """Delete every mail to the address. Raises OSError when one cannot be read or deleted."""
        await asyncio.to_thread(self._forget, address)

    def _forget(self, address: str) -> None:
        parser = BytesHeaderParser(policy=email.policy.default)
        for path in self._folder.glob("*.eml"):
            with path.open("rb") as file:
                recipients = parser.parse(file)["to"]
            if recipients is not None and address in {each.addr_spec for each in recipients.addresses}:
                path.unlink(missing_ok=True)
