"""What can be wrong with a call to auth; `api/errors.py` gives each type its code and reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta


class AuthError(Exception):
    """Base of all errors of this domain."""


class InvalidValue(AuthError):
    """A value that no account or key can have; carries the violations as (field path, wording)."""

    def __init__(self, field_violations: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path} {wording}" for path, wording in field_violations))
        self.field_violations = field_violations


class EmailTaken(AuthError):
    """Another account has this e-mail address."""

    def __init__(self) -> None:
        super().__init__("an account with this e-mail address exists")


class UserNotFound(AuthError):
    """No user has this id."""

    def __init__(self) -> None:
        super().__init__("no such user")


class ApiKeyNotFound(AuthError):
    """The caller has no API key with this id."""

    def __init__(self) -> None:
        super().__init__("no such API key")


class TooManyKeys(AuthError):
    """The caller has as many API keys as anybody may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"there are {most} API keys already; revoke one first")


class LastAdmin(AuthError):
    """The change would leave the deployment without an admin."""

    def __init__(self) -> None:
        super().__init__("this is the last admin; make another one first")


class ScopeBeyondCaller(AuthError):
    """A key was asked to do more than the credential it is made with."""

    def __init__(self) -> None:
        super().__init__("a key cannot have a scope that the caller's own credential lacks")


class CredentialInvalid(AuthError):
    """A credential that is malformed, unknown, forged, used up or revoked; the message never says which."""

    def __init__(self, message: str = "the credential is not valid") -> None:
        super().__init__(message)


class LoginRefused(CredentialInvalid):
    """Unknown or unverified address, or wrong password: nobody learns which of them."""

    def __init__(self) -> None:
        super().__init__("wrong e-mail address or password, or the address is not verified yet")


class TooManyAttempts(AuthError):
    """Too many wrong passwords, for an address or from a client; carries how long to wait."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("too many attempts: wait before the next one")
        self.retry_after = retry_after


class SessionNotFound(AuthError):
    """The caller has no session with this id."""

    def __init__(self) -> None:
        super().__init__("no such session")


class CredentialExpired(AuthError):
    """The credential was valid until its end, which has passed."""

    def __init__(self) -> None:
        super().__init__("the credential has expired")


class CreditsExhausted(AuthError):
    """The balance does not cover what a job costs."""

    def __init__(self, amount: int, available: int) -> None:
        super().__init__(f"this costs {amount} credits, {available} are left")


class ReservationConflict(AuthError):
    """The job has a reservation of another owner or amount."""

    def __init__(self) -> None:
        super().__init__("the job has a different reservation")


class ReservationNotFound(AuthError):
    """The job has no reservation."""

    def __init__(self) -> None:
        super().__init__("there is no reservation for this job")


class ReservationEnded(AuthError):
    """The reservation was spent, or given back."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the reservation was {state}")


class GrantConflict(AuthError):
    """The request id was used for another user or amount."""

    def __init__(self) -> None:
        super().__init__("this request id was used for a different grant")


class IssuerAway(AuthError):
    """The keys of a token's issuer are not known yet, and the issuer does not answer."""

    retry_after = timedelta(seconds=5)

    def __init__(self) -> None:
        super().__init__("the issuer of this token does not answer")


class FollowerTooSlow(AuthError):
    """A stream was read more slowly than revocations came."""

    def __init__(self) -> None:
        super().__init__("the stream was read too slowly; open it again")


class ErasureByKey(AuthError):
    """An API key erases no account."""

    def __init__(self) -> None:
        super().__init__("an API key cannot delete its account: log in")


class LoginTooOld(AuthError):
    """The caller logged in too long ago for what cannot be undone."""

    def __init__(self) -> None:
        super().__init__("log in again: this needs a login of the last ten minutes")


class ErasureNotFound(AuthError):
    """There is no erasure with this id."""

    def __init__(self) -> None:
        super().__init__("no such erasure")
