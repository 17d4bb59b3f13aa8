"""Logs as one JSON object per line, tied to the request by id, secrets struck out; and the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
from collections.abc import Coroutine, MutableMapping
from functools import lru_cache
from typing import Any, TextIO, TypeVar, cast

import orjson
import structlog
import uvloop

from services.runtime.identity import current_call

T = TypeVar("T")

_SECRET_NAME = re.compile(r"authorization|api[-_]?key|password|passwd|token|secret|cookie|pepper", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}"
    r"|\bt2m_[A-Za-z0-9]+_[A-Za-z0-9_-]{8,}"  # an API key
    r"|(://[^:/@\s]*:)[^@/\s]+(?=@)"  # the password in a URL
)
_STRUCK = "[redacted]"


def configure_logging(service: str, *, level: str = "info", log_format: str = "json") -> None:
    """Set up structlog, and send the standard library's loggers through the same processors.

    Every line carries the service's name and, while a call is served, `request_id` and `user_id`. Bind more
    with `structlog.contextvars.bind_contextvars(job_id=…)`.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _service_name(service),
        add_call_context,
    ]
    last: list[Any] = [structlog.processors.format_exc_info, redact]
    if log_format == "json":
        renderer: Any = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Forgiving(sys.stdout))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.INFO), force=True)


class _Forgiving:
    """An output whose loss harms nobody: on a full disk, or with its reader gone, lines are dropped.

    The standard library's handlers do the same; structlog would raise into whatever was being done.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._output.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._output.flush()


def _service_name(service: str) -> Any:
    def add(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


def add_call_context(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: adds the ids of the call being served. Read here, they cost nothing until a line
    is written.
    """
    call = current_call()
    if call is not None:
        event.setdefault("request_id", call.request_id)
        if call.principal is not None:
            event.setdefault("user_id", call.principal.subject)
    return event


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: strikes out values named like secrets, and secrets inside texts."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item) for inner, item in value.items()}
    if value is not None and _is_secret_name(key):
        return _STRUCK
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_strike, value) if _may_hold_a_secret(value) else value
    if isinstance(value, list | tuple):
        return [_clean("", item) for item in value]
    return value


def _may_hold_a_secret(text: str) -> bool:
    """The cheap test: hardly any text does, and every value of every line is looked at."""
    return "@" in text or "t2m_" in text or "earer" in text or "EARER" in text


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _strike(match: re.Match[str]) -> str:
    return f"{match.group(1) or match.group(2) or ''}{_STRUCK}"


def _to_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a process's main coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
