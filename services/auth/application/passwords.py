"""New passwords: long enough, hard to guess, kept as a slow hash."""

from __future__ import annotations

from collections.abc import Sequence

from services.auth.application.people_ports import PasswordPolicy
from services.auth.application.ports import PasswordHasher
from services.auth.domain.errors import InvalidValue
from services.auth.domain.user import check_password


class Passwords:
    """Judges passwords and hashes them."""

    def __init__(self, policy: PasswordPolicy, hasher: PasswordHasher) -> None:
        self._policy = policy
        self._hasher = hasher

    async def new(self, password: str, about: Sequence[str] = (), *, path: str = "password") -> str:
        """The hash of a password for an account. `about`: what everybody knows of its owner.

        Raises InvalidValue, naming the field, for one that is too short, too long or easy to guess.
        """
        check_password(password, path)
        weakness = await self._policy.weakness(password, [each for each in about if each])
        if weakness is not None:
            raise InvalidValue([(path, weakness)])
        return await self._hasher.hash(password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password belongs to the hash. Without a hash: False, after just as long."""
        return await self._hasher.verify(password, stored)

    async def renewed(self, password: str, stored: str) -> str | None:
        """The hash of a password that was just verified under today's parameters; None when it has them."""
        return await self._hasher.hash(password) if self._hasher.is_outdated(stored) else None
