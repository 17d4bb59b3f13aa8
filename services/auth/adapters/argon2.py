"""Passwords by Argon2id, off the event loop."""

from __future__ import annotations

import asyncio
import os

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Argon2Hasher:
    """A `PasswordHasher` whose parameters are those of new hashes."""

    def __init__(self, hasher: PasswordHasher, *, at_once: int = 0) -> None:
        """`at_once` bounds the hashes computed at one time, and with it memory; 0: one per processor."""
        self._hasher = hasher
        self._turns = asyncio.Semaphore(at_once or os.cpu_count() or 1)
        # What an unknown address is checked against. Nobody knows its password, and its cost is a real one's.
        self._nobody = self._hasher.hash(os.urandom(32).hex())

    async def hash(self, password: str) -> str:
        """The hash to be stored, with its salt and parameters."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password belongs to the hash. Without a hash: False, after just as long."""
        async with self._turns:
            equal = await asyncio.to_thread(self._equal, password, stored or self._nobody)
        return equal and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _equal(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
