"""One served method: what its calls have in common, and the life of a single call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import structlog

from services.runtime.audit.journal import AuditJournal
from services.runtime.authorization import MethodRule, authorize
from services.runtime.errors import DETAILS_KEY, ErrorTable, ServiceError, status_from_exception
from services.runtime.identity import CallContext, bind_call
from services.runtime.interceptors.admission import REQUEST_ID_KEY, client_address_of, identify, request_id_of
from services.runtime.interceptors.auditing import MethodAudit
from services.runtime.interceptors.metrics import MethodMetrics
from services.runtime.peers import PeerPolicy
from services.runtime.tokens import TokenVerifier, revoked_error
from services.runtime.validation import MessageCheck, Violation
from t2m.common.v1.error_reason_pb2 import ErrorReason

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_access = structlog.get_logger("access")
_CUT_NOTICE_S = 0.002
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ActiveCalls:
    """Counts the calls being served, so that a stopping server knows when the last one has ended."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """A call begins."""
        self._count += 1
        self._idle.clear()

    def leave(self) -> None:
        """A call ended."""
        self._count -= 1
        if self._count == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no call is being served."""
        await self._idle.wait()


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What all methods of a server share."""

    table: ErrorTable
    verifier: TokenVerifier
    drain: asyncio.Event
    active: ActiveCalls
    peers: PeerPolicy | None = None
    """Checks certificates; None where connections have none."""
    journal: AuditJournal | None = None
    """Where calls of people leave their entries; None where people may call nothing."""


class ServedMethod:
    """The static part of a method: its rule, its compiled validation, its metrics."""

    def __init__(
        self, rule: MethodRule, check: MessageCheck | None, shared: Collaborators, audit: MethodAudit | None = None
    ) -> None:
        self.rule = rule
        self.audit = audit
        self.shared = shared
        self.metrics = MethodMetrics(rule.method)
        self._check = check

    def validate(self, request: Any) -> None:
        """Raises ServiceError (INVALID_ARGUMENT) that lists every broken rule of the request."""
        if self._check is None:
            return
        violations = self._check(request)
        if violations:
            raise validation_error(violations)


def validation_error(violations: list[Violation]) -> ServiceError:
    """INVALID_ARGUMENT with the violations; the message names the first."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return ServiceError(
        grpc.StatusCode.INVALID_ARGUMENT,
        ErrorReason.ERROR_REASON_VALIDATION_FAILED,
        f"{first.field_path} {first.description}{more}",
        field_violations=violations,
    )


class ServedCall:
    """One call, from its metadata to its status. Created at the first moment, ended exactly once."""

    __slots__ = (
        "_code",
        "_context",
        "_metadata",
        "_method",
        "_minted",
        "_noted",
        "_revoked",
        "_started",
        "info",
        "received",
        "request",
        "sent",
    )

    def __init__(self, method: ServedMethod, context: Context, request: Any = None) -> None:
        self._started = time.perf_counter()
        self._method = method
        self._context = context
        self._code = grpc.StatusCode.OK
        self._revoked = False
        self._noted = False
        self.request = request
        """The request, or the first message of a client stream."""
        self.received = 0
        self.sent = 0
        # Read once: each time grpc makes all of it anew.
        self._metadata: dict[str, str | bytes] = dict(context.invocation_metadata() or ())
        metadata = self._metadata
        request_id, self._minted = request_id_of(metadata)
        address = client_address_of(metadata)
        self.info = CallContext(method.rule.method, request_id, drain=method.shared.drain, client_address=address)
        bind_call(self.info)
        method.shared.active.enter()
        method.metrics.started()

    async def admit(self, *, streaming: bool) -> None:
        """Echo the request id and let the caller in, or raise ServiceError.

        Initial metadata of its own costs a unary call an extra write, so there it is sent only when it tells
        the caller something: when the id was made here.
        """
        if streaming or self._minted:
            await self._context.send_initial_metadata(((REQUEST_ID_KEY, self.info.request_id),))
        shared = self._method.shared
        self.info.principal = await identify(self._method.rule, self._metadata, shared.verifier)
        authorize(self._method.rule, self.info.principal)
        if shared.peers is not None:
            shared.peers.check(self._method.rule, self._context.auth_context(), self.info.principal)

    def requests(self, iterator: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The messages of a client stream, each validated as it arrives."""
        return self._validated(iterator)

    async def _validated(self, iterator: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in iterator:
            self.received += 1
            if self.request is None:
                self.request = request
            self._method.validate(request)
            yield request
        # To grpc.aio a stream that the client cut ends like a whole one, and the cancellation follows within 0.2 ms
        # (measured). Waiting for it here keeps nearly every half stream from being taken for a whole one; a handler to
        # which that matters also checks a length or a checksum.
        await asyncio.sleep(_CUT_NOTICE_S)

    @contextmanager
    def cut_when_revoked(self) -> Iterator[None]:
        """End the call, which may last for hours, as soon as the credential is revoked that it was let in with."""
        task, principal = asyncio.current_task(), self.info.principal
        if task is None or principal is None:
            yield
            return

        def cut() -> None:
            self._revoked = True
            task.cancel()

        unwatch = self._method.shared.verifier.watch(principal, cut)
        try:
            yield
        except asyncio.CancelledError:
            if not self._revoked or task.uncancel() > 0:  # the client has gone away too
                raise
            raise revoked_error() from None
        finally:
            unwatch()

    async def succeed(self, answer: Any = None) -> Any:
        """The answer, or the first of a stream, is about to leave: what is to be audited is written down before."""
        await self._note(grpc.StatusCode.OK, answer)
        return answer

    async def _note(self, code: grpc.StatusCode, answer: Any = None) -> None:
        audit = self._method.audit
        if audit is None or self._noted:
            return
        self._noted = True
        entry = audit.entry(self.info, code, self.request, answer)
        if entry is None:
            return
        if code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED):
            audit.journal.leave(entry)  # nobody waits for an answer, and this task is being cancelled
        else:
            await audit.journal.record(entry)

    async def fail(self, exc: BaseException) -> NoReturn:
        """End the call with the status that the exception maps to. Always raises."""
        if isinstance(exc, asyncio.CancelledError | GeneratorExit):
            remaining = cast("float | None", self._context.time_remaining())  # None without a deadline
            late = remaining is not None and remaining <= 0
            self._code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            await self._note(self._code)
            raise exc
        if isinstance(exc, grpc.aio.AbortError):  # a handler that chose its own status
            self._code = _CODES.get(cast(Any, self._context.code()), grpc.StatusCode.UNKNOWN)
            await self._note(self._code)
            raise exc
        if not isinstance(exc, Exception):
            self._code = grpc.StatusCode.INTERNAL
            raise exc
        status = status_from_exception(exc, self._method.shared.table)
        self._code = _CODES[status.code]
        await self._note(self._code)
        trailers = ((REQUEST_ID_KEY, self.info.request_id), (DETAILS_KEY, status.SerializeToString()))
        await self._context.abort(self._code, status.message, trailers)

    def end(self) -> None:
        """Count and log the call."""
        seconds = time.perf_counter() - self._started
        self._method.shared.active.leave()
        self._method.metrics.ended(self._code, seconds, self.received, self.sent)
        principal = self.info.principal
        _access.info(
            "rpc",
            method=self.info.method,
            code=self._code.name,
            ms=round(seconds * 1000, 2),
            principal=f"{principal.role}:{principal.subject}" if principal is not None else None,
            **({"received": self.received, "sent": self.sent} if self.received or self.sent else {}),
        )
