"""What a request is authenticated with: nothing, an API key, or the tokens of a session, which are renewed in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.client.core.answers import error_of
from gateway.client.core.effects import Answer, Do, Pause, Program, Request, Send
from gateway.client.core.retries import Patience, Policy, Repeat
from gateway.client.errors import NotLoggedInError, T2MError, UnavailableError
from gateway.client.models.account import SessionTokens

_EARLY = timedelta(seconds=30)
"""Renewed so long before the end, as a request takes its time and clocks differ."""
_RENEWAL_PATIENCE_S = 8.0
"""A used refresh token works again for 10 s, for answers that got lost; later it would end the session."""
_LOCK_PATIENCE_S = 30.0
_LOCK_PAUSE_S = 0.05


class Credential(Protocol):
    """How requests prove who calls."""

    def headers(self) -> Program[dict[str, str]]:
        """Headers for the next request. NotLoggedInError."""
        ...

    def renewed(self, refused: dict[str, str]) -> Program[dict[str, str] | None]:
        """Other headers after the server has refused these; None when there are none."""
        ...


class Fixed:
    """The same headers always: an API key, or none."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def headers(self) -> Program[dict[str, str]]:
        """As given."""
        return self._headers
        yield  # A generator, like the others.

    def renewed(self, refused: dict[str, str]) -> Program[dict[str, str] | None]:
        """There are no others."""
        return None
        yield


class TokenStore(Protocol):
    """Where the tokens of a session are kept. Several clients, also of several processes, may share a store."""

    def load(self) -> SessionTokens | None:
        """The newest pair."""
        ...

    def save(self, tokens: SessionTokens | None) -> None:
        """Put this in its place, whole or not at all; None removes it."""
        ...

    def try_lock(self) -> bool:
        """Become the one who renews; False, at once, while somebody else does."""
        ...

    def unlock(self) -> None:
        """Let others."""
        ...


class SessionCredential:
    """Tokens of a store. A refresh token works once, so one client at a time renews, and all use what comes of it."""

    def __init__(
        self, store: TokenStore, policy: Policy, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._policy = policy
        self._now = now

    def headers(self) -> Program[dict[str, str]]:
        """The access token, renewed if it is about to end. NotLoggedInError without tokens."""
        tokens: SessionTokens | None = yield Do(self._store.load)
        if tokens is None:
            raise NotLoggedInError(401, "UNAUTHENTICATED", "not logged in", {"reason": "CREDENTIAL_MISSING"})
        headers = _bearer(tokens)
        if datetime.fromisoformat(tokens["expires_at"]) - self._now() > _EARLY:
            return headers
        return (yield from self.renewed(headers)) or headers

    def renewed(self, refused: dict[str, str]) -> Program[dict[str, str] | None]:
        """The headers of a new pair, also when somebody else has got it meanwhile. NotLoggedInError when the session
        has ended.
        """
        until = self._policy.clock() + _LOCK_PATIENCE_S
        # Polled, and not in a thread: a wait that is cancelled may not leave a lock behind that nobody knows of.
        while not self._store.try_lock():
            if self._policy.clock() > until:
                raise UnavailableError(0, "LOCKED", "another process has been renewing the login for too long", {})
            yield Pause(_LOCK_PAUSE_S)
        try:
            tokens = self._store.load()
            if tokens is None:
                return None
            if _bearer(tokens) != refused:
                return _bearer(tokens)
            answer = yield from self._refresh(tokens["refresh_token"])
            # In one go with the answer: a pair that is not kept is a session that is lost.
            self._store.save(answer.json())
            return _bearer(answer.json())
        finally:
            self._store.unlock()

    def _refresh(self, refresh_token: str) -> Program[Answer]:
        body = {"refresh_token": refresh_token}
        request = Request("POST", "/api/v1/users/refresh", json=body)
        patience = Patience(
            Policy(
                patience_s=min(_RENEWAL_PATIENCE_S, self._policy.patience_s),
                base_s=self._policy.base_s,
                clock=self._policy.clock,
                jitter=self._policy.jitter,
            )
        )
        while True:
            try:
                answer: Answer = yield Send(request)
                if error := error_of(answer):
                    raise error
            except NotLoggedInError:
                self._store.save(None)
                raise
            except T2MError as error:
                pause_s = patience.pause_s(error, Repeat.SAFE)
            else:
                return answer
            yield Pause(pause_s)


def _bearer(tokens: SessionTokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}
