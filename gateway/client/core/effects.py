"""What a program may ask of the client that runs it.

A program is a generator: it yields an effect and gets the effect's result sent back, or an error thrown in. The sync
client performs the effects by blocking, the async one by awaiting; the programs are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. A `url` without host is the gateway's; one with a host never gets a credential."""

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    timeout_s: float | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether it goes to another server than the gateway, such as an object store."""
        return "://" in self.url


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; of an opened stream the content is only there when it is an error."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    def json(self) -> Any:
        """The body; None for an empty one. ValueError when it is no JSON."""
        return json.loads(self.content) if self.content else None


@dataclass(frozen=True, slots=True)
class Send:
    """Exchange a request for an Answer. ConnectionFailedError."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Like Send, but what comes is then Read piece by piece: bytes, or Server-Sent Events."""

    request: Request
    events: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes (or `httpx_sse.ServerSentEvent`) of what was opened, None at its end. ConnectionFailedError."""


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of what was opened; nothing happens without."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Do:
    """Run a function that blocks for a moment, such as one that reads a file; its result."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a value to whoever iterates."""

    value: Any


@dataclass(frozen=True, slots=True)
class Result:
    """What a program has come to; made by whoever runs it."""

    value: Any


Effect: TypeAlias = Send | Open | Read | Close | Pause | Do | Emit
Program: TypeAlias = Generator[Effect, Any, T]
