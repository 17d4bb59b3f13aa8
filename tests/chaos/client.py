"""Clients of the storm: they do what a good client does (same key again, resume behind the last event) and note it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.history import History
from tests.e2e.local_stack import TERMINAL

_AGAIN_S = (0.2, 1.0)
"""Pause before another try."""
_RETRIED = {429, 502, 503, 504}
"""Answers that promise that another try may do better."""
_UNTRUSTED = {401, 403}
"""Answers that a service with a wrong clock gives; the same credential is tried again."""
_SILENCE_S = 40.0
"""Heartbeats come every 15 s; a stream that is silent for longer is given up and resumed."""


class Refused(Exception):
    """An order was refused for good."""


@dataclass
class Client:
    """One user's connection to the gateway."""

    user: str
    http: httpx.AsyncClient
    history: History
    rng: random.Random
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, user: str, url: str, key: str, history: History, rng: random.Random) -> Client:
        """A client of the gateway at `url` with an API key."""
        http = httpx.AsyncClient(
            base_url=url,
            headers={"X-API-Key": key},
            timeout=httpx.Timeout(10.0, read=_SILENCE_S),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )
        return cls(user, http, history, rng)

    async def order(self, body: dict[str, Any], request_id: str) -> str:
        """Order until it is answered, always under one key; the job's id."""
        answer = await self._post("/api/v1/videos/generate", body, request_id)
        return str(answer["job_id"])

    async def order_batch(self, bodies: list[dict[str, Any]], request_id: str) -> tuple[str, list[str]]:
        """The same for a batch: its id and those of its jobs."""
        answer = await self._post("/api/v1/videos/batch", {"requests": bodies}, request_id)
        return str(answer["batch"]["batch_id"]), _jobs_of(answer)

    async def cancel(self, route: str, **what: str) -> None:
        """Cancel a job or a batch, until it is answered; a refusal because it has ended is an answer."""
        self.history.add("cancel", **what, status=None)
        while True:
            answer = await self._try("POST", f"{route}/cancel", {}, {})
            if answer is not None:
                self.history.add("cancel", **what, status=answer.status_code)
                return
            await self._pause()

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        """GET until it is answered; for the time after the storm."""
        while (answer := await self._try("GET", path, None, parameters)) is None:
            await self._pause()
        return answer

    async def watch(self, resource: str, subject: str, *, after: int | None, hang_up_every: int = 0) -> None:
        """Follow a resource to its end over as many connections as it takes; every event is noted.

        `after` is the position to begin behind, None for a snapshot. With `hang_up_every` the client itself breaks
        the connection after so many events.
        """
        watcher = f"{subject}/{self.user}/{next(self._numbers)}"
        last, ended = after, False
        while not ended:
            headers = {"Accept": "text/event-stream", **({} if last is None else {"Last-Event-ID": str(last)})}
            status = 0
            try:
                async with self.http.stream("GET", f"{resource}/events", headers=headers) as answer:
                    status = answer.status_code
                    self.history.add("connect", watcher=watcher, job_id=subject, after=last, status=status)
                    seen = 0
                    async for seq, name, body in sse_events(answer.aiter_lines() if status == 200 else _nothing()):
                        self.history.add("event", watcher=watcher, job_id=subject, seq=seq, name=name, body=body)
                        last, ended, seen = seq, ends(name, body), seen + 1
                        if ended or seen == hang_up_every:
                            break
            except httpx.HTTPError:
                pass
            if status not in {0, 200, *_RETRIED}:
                await asyncio.sleep(1.0)  # a refusal; the invariants judge it
            await self._pause()

    async def _post(self, path: str, body: dict[str, Any], request_id: str) -> dict[str, Any]:
        """POST under a key until the answer is neither lost nor a promise."""
        while True:
            answer = await self._try("POST", path, body, {}, {"Idempotency-Key": request_id})
            if answer is not None:
                found: dict[str, Any] = answer.json()
                self.history.add(
                    "answer",
                    request_id=request_id,
                    user=self.user,
                    status=answer.status_code,
                    job_ids=_jobs_of(found) if answer.is_success else [],
                    batch_id=found.get("batch", {}).get("batch_id", "") if answer.is_success else "",
                    error=None if answer.is_success else found,
                )
                if answer.is_success:
                    return found
                if answer.status_code not in _UNTRUSTED:
                    raise Refused(f"{path}: {answer.status_code} {found}")
            await self._pause()

    async def _try(
        self, method: str, path: str, body: Any, parameters: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response | None:
        """One try; None when the answer was lost or asks for another try."""
        try:
            answer = await self.http.request(method, path, json=body, params=parameters, headers=headers)
        except httpx.HTTPError:
            return None
        return None if answer.status_code in _RETRIED else answer

    async def _pause(self) -> None:
        await asyncio.sleep(self.rng.uniform(*_AGAIN_S))


def ends(name: str, body: dict[str, Any]) -> bool:
    """Whether an event of a job or of a batch is its last."""
    if name == "ended":
        return True
    status = body.get("status") or body.get("snapshot", {})
    return isinstance(status, dict) and status.get("status") in {*TERMINAL, "partially_completed"}


async def sse_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    """Parse Server-Sent Events (HTML Living Standard §9.2) into (id, event, data)."""
    identity, name, data = 0, "message", ""
    async for line in lines:
        if line == "" and data:
            yield identity, name, json.loads(data)
            name, data = "message", ""
        elif line.startswith("id:"):
            identity = int(line[3:])
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:]


async def _nothing() -> AsyncIterator[str]:
    """The lines of an answer that is no stream."""
    return
    yield ""


def _jobs_of(answer: dict[str, Any]) -> list[str]:
    """The jobs that an answer to an order or a batch names."""
    if "items" in answer:
        return [str(item["job"]["job_id"]) for item in answer["items"] if "job" in item]
    return [str(answer["job_id"])] if "job_id" in answer else []
