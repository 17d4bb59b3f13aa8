"""Server streams over WebSockets (J7): the events of an event stream, each a text message.

Who calls is said by a header or a session's cookie, as everywhere; or, since browsers can set no header, by the first
message: `{"authenticate": {"access_token": …} | {"api_key": …}, "after_seq": n}`. Never by the URL, which is logged.
After that the client has nothing to say. README.md lists the messages and the close codes.

Before the upgrade a refusal is an ordinary answer; afterwards it is a message `{"error": …}` of the same form, and the
close code is 4000 + the status.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from dataclasses import dataclass

import orjson
from starlette.types import Message, Send

from gateway.admission import Gate
from gateway.auth import Caller, call_metadata
from gateway.binding import Binder
from gateway.catalog import CatalogError, HttpBinding, Rpc
from gateway.codec import Violation
from gateway.errors import ApiError, malformed, unauthenticated, validation_failed
from gateway.feed import Ending
from gateway.frames import WEBSOCKET
from gateway.http import ClientGoneError, Request
from gateway.http_rules import Template, compile_template
from gateway.hub import Hub
from gateway.transcoder import Toolbox
from gateway.watching import Source, Watch, stream
from gateway.wires import SOCKET_PREFIX, wire_of

MAX_MESSAGE_BYTES = 16 << 10
"""The largest message of a client: a credential has room in it."""
CLOSE_COMPLETE = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_ERROR_BASE = 4000
_MAX_SEQ = (1 << 63) - 1
_KINDS = ("access_token", "api_key")


def as_denial(send: Send) -> Send:
    """Answers of HTTP as answers to the opening of a WebSocket (ASGI's extension `websocket.http.response`)."""

    async def denial(message: Message) -> None:
        if message["type"].startswith("http.response."):
            message = {**message, "type": f"websocket.{message['type']}"}
        await send(message)

    return denial


@dataclass(frozen=True, slots=True)
class FirstMessage:
    """What a client says that had no header to say it in."""

    kind: str
    secret: str
    position: int | None

    @classmethod
    def read(cls, text: str, position_name: str) -> FirstMessage:
        """Read it; a position is called `position_name`, empty where there is none. Raises ApiError 400, 422."""
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise malformed(f"malformed JSON: {error.msg}") from error
        if not isinstance(content, dict):
            raise malformed("the first message is a JSON object with `authenticate`")
        known = {"authenticate", position_name} - {""}
        violations = [Violation(name, "unknown field") for name in content if name not in known]
        proof = content.get("authenticate")
        proofs = list(proof.items()) if isinstance(proof, dict) else []
        kind, secret = proofs[0] if len(proofs) == 1 else ("", "")
        if kind not in _KINDS or not isinstance(secret, str):
            violations.append(Violation("authenticate", "must have one of access_token and api_key, a string"))
        position = content.get(position_name) if position_name else None
        # `true` is an int to Python, not to anybody else.
        if position is not None and (type(position) is not int or not 0 <= position <= _MAX_SEQ):
            violations.append(Violation(position_name, "must be an integer that is not negative"))
        if violations:
            raise validation_failed(violations)
        return cls(kind, secret, position)


class Socket:
    """An outlet of a stream: one WebSocket, from its opening to its close."""

    skin = WEBSOCKET

    def __init__(self, request: Request) -> None:
        self.wire = wire_of(request)
        self.accepted = False
        self._request = request

    async def accept(self) -> None:
        """Open it, unless that was done."""
        if not self.accepted:
            self.accepted = True
            self._request.state["streaming"] = True
            await self._send({"type": "websocket.accept", "headers": []})

    async def first_message(self) -> str:
        """The text that the client begins with. Raises ApiError 400 for bytes, ClientGoneError."""
        while True:
            message = await self._request.receive()
            if message["type"] == "websocket.disconnect":
                raise ClientGoneError
            if message["type"] == "websocket.receive":
                text: str | None = message.get("text")
                if text is None:
                    raise malformed("the first message is text")
                return text

    async def begin(self) -> None:
        """As an outlet: nothing comes before the first event."""
        await self.accept()

    async def nothing(self) -> None:
        """As an outlet: 1000 at once."""
        await self.accept()
        await self._close(CLOSE_COMPLETE, Ending.COMPLETE.value)

    async def end(self, ending: Ending, position: int) -> None:
        """As an outlet: a last message with the position, and the close code. Raises ApiError, ClientGoneError."""
        if ending in (Ending.GONE, Ending.SLOW):
            raise ClientGoneError
        if ending is Ending.REVOKED:
            raise unauthenticated("CREDENTIAL_INVALID", "the credential has ended")
        if ending is Ending.UNASKED:
            raise malformed("a client has nothing to say after the beginning")
        await self.accept()
        last = {"seq": max(position, 0), "event": "end", "data": {"reason": ending.value}}
        await self._send({"type": "websocket.send", "text": orjson.dumps(last).decode()})
        await self._close(CLOSE_COMPLETE if ending is Ending.COMPLETE else CLOSE_GOING_AWAY, ending.value)

    async def fail(self, error: ApiError) -> None:
        """The error as a message, then close."""
        request = self._request
        request.state["error_code"] = error.error_code
        body = error.body(path=request.path, request_id=request.request_id)
        await self._send({"type": "websocket.send", "text": body.decode()})
        await self._close(CLOSE_ERROR_BASE + error.status, error.error_code)

    async def _close(self, code: int, reason: str) -> None:
        self._request.state["close_code"] = code
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _send(self, message: Message) -> None:
        try:
            await self._request.send(message)
        except OSError:  # uvicorn's word for a client that has left
            raise ClientGoneError from None


class SocketGate:
    """The way in to a WebSocket: by header or cookie before it opens, by the first message after."""

    def __init__(self, gate: Gate, first_message_s: float) -> None:
        self._gate = gate
        self._first_message_s = first_message_s

    async def enter(self, request: Request, socket: Socket, position_name: str) -> tuple[Caller | None, int | None]:
        """The caller, and the position that the first message gave. Raises ApiError and ClientGoneError."""
        if not self._gate.awaits_credential(request):
            return await self._gate(request), None
        # Counts for the address: a stranger cannot hold many connections open by saying nothing.
        await self._gate.greet(request)
        await socket.accept()
        try:
            async with asyncio.timeout(self._first_message_s):
                text = await socket.first_message()
        except TimeoutError:
            late = f"no first message within {self._first_message_s:g} s"
            raise ApiError(408, "REQUEST_TIMEOUT", late, "REQUEST_TOO_SLOW") from None
        first = FirstMessage.read(text, position_name)
        return await self._gate.admit(request, first.kind, first.secret), first.position


async def serve_socket(socket: Socket, conversation: Awaitable[None]) -> None:
    """Await what is said over a socket. What goes wrong after its opening is said over it; before, raises ApiError."""
    try:
        await conversation
    except ApiError as error:
        if not socket.accepted:
            raise
        with contextlib.suppress(ClientGoneError):
            await socket.fail(error)


def socket_template(rpc: Rpc, binding: HttpBinding) -> Template | None:
    """Where the WebSocket of an event stream is; None where it has none. Raises CatalogError, TemplateError."""
    path = rpc.extras.event_stream.websocket
    if not path:
        return None
    template, own = compile_template(path), compile_template(binding.template)
    same = {each.field_path for each in template.variables} == {each.field_path for each in own.variables}
    if not path.startswith(SOCKET_PREFIX.decode()) or not same:
        raise CatalogError(f"{rpc.path}: a WebSocket lies under /ws/ and has the variables of the HTTP rule")
    return template


class SocketEndpoint:
    """A server-streaming rpc as a WebSocket."""

    def __init__(
        self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox, hub: Hub, first_message_s: float
    ) -> None:
        self._gate = SocketGate(tools.admission.of(rpc), first_message_s)
        self._hub = hub
        self._binder = Binder(rpc, binding, template, tools.decoders)
        self._source = Source(rpc, binding, tools)
        self._position_name = rpc.extras.event_stream.resume_field

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """Stream until the upstream ends, the client leaves or says something, or the gateway drains."""
        require_upgrade(request)
        socket = Socket(request)
        await serve_socket(socket, self._converse(request, variables, socket))

    async def _converse(self, request: Request, variables: dict[str, str], socket: Socket) -> None:
        caller, position = await self._gate.enter(request, socket, self._position_name)
        self._hub.admit(caller)
        raw = self._binder.bind(request, variables, b"")
        watch = Watch(self._source, raw, caller, call_metadata(request, None))
        if position is not None:
            watch.position = position
        await stream(watch, self._hub, socket)


def require_upgrade(request: Request) -> None:
    """Raise ApiError 426 for a request that opens no WebSocket."""
    if request.scope["type"] != "websocket":
        headers = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
        message = "this is a WebSocket: send Upgrade: websocket"
        raise ApiError(426, "UPGRADE_REQUIRED", message, "METHOD_NOT_FOUND", headers=headers)
