"""Rpcs that begin, go on with and end a session: their tokens travel in cookies for clients that ask for it."""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from typing import Any

import orjson
from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.catalog import CatalogError, HttpBinding, Rpc
from gateway.cookies import SessionCookies
from gateway.errors import ApiError
from gateway.http import Request
from gateway.http_rules import Template
from gateway.transcoder import Toolbox, UnaryCall, response_encoder
from t2m.auth.v1 import session_service_pb2
from t2m.common.v1 import options_pb2

_TOKENS = session_service_pb2.SessionTokens.DESCRIPTOR.full_name
_TOKEN_FIELD = "refresh_token"  # noqa: S105 - the name of a field
_IN_COOKIES = "session_in_cookies"
_SECRETS = ("access_token", "refresh_token", "token_type")


def refresh_path(rpcs: Iterable[Rpc]) -> str:
    """The path under which every rpc lies that takes the refresh token; `/` when there is none."""
    paths = [
        binding.template
        for rpc in rpcs
        if rpc.extras.session_cookies and _TOKEN_FIELD in rpc.input.fields_by_name
        for binding in rpc.bindings
    ]
    return os.path.commonpath(paths) if paths else "/"


class _SessionCall(UnaryCall):
    """A call whose request's `refresh_token` may come from the cookie. What the body says wins."""

    def __init__(
        self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox, cookies: SessionCookies
    ) -> None:
        super().__init__(rpc, binding, template, tools)
        self._cookies = cookies
        self._takes_token = _TOKEN_FIELD in rpc.input.fields_by_name
        self._input: type[Message] = message_factory.GetMessageClass(rpc.input)

    def bind(self, request: Request, variables: dict[str, str], body: bytes) -> bytes:
        """The request message. Raises ApiError, 403 when the cookies may not be used."""
        raw = super().bind(request, variables, body)
        request.state[_IN_COOKIES] = self._cookies.wanted(request)
        if not self._takes_token:
            return raw
        message: Any = self._input.FromString(raw)
        if message.refresh_token:
            return raw
        token = self._cookies.refresh_token(request)
        if token is None:
            return raw
        # What came from where no script can read must not leave to where one can.
        request.state[_IN_COOKIES] = True
        message.refresh_token = token
        return bytes(message.SerializeToString())


class SessionEndpoint:
    """An rpc with `http_extras.session_cookies`."""

    def __init__(
        self, rpc: Rpc, binding: HttpBinding, template: Template, tools: Toolbox, cookies: SessionCookies
    ) -> None:
        self._unary = _SessionCall(rpc, binding, template, tools, cookies)
        self._cookies = cookies
        self._sets = rpc.extras.session_cookies == options_pb2.SESSION_COOKIES_SET
        self._selected = binding.response_body
        self._status = rpc.extras.success_status or 200
        self._encode = response_encoder(rpc, binding, tools.encoders)
        if self._sets:
            _check_answer(rpc, binding)

    async def __call__(self, request: Request, variables: dict[str, str]) -> None:
        """Answer; with cookies for who wants them, and then without tokens in the body. Raises ApiError."""
        try:
            message, headers, _ = await self._unary(request, variables)
        except ApiError as error:
            if error.status == 401 and request.state.get(_IN_COOKIES):
                error.headers += self._cookies.clear()
            raise
        answer: Any = self._encode(message)
        if self._sets and request.state[_IN_COOKIES]:
            tokens: Any = getattr(message, self._selected) if self._selected else message
            fields, csrf = self._cookies.set(tokens)
            headers += fields
            answer = {key: value for key, value in answer.items() if key not in _SECRETS} | {"csrf_token": csrf}
        elif not self._sets and self._cookies.any_of(request):
            headers += self._cookies.clear()
        body = b"" if self._status == 204 else orjson.dumps(answer)
        await request.respond(self._status, body, [*headers, (b"cache-control", b"no-store")])


def _check_answer(rpc: Rpc, binding: HttpBinding) -> None:
    output: Any = rpc.output
    if binding.response_body:
        output = rpc.output.fields_by_name[binding.response_body].message_type
    if output is None or output.full_name != _TOKENS:
        raise CatalogError(f"{rpc.path}: SESSION_COOKIES_SET needs an answer of type {_TOKENS}")
