"""A small reader of server-sent events that resumes where it was cut off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from deploy.local.errors import StackError

RETRY_DELAY = 0.5
"""Seconds between two connections."""
SILENCE = 45.0
"""Seconds without a byte (heartbeats come every 15) after which the connection is given up and made anew."""


@dataclass(frozen=True)
class Event:
    """One event of the stream."""

    id: str
    """Its position; what ``Last-Event-ID`` carries."""
    kind: str
    data: dict[str, Any]


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """The events in the lines of a ``text/event-stream``; comments and unfinished events are dropped."""
    fields: dict[str, str] = {}
    last_id = ""
    for line in lines:
        if line == "":
            if "data" in fields:
                yield Event(last_id, fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            last_id = value
        elif name == "data" and "data" in fields:
            fields["data"] += "\n" + value
        elif name:
            fields[name] = value


def follow(client: httpx.Client, path: str, *, limit: float) -> Iterator[Event]:
    """The events of ``path``, over as many connections as it takes, until the caller stops.

    A 4xx answer and ``limit`` seconds without any event are a StackError.
    """
    last_id = ""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < limit:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        try:
            with client.stream("GET", path, headers=headers, timeout=httpx.Timeout(10.0, read=SILENCE)) as answer:
                if answer.is_client_error:
                    answer.read()
                    raise StackError(f"GET {path} answered {answer.status_code}: {answer.text}")
                if answer.is_success:
                    for event in parse(answer.iter_lines()):
                        quiet_since = time.monotonic()
                        last_id = event.id or last_id
                        yield event
        except httpx.TransportError:
            pass  # cut off: connect again and go on behind the last event
        time.sleep(RETRY_DELAY)
    raise StackError(f"no event came from {path} for {limit:.0f} s")
