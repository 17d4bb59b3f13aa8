"""Who sends wrong passwords has to wait, per address and per client (A1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

import structlog

from services.auth.application.ports import Clock, SecretMaker, UnitOfWork, UnitsOfWork
from services.auth.domain.attempts import KNOWN_FOR, AttemptLimits, Attempts
from services.auth.domain.errors import TooManyAttempts

ACCOUNT_LIMITS = AttemptLimits(free=10)
CLIENT_LIMITS = AttemptLimits(free=50, longest_wait=timedelta(minutes=5), forgotten_after=timedelta(hours=1))
NOBODY = "00000000-0000-0000-0000-000000000000"
"""Whom the audit trail names where an address has no account: the same work as for one that has."""
_V6_HOME = 64
"""Bits of an IPv6 address that one customer holds; the rest is theirs to choose."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was let in."""

    counted: bytes
    """The key that decides: the address's, or that of the address and this client, once it has logged in to it."""
    account: bytes
    client: bytes | None
    """None when the client's address is not known."""
    pair: bytes | None


class LoginGuard:
    """Counts attempts before they are looked at, so that no number of them at once slips through.

    The answer is the same whether or not the address has an account. A stranger can make an address wait, but not its
    owner: a client that has logged in to the account, or has proved to read its mail, is counted by itself.
    """

    def __init__(
        self,
        units: UnitsOfWork,
        secrets: SecretMaker,
        clock: Clock,
        account: AttemptLimits = ACCOUNT_LIMITS,
        client: AttemptLimits = CLIENT_LIMITS,
    ) -> None:
        self._units = units
        self._secrets = secrets
        self._clock = clock
        self._account = account
        self._client = client

    async def enter(self, address: str, client_address: str, user_id: str | None) -> Attempt:
        """Let an attempt in and count it as failed. Raises TooManyAttempts."""
        now = self._clock.now()
        async with self._units() as unit:
            attempt = await self._attempt(unit, address, client_address)
            keys = [attempt.counted, *([attempt.client] if attempt.client else [])]
            found = await unit.attempts.lock(keys, now)
            # A client that is known for this account is not kept waiting for what others do behind its address.
            deciding = [attempt.counted] if attempt.counted == attempt.pair else keys
            wait = max(found[key].wait(now) for key in deciding)
            if wait:
                raise TooManyAttempts(wait)
            charged = {key: found[key].charged(self._limits(attempt, key), now) for key in keys}
            await unit.attempts.store(charged)
            if charged[attempt.counted].blocked_until is not None:
                _log.warning("login has to wait", failures=charged[attempt.counted].failures, user_id=user_id)
                await unit.audit.note("login.locked_out", user_id or NOBODY)
            await unit.commit()
        return attempt

    async def passed(self, unit: UnitOfWork, attempt: Attempt) -> None:
        """The attempt was right: forget the failures that counted for it, and know its client from now on."""
        now = self._clock.now()
        keys = [attempt.counted, *([attempt.client] if attempt.client else [])]
        found = await unit.attempts.lock(keys, now)
        settled = {key: self._settled(attempt, key, found) for key in keys}
        await unit.attempts.store(settled)
        if attempt.pair is not None:
            await unit.attempts.remember(attempt.pair, now)

    async def vouch(self, unit: UnitOfWork, address: str, client_address: str) -> None:
        """Somebody proved otherwise to own the account (by its mail): this client is known, failures are forgotten."""
        await self.passed(unit, await self._attempt(unit, address, client_address))

    async def purge(self) -> int:
        """Forget what no longer counts; how many keys."""
        now = self._clock.now()
        longest = max(self._account.forgotten_after, self._client.forgotten_after)
        async with self._units() as unit:
            count = await unit.attempts.purge(now - longest, now - KNOWN_FOR)
            await unit.commit()
        return count

    def _limits(self, attempt: Attempt, key: bytes) -> AttemptLimits:
        return self._client if key == attempt.client else self._account

    def _settled(self, attempt: Attempt, key: bytes, found: Mapping[bytes, Attempts]) -> Attempts:
        if key == attempt.client:
            # Only its own: else an account of one's own would be a way to go on guessing those of others.
            return found[key].refunded(self._client)
        return Attempts(0, None, self._clock.now())

    async def _attempt(self, unit: UnitOfWork, address: str, client_address: str) -> Attempt:
        account = self._secrets.digest("login_account", address)
        if not client_address:
            return Attempt(account, account, None, None)
        network = _network(client_address)
        client = self._secrets.digest("login_client", network)
        pair = self._secrets.digest("login_pair", f"{address}\0{network}")
        known = await unit.attempts.is_known(pair, self._clock.now() - KNOWN_FOR)
        return Attempt(pair if known else account, account, client, pair)


def _network(client_address: str) -> str:
    """What is counted as one client."""
    address = ip_address(client_address)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _V6_HOME), strict=False))
    return str(address)
