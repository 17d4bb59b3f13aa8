"""The command against a scripted server: httpx's MockTransport in place of the network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.client.commands.app import App, run
from gateway.client.commands.root import root

JOB_ID = "01890000-0000-7000-8000-00000000abcd"
OTHER_ID = "01890000-0000-7000-8000-00000000ef01"
Handler = Callable[[httpx.Request], httpx.Response]


def a_job(job_id: str = JOB_ID, **changes: Any) -> dict[str, Any]:
    """As the server writes it, as far as the command looks."""
    return {
        "job_id": job_id,
        "status": "queued",
        "progress": 0,
        "topic": "Jets",
        "quality": "low",
        "priority": "default",
        "batch_id": "",
        "quality_levels": ["480p"],
        "credit_cost": 1,
        "max_retries": 3,
        "pinned": False,
        "created_at": "2026-11-21T20:40:00Z",
        **changes,
    }


def sse(*events: tuple[int, str, dict[str, Any]]) -> httpx.Response:
    """A stream of events, whole."""
    text = ": heartbeat\n\n" + "".join(
        f"id: {seq}\nevent: {kind}\ndata: {json.dumps({'seq': seq, kind: body})}\n\n" for seq, kind, body in events
    )
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=text)


def refusal(status: int, reason: str = "NOT_FOUND", message: str = "no", **details: Any) -> httpx.Response:
    """An error body (O6)."""
    body = {"message": message, "error_code": reason, "details": {"reason": reason, **details}, "request_id": "r-1"}
    return httpx.Response(status, json={"error": body})


@dataclass
class Said:
    """What a command line came to."""

    code: int
    out: str
    err: str


@dataclass
class Terminal:
    """Runs command lines; `server` answers by `METHOD /path`."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    server: dict[str, Handler | httpx.Response] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Said:
        """With no patience, as nothing here comes back."""
        app = App(transport=httpx.MockTransport(self._answer), patience_s=0)
        code = run(root, list(arguments), app)
        said = self.capsys.readouterr()
        return Said(int(code), said.out, said.err)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.server.get(f"{request.method} {request.url.path}", refusal(404))
        return reply(request) if callable(reply) else reply

    def body(self, at: int = -1) -> Any:
        """Of a request."""
        return json.loads(self.requests[at].content)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Of somebody with an API key in the environment; no TTY."""
    monkeypatch.setenv("T2M_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("T2M_URL", "https://t2m.example")
    monkeypatch.setenv("T2M_API_KEY", "t2m_1_secret")
    monkeypatch.delenv("T2M_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path, capsys)
