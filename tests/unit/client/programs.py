"""Runs programs of the client's core against scripted answers: no network, no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from httpx_sse import ServerSentEvent

from gateway.client.core.calls import Flow, Operation, Session
from gateway.client.core.credentials import Credential, Fixed
from gateway.client.core.effects import Answer, Close, Do, Emit, Open, Pause, Read, Request, Send
from gateway.client.core.retries import Policy
from gateway.client.errors import T2MError

POLICY = Policy(patience_s=60, clock=lambda: 0.0, jitter=lambda: 0.0)
Reply = Answer | T2MError | list[Any]


def json_answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """With that body."""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def event(seq: int, kind: str = "progress", **body: Any) -> ServerSentEvent:
    """As the gateway sends it."""
    return ServerSentEvent(event=kind, id=str(seq), data=json.dumps({"seq": seq, kind: body}))


class Script:
    """Answers requests in order. A list opens a stream of these pieces; an error among them breaks it off."""

    def __init__(self, *replies: Reply | Callable[[Request], Reply]) -> None:
        self._replies = list(replies)
        self._pieces: list[Any] = []
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.emitted: list[Any] = []
        self.closed = 0

    def run(self, operation: Operation[Any] | Flow[Any], credential: Credential | None = None) -> Any:
        """Run it to its result. The T2MError it ends with."""
        program = operation.program(Session(credential or Fixed({"X-API-Key": "key"}), POLICY))
        outcome: Any = None
        error: T2MError | None = None
        while True:
            try:
                effect = program.throw(error) if error else program.send(outcome)
            except StopIteration as end:
                return end.value
            outcome, error = None, None
            try:
                outcome = self._perform(effect)
            except T2MError as failure:
                error = failure

    def _perform(self, effect: Any) -> Any:
        match effect:
            case Send(request) | Open(request):
                return self._answer(request)
            case Read():
                piece = self._pieces.pop(0) if self._pieces else None
                if isinstance(piece, T2MError):
                    raise piece
                return piece
            case Close():
                self.closed += 1
            case Pause(seconds):
                self.pauses.append(seconds)
            case Do(function):
                return function()
            case Emit(value):
                self.emitted.append(value)
        return None

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        reply = self._replies.pop(0)
        reply = reply(request) if callable(reply) else reply
        if isinstance(reply, T2MError):
            raise reply
        if isinstance(reply, Answer):
            return reply
        self._pieces = list(reply)
        return Answer(200, {})
