"""Passwords that are easy to guess, found offline by zxcvbn: dictionaries of leaked passwords, names and words, and
what people do to them.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence

from zxcvbn import zxcvbn

JUDGED_MAX = 48
"""Characters that are looked at: the work grows faster than the square of the length. Nothing can be said against a
password that is good up to here."""
_GOOD = 3
"""Of 0 to 4: at least 10^8 guesses, which the wait between attempts and Argon2id put out of reach."""
_INPUT_MAX = 64


class ZxcvbnPolicy:
    """`PasswordPolicy` by zxcvbn, off the event loop."""

    def __init__(self, *, at_once: int = 0) -> None:
        """`at_once` bounds the passwords judged at one time; 0: one per processor."""
        self._turns = asyncio.Semaphore(at_once or os.cpu_count() or 1)

    async def weakness(self, password: str, about: Sequence[str]) -> str | None:
        """Why it is easy to guess and what would be better; None for a good one."""
        async with self._turns:
            return await asyncio.to_thread(_weakness, password, _words(about))


def _words(about: Sequence[str]) -> list[str]:
    """What an attacker would try first for this person."""
    words = ["t2m"]
    for text in about:
        shortened = text[:_INPUT_MAX]
        words += [shortened, *(part for part in re.split(r"[^\w]+", shortened) if len(part) > 2)]
    return words


def _weakness(password: str, words: list[str]) -> str | None:
    found = zxcvbn(password[:JUDGED_MAX], user_inputs=words)
    if found["score"] >= _GOOD:
        return None
    feedback = found["feedback"]
    advice = " ".join(feedback["suggestions"]) or "Add another word or two. Uncommon words are better."
    warning = feedback["warning"].rstrip(".")
    reason = f" ({warning[0].lower()}{warning[1:]})" if warning else ""
    return f"is easy to guess{reason}. {advice}"
