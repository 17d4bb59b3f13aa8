"""Which key signs, which are published, and how that changes while the service runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import structlog
from joserfc.jwk import Key, OKPKey

from services.auth.adapters.jose.keys import (
    KeyFileError,
    SigningKey,
    create_key,
    delete_key,
    load_keys,
    locked,
    public_jwks,
)
from services.auth.application.ports import Clock
from services.auth.domain.session import ACCESS_LIFETIME
from services.auth.domain.tokens import INTERNAL_LIFETIME, SERVICE_LIFETIME

DEFAULT_LEAD = timedelta(minutes=10)
"""How long a key is published before it signs: twice as long as anybody keeps the published keys."""
TOKENS_END = max(ACCESS_LIFETIME, INTERNAL_LIFETIME, SERVICE_LIFETIME) + timedelta(minutes=2)
"""How long after its last signature a key is needed: the longest token, the minute that verifiers forgive, clocks."""
_ASKED_AGAIN_S = 1.0

_log = structlog.get_logger(__name__)


class KeyRing:
    """The keys of this process: a `KeySource` of the runtime, and the one that signs now."""

    def __init__(
        self, keys: Sequence[SigningKey], clock: Clock, lead: timedelta = timedelta(0), folder: Path | None = None
    ) -> None:
        """`folder` is where later keys come from. Raises ValueError without keys."""
        if not keys:
            raise ValueError("no signing key")
        self._clock = clock
        self._lead = lead
        self._folder = folder
        self._read_at = float("-inf")
        self._by_id: dict[str, OKPKey] = {}
        self._keys: list[SigningKey] = []
        self.withdrawn: set[str] = set()
        """Keys that have gone, since this process started, before their last token had ended."""
        self._take(keys)

    @property
    def jwks_json(self) -> str:
        """The public halves of all keys, also of one that does not sign yet or any more."""
        return self._jwks

    def signing_key(self) -> OKPKey:
        """The newest key that has been published for long enough."""
        return signing(self._keys, self._clock.now(), self._lead).key

    def find(self, kid: str) -> Key | None:
        """The key; an unknown one is looked for in the folder, at most once a second."""
        if kid not in self._by_id and time.monotonic() - self._read_at >= _ASKED_AGAIN_S:
            self.reload()
        return self._by_id.get(kid)

    async def refresh(self) -> None:
        """Nothing more can be learnt than `find` has."""

    def reload(self) -> None:
        """Read the folder again; one that cannot be read changes nothing."""
        self._read_at = time.monotonic()
        if self._folder is not None:
            self._read(self._folder)

    def _read(self, folder: Path) -> None:
        try:
            keys = load_keys(folder)
        except (KeyFileError, OSError) as exc:
            _log.error("signing keys not read, going on with the known ones", known=list(self._by_id), error=str(exc))
            return
        if not keys:
            _log.error("no signing key is left in the folder, going on with the known ones", known=list(self._by_id))
        elif [each.kid for each in keys] != [each.kid for each in self._keys]:
            self._take(keys)
            _log.info("signing keys changed", published=list(self._by_id), signing=self.signing_key().kid)

    def _take(self, keys: Sequence[SigningKey]) -> None:
        here, now = {each.kid for each in keys}, self._clock.now()
        gone = {each.kid for each in self._keys} - here - retired(self._keys, now, self._lead)
        self.withdrawn = (self.withdrawn | gone) - here
        self._keys = list(keys)
        # A key that stays keeps its object, by which verified tokens are remembered.
        self._by_id = {each.kid: self._by_id.get(each.kid, each.key) for each in keys}
        self._jwks = public_jwks(keys, self.withdrawn)


def signing(keys: Sequence[SigningKey], now: datetime, lead: timedelta) -> SigningKey:
    """The newest of the keys (oldest first) that is at least `lead` old; the oldest when none is."""
    return next((each for each in reversed(keys) if each.made_at + lead <= now), keys[0])


def retired(keys: Sequence[SigningKey], now: datetime, lead: timedelta) -> set[str]:
    """Which of the keys (oldest first) have signed no token that could be alive."""
    return {old.kid for old, new in pairwise(keys) if new.made_at + lead + TOKENS_END <= now}


def rotate(folder: Path, now: datetime, lead: timedelta) -> SigningKey:
    """Lay a new key beside the others. Raises KeyFileError when the last one does not sign yet; OSError."""
    with locked(folder):
        keys = load_keys(folder)
        if keys and signing(keys, now, lead) is not keys[-1]:
            raise KeyFileError(f"{keys[-1].kid} was made less than {lead} ago and does not sign yet")
        return create_key(folder, now)


def retire(folder: Path, now: datetime, lead: timedelta) -> list[str]:
    """Remove the keys whose last token has ended; their ids. Raises KeyFileError, OSError."""
    with locked(folder):
        ended = sorted(retired(load_keys(folder), now, lead))
        for kid in ended:
            delete_key(folder, kid)
        return ended


def withdraw(folder: Path, kid: str, now: datetime) -> None:
    """Remove a key that somebody else may have, with all its tokens; the last one is replaced.

    Raises KeyFileError when there is no such key; OSError.
    """
    with locked(folder):
        keys = load_keys(folder)
        if kid not in {each.kid for each in keys}:
            raise KeyFileError(f"there is no key {kid} in {folder}")
        if len(keys) == 1:
            create_key(folder, now)
        delete_key(folder, kid)
