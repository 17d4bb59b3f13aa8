"""Mails that auth has left as files, read as their receiver would."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path


def code_in(folder: Path, recipient: str, subject: str) -> str | None:
    """The code in the newest mail to somebody; None while there is none."""
    for path in sorted(folder.glob("*.eml"), reverse=True):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if (mail["To"], mail["Subject"]) == (recipient, subject):
            body = mail.get_body(("plain",))
            assert body is not None
            return next(line for line in str(body.get_content()).splitlines() if len(line) == 43 and line.isalnum())
    return None
