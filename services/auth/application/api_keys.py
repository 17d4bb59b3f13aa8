"""API keys: make, list, end."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from services.auth.application.ports import Clock, SecretMaker, UnitsOfWork
from services.auth.domain.api_key import ApiKey, check_new_key, check_scopes, compose_api_key
from services.auth.domain.errors import ApiKeyNotFound, InvalidValue, TooManyKeys
from services.auth.domain.revocation import RevocationKind

PURPOSE = "api_key"


class ApiKeys:
    """Use cases around `ApiKey`; each acts for the user whose id it is given."""

    def __init__(
        self, units: UnitsOfWork, secrets: SecretMaker, clock: Clock, scopes: Collection[str], most: int = 50
    ) -> None:
        """`scopes`: all there are. `most`: keys of a user that work at a time."""
        self._units = units
        self._secrets = secrets
        self._clock = clock
        self._scopes = frozenset(scopes)
        self._most = most

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
        Raises InvalidValue, ScopeBeyondCaller, TooManyKeys.
        """
        now = self._clock.now()
        name = name.strip()
        check_new_key(name, scopes, expires_at, now, self._scopes)
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
            if await unit.api_keys.count_live(user_id, now) >= self._most:
                raise TooManyKeys(self._most)
            await unit.api_keys.add(key)
            await unit.commit()
        return key, text

    async def page(self, user_id: str, size: int, after: str) -> tuple[list[ApiKey], str]:
        """The user's keys, newest first, also the ended ones; and the id of the last if there are more.

        `after` is such an id, empty for the first page. Raises InvalidValue.
        """
        async with self._units() as unit:
            last = await unit.api_keys.find(after) if after else None
            if after and (last is None or last.user_id != user_id):
                raise InvalidValue([("page_token", "must be one from an earlier answer")])
            keys = await unit.api_keys.page(user_id, size + 1, last)
        return keys[:size], keys[size - 1].api_key_id if len(keys) > size else ""

    async def revoke(self, user_id: str, api_key_id: str) -> None:
        """End a key; succeeds again. Raises ApiKeyNotFound, also for somebody else's."""
        async with self._units() as unit:
            now = self._clock.now()
            if not await unit.api_keys.revoke(api_key_id, user_id, now):
                raise ApiKeyNotFound
            await unit.revocations.add(RevocationKind.API_KEY, api_key_id, now)
            await unit.commit()
