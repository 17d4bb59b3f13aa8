"""The demo against a scripted gateway on real HTTP: it resumes a cut stream, and says what went wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from deploy.local.demo import make_video
from deploy.local.errors import StackError
from deploy.local.folder import DataFolder

JOB = "0190f3a0-0000-7000-8000-000000000001"
VIDEO = b"\x00\x00\x00\x18ftypisom" + bytes(1000)


def event(seq: int, kind: str, content: dict[str, Any]) -> bytes:
    data = json.dumps({"seq": seq, "job_id": JOB, kind: content})
    return f"id: {seq}\nevent: {kind}\ndata: {data}\n\n".encode()


class Gateway(BaseHTTPRequestHandler):
    """Answers as the gateway does; the stream is cut after its second event."""

    last: ClassVar[dict[str, Any]] = {}
    seen: ClassVar[list[str]] = []
    submitted: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.submitted.update(json.loads(body), key=self.headers["Idempotency-Key"], api=self.headers["X-API-Key"])
        self.answer(201, json.dumps({"job_id": JOB, "status": "queued"}).encode())

    def do_GET(self) -> None:
        if self.path.endswith("/events"):
            position = self.headers.get("Last-Event-ID", "")
            self.seen.append(position)
            queued, rendering = {"status": "queued", "progress": 0}, {"status": "processing", "progress": 40}
            first = event(1, "snapshot", queued) + event(2, "status", rendering) + b"id: 3\nevent: sta"
            self.answer(200, first if not position else event(3, "status", self.last), "text/event-stream")
        elif self.path.endswith("/download"):
            self.answer(200, VIDEO, "video/mp4", {"Content-Disposition": 'attachment; filename="pythagoras.mp4"'})
        else:
            figures = {
                "duration_seconds": 42.5,
                "width": 1280,
                "height": 720,
                "frame_rate": 30,
                "chapters": [{}] * 5,
            }
            self.answer(200, json.dumps(figures).encode())

    def answer(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Quiet."""


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    Gateway.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    with httpx.Client(base_url=url, headers={"X-API-Key": "t2m_demo"}, trust_env=False) as http:
        yield http
    server.shutdown()
    server.server_close()


def test_the_demo_ends_with_a_file_and_its_figures(
    client: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """V1, J7, V4: submitted once, followed over a cut connection, downloaded whole."""
    monkeypatch.setenv("T2M_DEMO_QUALITY", "low")
    monkeypatch.setattr(Gateway, "last", {"status": "completed", "progress": 100})
    path = make_video(client, DataFolder(tmp_path))
    assert path == tmp_path / "videos" / "pythagoras.mp4"
    assert path.read_bytes() == VIDEO
    assert list(path.parent.iterdir()) == [path]
    assert Gateway.seen == ["", "2"]
    assert Gateway.submitted["topic"] == "Pythagorean theorem"
    assert Gateway.submitted["quality"] == "low"
    assert Gateway.submitted["api"] == "t2m_demo"
    assert len(Gateway.submitted["key"]) == 36
    printed = capsys.readouterr().out
    assert str(path) in printed
    assert "42.5 s, 1280x720 at 30 frames/s, 5 scenes" in printed
    assert f"/api/v1/videos/jobs/{JOB}/download" in printed


def test_a_failed_job_is_told_with_the_logs_that_explain_it(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Gateway, "last", {"status": "failed", "error": {"code": "SCENE_RENDER_FAILED", "message": "no ink"}}
    )
    folder = DataFolder(tmp_path)
    folder.create()
    (folder.logs / "worker.log").write_text("the pen is dry\n", encoding="utf-8")
    with pytest.raises(StackError, match=r"the job failed: no ink(?s:.)*the pen is dry"):
        make_video(client, folder)


def test_a_refused_request_is_told_in_the_words_of_the_api(client: httpx.Client, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="POST /api/v1/videos/generate answered 501"):
        make_video(httpx.Client(base_url=client.base_url, transport=Refusing()), DataFolder(tmp_path))


class Refusing(httpx.BaseTransport):
    """Answers 501 to everything."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(501, json={"error": {"message": "not here"}}, request=request)
