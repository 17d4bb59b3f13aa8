"""API keys: make, list, end."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from services.auth.application.ports import Clock, SecretMaker, UnitsOfWork
from services.auth.domain.api_key import ApiKey, check_new_key, check_scopes, compose_api_key
from services.auth.domain.errors import ApiKeyNotFound
from services.auth.domain.revocation import RevocationKind

PURPOSE = "api_key"


class ApiKeys:
    """Use cases around `ApiKey`; each acts for the user whose id it is given."""

    def __init__(self, units: UnitsOfWork, secrets: SecretMaker, clock: Clock) -> None:
        self._units = units
        self._secrets = secrets
        self._clock = clock

    async def create(
        self,
        user_id: str,
        name: str,
        scopes: Collection[str] = (),
        expires_at: datetime | None = None,
        *,
        own_scopes: Collection[str] | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; the key and its whole text, which nobody can see again.

        `own_scopes` restricts the credential the call was made with; None for an unrestricted one.
        Raises InvalidValue, ScopeBeyondCaller.
        """
        now = self._clock.now()
        name = name.strip()
        check_new_key(name, scopes, expires_at, now)
        check_scopes(scopes, own_scopes)
        key_id = self._secrets.new_key_id()
        text = compose_api_key(key_id, self._secrets.new_secret())
        key = ApiKey(
            api_key_id=key_id,
            user_id=user_id,
            name=name,
            scopes=tuple(sorted(set(scopes))),
            digest=self._secrets.digest(PURPOSE, text),
            created_at=now,
            expires_at=expires_at,
        )
        async with self._units() as unit:
            await unit.api_keys.add(key)
            await unit.commit()
        return key, text

    async def list_of(self, user_id: str) -> list[ApiKey]:
        """The user's keys, newest first, also the ended ones."""
        async with self._units() as unit:
            return await unit.api_keys.list_of(user_id)

    async def revoke(self, user_id: str, api_key_id: str) -> None:
        """End a key; succeeds again. Raises ApiKeyNotFound, also for somebody else's."""
        async with self._units() as unit:
            now = self._clock.now()
            if not await unit.api_keys.revoke(api_key_id, user_id, now):
                raise ApiKeyNotFound
            await unit.revocations.add(RevocationKind.API_KEY, api_key_id, now)
            await unit.commit()
