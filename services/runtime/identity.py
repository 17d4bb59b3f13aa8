"""Who is calling: the state of the call being served, carried by one context variable."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What kind of caller a token names."""

    ADMIN = "admin"
    USER = "user"
    READONLY = "readonly"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    subject: str
    role: Role
    scopes: frozenset[str] | None
    """What a restricted credential may do; None means unrestricted."""
    token: str = field(repr=False)
    """The token itself, to be passed on when this service calls another in the caller's name."""
    expires_at: datetime
    plan: str = ""
    """The plan of the user; empty for services and where auth says nothing."""
    session_id: str = ""
    """The session in whose name the token was made, if there is one."""
    api_key_id: str = ""
    """The API key in whose name the token was made, if there is one."""
    authenticated_at: datetime | None = None
    """When the person proved who they are (claim `auth_time`, OpenID Connect Core 2); None for keys and services."""
    issued_at: datetime | None = None
    """When the token was made."""


@dataclass(slots=True)
class CallContext:
    """What is known about the call that the current task serves."""

    method: str
    request_id: str
    principal: Principal | None = None
    drain: asyncio.Event = field(default_factory=asyncio.Event)
    client_address: str = ""
    """IP address of the client as the gateway saw it; empty where nobody said. Good for counting and for the audit
    trail, never for permission: whoever reaches the port can say anything.
    """
    mentioned: dict[str, str] = field(default_factory=dict)
    """What the call is about beside what its request names; see `audit.mention`."""


_current: ContextVar[CallContext] = ContextVar("t2m_call")


def bind_call(call: CallContext) -> Token[CallContext]:
    """Make `call` the current one of this task (and of tasks that it starts)."""
    return _current.set(call)


def current_call() -> CallContext | None:
    """The call being served, None outside of one."""
    return _current.get(None)


def current_principal() -> Principal:
    """The authenticated caller.

    Raises LookupError outside of a call and in a method whose permission is public.
    """
    principal = _current.get().principal
    if principal is None:
        raise LookupError("the current call is public: it has no principal")
    return principal


def current_request_id() -> str:
    """The id that ties log lines of all services to one request; empty outside of a call."""
    call = _current.get(None)
    return call.request_id if call is not None else ""


def current_drain() -> asyncio.Event:
    """Set once the server is asked to stop: an open stream then ends after its last whole message.

    Raises LookupError outside of a call.
    """
    return _current.get().drain
