"""A small synchronous client: order a video, follow it without losing an event, fetch the file."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_PAUSE_S = 1.0
_RETRIED = frozenset({429, 502, 503, 504})
_READ_TIMEOUT_S = 45.0  # Three heartbeats of a quiet stream.


class T2MError(Exception):
    """An answer that is not a success; `details` is the error body's, with `reason` and `violations`."""

    def __init__(self, status: int, error_code: str, message: str, details: dict[str, Any]) -> None:
        super().__init__(f"{error_code}: {message}")
        self.status = status
        self.error_code = error_code
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job: its position, its kind (`status`, `progress` …), the whole event."""

    seq: int
    kind: str
    data: dict[str, Any]


class T2MClient:
    """Talks to one gateway. Calls that are safe to repeat are repeated on 429, 5xx of gateways and lost connections,
    for at most `patience_s` seconds.
    """

    def __init__(self, url: str, api_key: str, *, patience_s: float = 60.0) -> None:
        self._patience_s = patience_s
        self._http = httpx.Client(
            base_url=url, headers={"X-API-Key": api_key}, timeout=httpx.Timeout(30.0, read=_READ_TIMEOUT_S)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(self, topic: str, context: str, **options: Any) -> dict[str, Any]:
        """Order a video and return the queued job. Repeating is safe: the order carries an idempotency key."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"topic": topic, "context": context, **options}
        return self._json("POST", "/api/v1/videos/generate", json=body, headers=headers)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        return self._json("GET", f"/api/v1/jobs/{job_id}")

    def watch(self, job_id: str, after: int | None = None) -> Iterator[Event]:
        """Every event after a position, each once, until the job ends; a snapshot first without one.

        Resumes by itself. Raises T2MError, also when the stream cannot be had for `patience_s`.
        """
        position = after
        given_up_at = time.monotonic() + self._patience_s
        while True:
            headers = {"Accept": "text/event-stream"}
            if position is not None:
                headers["Last-Event-ID"] = str(position)
            before = position
            try:
                with self._http.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as answer:
                    if answer.status_code == 204:
                        return
                    _raise_for(answer)
                    for event in _events(answer.iter_lines()):
                        position = event.seq
                        given_up_at = time.monotonic() + self._patience_s
                        yield event
            except (httpx.TransportError, T2MError) as error:
                self._bear(error, given_up_at)
            else:
                # A stream that just ends is resumed as well: 204 says when there is nothing more.
                if position == before:
                    time.sleep(_PAUSE_S)

    def download(self, job_id: str, target: Path, quality: str = "") -> Path:
        """Write the MP4 to `target`, continuing after a lost connection; the name appears when it is complete."""
        part = target.with_name(target.name + ".part")
        params = {"quality": quality} if quality else {}
        etag = ""
        given_up_at = time.monotonic() + self._patience_s
        part.write_bytes(b"")
        while True:
            done = part.stat().st_size
            headers = {"Range": f"bytes={done}-", "If-Range": etag} if done else {}
            try:
                with self._open_file(f"/api/v1/videos/jobs/{job_id}/download", params, headers) as answer:
                    _raise_for(answer)
                    etag = answer.headers.get("etag", "")
                    with part.open("ab" if answer.status_code == 206 else "wb") as file:
                        for chunk in answer.iter_bytes():
                            file.write(chunk)
            except (httpx.TransportError, T2MError) as error:
                self._bear(error, given_up_at)
                continue
            return part.replace(target)

    @contextmanager
    def _open_file(self, path: str, params: dict[str, str], headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer that carries the bytes. A store that it redirects to must not see the API key."""
        with self._http.stream("GET", path, params=params, headers=headers) as answer:
            if not answer.is_redirect:
                yield answer
                return
            location = answer.headers["location"]
        with httpx.stream("GET", location, headers=headers, timeout=self._http.timeout) as answer:
            yield answer

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        given_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._http.request(method, path, **arguments)
                _raise_for(answer)
            except (httpx.TransportError, T2MError) as error:
                self._bear(error, given_up_at)
                continue
            body: dict[str, Any] = answer.json()
            return body

    def _bear(self, error: Exception, given_up_at: float) -> None:
        """Wait before the next attempt, or raise the error when there is to be none."""
        hopeless = isinstance(error, T2MError) and error.status not in _RETRIED
        if hopeless or time.monotonic() >= given_up_at:
            raise error
        pause_s = _PAUSE_S
        if isinstance(error, T2MError) and error.status == 429:
            pause_s = max(pause_s, float(error.details.get("retry_after_seconds", 0)))
        time.sleep(min(pause_s, max(0.0, given_up_at - time.monotonic())))


def _raise_for(answer: httpx.Response) -> None:
    if answer.status_code < 400:
        return
    answer.read()
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError):
        error = {"error_code": "UNKNOWN", "message": answer.text[:200], "details": {}}
    raise T2MError(answer.status_code, error["error_code"], error["message"], error["details"])


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """Server-Sent Events as the gateway writes them; comments and fields without data are passed over."""
    seq, kind, data = 0, "", ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            seq = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            data = value
        elif not line and data:
            yield Event(seq, kind, json.loads(data))
            kind, data = "", ""
