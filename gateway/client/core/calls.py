"""Operations as values: one call, a task of several, or a flow of items. Each is a program once it has a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

from gateway.client.core.answers import error_of
from gateway.client.core.credentials import Credential
from gateway.client.core.effects import Answer, Emit, Open, Pause, Program, Request, Send
from gateway.client.core.retries import Patience, Policy, Repeat
from gateway.client.errors import NotFoundError, NotLoggedInError, T2MError, UnavailableError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Session:
    """Who calls, and how patiently."""

    credential: Credential
    policy: Policy

    def hurried(self, patience_s: float) -> Session:
        """The same with less patience."""
        return replace(self, policy=replace(self.policy, patience_s=min(patience_s, self.policy.patience_s)))


class Operation(Protocol[T_co]):
    """What a client can run."""

    def program(self, session: Session) -> Program[T_co]:
        """The steps."""
        ...


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, until it has an answer; `read` makes of its JSON what the caller gets (the JSON itself if None)."""

    request: Request
    repeat: Repeat
    read: Callable[[Any], T] | None = None
    gone_is_done: bool = False
    """A repeated removal that finds nothing has removed it the first time."""

    def program(self, session: Session) -> Program[T]:
        """Send, and send again where that is safe. T2MError."""
        answer = yield from exchanged(self.request, self.repeat, session, gone_is_done=self.gone_is_done)
        return self._result(answer)

    def _result(self, answer: Answer) -> T:
        if answer.status >= 300:
            location = answer.headers.get("location", "elsewhere")
            raise T2MError(answer.status, "REDIRECTED", f"the server sends us to {location}: use that URL", {})
        try:
            body = answer.json()
        except ValueError as error:
            raise T2MError(answer.status, "UNKNOWN", "the answer is not JSON: is this the URL of t2m?", {}) from error
        result: T = self.read(body) if self.read else body
        return result


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """Several steps with one result."""

    steps: Callable[[Session], Program[T]]

    def program(self, session: Session) -> Program[T]:
        """As given."""
        return self.steps(session)


@dataclass(frozen=True, slots=True)
class Flow(Generic[T]):
    """Steps that emit any number of T."""

    steps: Callable[[Session], Program[None]]

    def program(self, session: Session) -> Program[None]:
        """As given."""
        return self.steps(session)


def quoted(part: str) -> str:
    """A value as one segment of a path, whatever is in it."""
    return quote(part, safe="")


def get(path: str, params: Mapping[str, Any] | None = None) -> Call[Any]:
    """A read."""
    return Call(Request("GET", path, params=params or {}), Repeat.SAFE)


def post(path: str, body: Any, repeat: Repeat, *, key: str = "") -> Call[Any]:
    """A write; with an Idempotency-Key it is safe to repeat."""
    headers = {"Idempotency-Key": key} if key else {}
    return Call(Request("POST", path, headers=headers, json=body), Repeat.SAFE if key else repeat)


def delete(path: str) -> Call[None]:
    """A removal."""
    return Call(Request("DELETE", path), Repeat.SAFE, lambda _: None, gone_is_done=True)


def exchanged(request: Request, repeat: Repeat, session: Session, *, gone_is_done: bool = False) -> Program[Answer]:
    """The answer to a request, which is sent again where that is safe. T2MError."""
    patience = Patience(session.policy)
    unsure = False
    while True:
        try:
            return (yield from authorised(request, session, Send))
        except T2MError as error:
            if unsure and gone_is_done and isinstance(error, NotFoundError):
                return Answer(204)
            unsure = unsure or isinstance(error, UnavailableError)
            pause_s = patience.pause_s(error, repeat)
        yield Pause(pause_s)


def authorised(request: Request, session: Session, exchange: Callable[[Request], Send | Open]) -> Program[Answer]:
    """One exchange with the credential of the session, which is renewed once if it turns out to have expired.

    Raises T2MError for an answer that is an error. What goes elsewhere carries no credential.
    """
    if request.elsewhere:
        return _checked((yield exchange(request)))
    headers = yield from session.credential.headers()
    try:
        return _checked((yield exchange(replace(request, headers={**request.headers, **headers}))))
    except NotLoggedInError:
        renewed = yield from session.credential.renewed(headers)
        if renewed is None:
            raise
    return _checked((yield exchange(replace(request, headers={**request.headers, **renewed}))))


def _checked(answer: Answer) -> Answer:
    if error := error_of(answer):
        raise error
    return answer


def paged(page: Callable[[str], Call[Any]], items: str) -> Flow[Any]:
    """All items of a list with page tokens (AIP-158), asked for page by page as they are taken."""

    def steps(session: Session) -> Program[None]:
        token, seen = "", set[str]()
        while token not in seen:
            seen.add(token)
            answer = yield from page(token).program(session)
            for item in answer[items]:
                yield Emit(item)
            token = answer["next_page_token"]
            if not token:
                return
        raise T2MError(0, "UNKNOWN", "the server repeats a page token", {})

    return Flow(steps)
