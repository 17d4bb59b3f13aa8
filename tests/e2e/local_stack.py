"""The whole embedded stack in a folder of its own, for tests: driven over REST, killed in parts."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.outbox import code_in

CHECKOUT = Path(__file__).resolve().parents[2]
SAMPLE = {
    "topic": "A short lesson",
    "context": "# A line\n- It is straight\n- It has no end\n\n# Its equation\n$$ y = 2 x + 1 $$\n",
    "quality": "low",
}
"""A small order that renders in seconds."""
TERMINAL = {"completed", "failed", "cancelled"}


class LocalStack:
    """`python -m deploy.local up` in `folder`; every command is the one a user would type."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self._known_settings: dict[str, str] = {}
        self._environment = {
            **os.environ,
            "T2M_DATA_DIR": str(folder),
            # Two stacks that start in the same second must not both find the usual port free.
            "T2M_GATEWAY_PORT": "0",
            # Tests order more videos in a minute than a person would.
            "T2M_RATE_LIMITS": "off",
            # And all come from one address, with more wrong passwords.
            "T2M_LOGIN_CLIENT_FAILURES": "100000",
            **environment,
        }

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `python -m deploy.local …`; with `check`, its failure fails the test with what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local", *arguments],
            cwd=CHECKOUT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def up(self) -> None:
        """Start it and return when it is ready."""
        self.command("up", "--detach")

    def down(self) -> None:
        """Stop it cleanly."""
        self.command("down")

    def state(self) -> dict[str, Any]:
        """The state file: url, services, processes."""
        state: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return state

    @property
    def url(self) -> str:
        """Of the gateway."""
        return str(self.state()["url"])

    def address(self, service: str) -> str:
        """host:port of a service's gRPC server."""
        return str(self.state()["services"][service])

    def database(self, service: str) -> str:
        """The administrator's URL of a service's own database."""
        server, _, _ = str(self.state()["connections"]["database"]).rpartition("/")
        return f"{server}/t2m_{service}"

    def pid(self, process: str) -> int:
        """Of a running process of the stack."""
        return next(int(entry["pid"]) for entry in self.state()["processes"] if entry["name"] == process)

    def kill(self, process: str) -> None:
        """SIGKILL to one process; its supervisor starts it again."""
        psutil.Process(self.pid(process)).kill()

    def restart(self, process: str) -> None:
        """SIGTERM, start again, wait until ready."""
        self.command("restart", process)

    def api_key(self, email: str, role: str = "user") -> str:
        """A key of a user with that address and role, as `python -m services.auth create-key` makes it."""
        from services.auth.bootstrap import build_operator  # seconds, which unit tests need not wait for
        from services.auth.domain.user import Role
        from services.auth.settings import AuthSettings

        async def made() -> str:
            operator, engine = build_operator(AuthSettings(**self._auth_settings()))
            try:
                _, text = await operator.create_key(email, Role(role), "made for a test", ())
            finally:
                await engine.dispose()
            return text

        # In a thread, for tests that have an event loop of their own.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, made()).result(timeout=60)

    def _auth_settings(self) -> dict[str, Any]:
        """What an operator's command of `auth` reads, asked for once."""
        if not self._known_settings:
            environment = self.environment("auth")
            wanted = ("database_url", "api_key_pepper", "keys_dir", "environment")
            self._known_settings = {name: environment[f"T2M_{name.upper()}"] for name in wanted}
        return self._known_settings

    def mailed_code(self, recipient: str, subject: str, *, deadline_s: float = 20) -> str:
        """The token in a mail that the outbox has, or gets within the deadline."""
        what = f"a mail `{subject}` to {recipient}"
        return str(wait_for(lambda: code_in(self.folder / "outbox", recipient, subject), what, deadline_s))

    def environment(self, process: str) -> dict[str, str]:
        """What a process of the stack runs with."""
        environment = dict(self._environment)
        for line in self.command("env", process).stdout.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            environment[name] = value if not value.startswith("'") else value[1:-1].replace("'\"'\"'", "'")
        return environment

    @contextmanager
    def another_gateway(self, **changes: str) -> Iterator[str]:
        """One more gateway of the stack with other settings; its URL."""
        environment = {**self.environment("gateway"), "T2M_GATEWAY_PORT": "0", **changes}
        command = [sys.executable, "-m", "gateway"]
        with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                lines = (json.loads(line) for line in process.stdout)
                yield "http://" + next(line["address"] for line in lines if line["event"] == "gateway.listening")
            finally:
                process.terminate()

    def client(self, api_key: str | None = None) -> httpx.Client:
        """An HTTP client of the gateway."""
        headers = {"X-API-Key": api_key} if api_key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@dataclass
class Watch:
    """What one client saw of a job over Server-Sent Events, across every reconnect."""

    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    reconnects: int = 0

    @property
    def seqs(self) -> list[int]:
        """In the order of arrival."""
        return [seq for seq, _, _ in self.events]

    @property
    def ended(self) -> str | None:
        """The terminal status, once seen."""
        status = self.events[-1][2].get("status") if self.events else None
        named = status.get("status") if isinstance(status, dict) else None
        return named if named in TERMINAL else None


def sse_events(lines: Iterator[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Parse Server-Sent Events (HTML Living Standard §9.2) into (id, event, data)."""
    identity, name, data = 0, "message", ""
    for line in lines:
        if line == "" and data:
            yield identity, name, json.loads(data)
            identity, name, data = 0, "message", ""
        elif line.startswith("id:"):
            identity = int(line[3:])
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:]


def watch(
    connect: Callable[[], httpx.Client],
    job_id: str,
    *,
    after: int | None = 0,
    deadline_s: float = 240,
    each: Callable[[Watch], None] = lambda _: None,
) -> Watch:
    """Follow a job to its end like an EventSource: reconnect with Last-Event-ID whenever the stream breaks.

    `each` is called after every event. Fails the test at the deadline.
    """
    seen, last, deadline = Watch(), after, time.monotonic() + deadline_s
    while seen.ended is None:
        assert time.monotonic() < deadline, f"no end of {job_id} within {deadline_s} s: {seen.events[-3:]}"
        headers = {"Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        try:
            with (
                connect() as client,
                client.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as answer,
            ):
                if answer.status_code != 200:
                    answer.read()
                    assert answer.status_code in {502, 503, 504}, answer.text
                    continue
                for event in sse_events(answer.iter_lines()):
                    seen.events.append(event)
                    last = event[0]
                    each(seen)
        except httpx.TransportError:
            pass
        seen.reconnects += 1
    return seen


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = 60) -> Any:
    """The first true value of `condition`, polled; fails the test at the deadline."""
    deadline, pause = time.monotonic() + deadline_s, 0.02
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        _yield_cpu(pause)
        pause = min(pause * 1.5, 0.5)
    return value


def _yield_cpu(seconds: float) -> None:
    """Pause between two looks at a condition."""
    import threading

    threading.Event().wait(seconds)
