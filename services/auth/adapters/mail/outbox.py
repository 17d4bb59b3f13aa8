"""Mail into a folder, for deployments without a mail server: one `.eml` file per mail."""

from __future__ import annotations

import asyncio
import os
from email.headerregistry import Address
from pathlib import Path

from services.auth.adapters.mail.message import compose
from services.auth.application.people_ports import MailAway, Message


class FileOutbox:
    """`MailTransport` into files that only their owner can read. A mail that is sent again takes its file's place."""

    def __init__(self, folder: Path, sender: Address) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, message: Message) -> None:
        """Write the file; it appears whole or not at all."""
        content = compose(message, self._sender).as_bytes()
        try:
            await asyncio.to_thread(self._write, message.message_id, content)
        except OSError as exc:
            raise MailAway(f"the outbox cannot be written: {exc.strerror}") from exc

    def _write(self, message_id: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        unfinished = self._folder / f".{message_id}.{os.getpid()}"
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._folder / f"{message_id}.eml")
        finally:
            unfinished.unlink(missing_ok=True)
