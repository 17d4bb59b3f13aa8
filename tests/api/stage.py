"""Who asks, and what there is to ask about, when schemathesis reads the document aloud to a running stack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.e2e.local_stack import CHECKOUT, SAMPLE, TERMINAL, LocalStack, wait_for
from tests.security.belongings import UNREACHABLE, furnish

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = Path(__file__).with_name("schemathesis.toml")
PROGRAM = str(Path(sys.executable).with_name("schemathesis"))
ADMIN_PATHS, OTHER_PATHS = "^/api/v1/admin/", "^(?!/api/v1/admin/)"
PHASES = ("examples", "coverage", "fuzzing", "stateful")
"""What the document shows; every rule broken once; whatever the rules allow; calls that follow from one another."""


@dataclass(frozen=True)
class Stage:
    """A stack with something of every kind on it."""

    stack: LocalStack
    folder: Path
    user_key: str
    user_key_id: str
    admin_key: str
    subject_id: str
    """A user whose account may change."""

    def ask(self, who: str, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """`schemathesis run` over the stack's document: `user` asks for all but what is the `admin`'s."""
        key, paths = {
            "user": (self.user_key, f"--exclude-path-regex={ADMIN_PATHS}"),
            "admin": (self.admin_key, f"--exclude-path-regex={OTHER_PATHS}"),
        }[who]
        if who == "admin":
            with self.stack.client(self.user_key) as user:
                cancel_all(user)  # For an admin may let jobs start.
        settings = ["--config-file", str(self.folder / SETTINGS.name), "--no-color"]
        return subprocess.run(
            [PROGRAM, *settings, "run", f"{self.stack.url}/openapi.json", paths, *arguments],
            cwd=CHECKOUT,
            env={
                **os.environ,
                "T2M_API_KEY": key,
                "T2M_OWN_KEY_ID": self.user_key_id,
                "T2M_SUBJECT_ID": self.subject_id,
            },
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@contextmanager
def set_up(stack: LocalStack, folder: Path, name: str, *, spare: int) -> Iterator[Stage]:
    """A user and an admin of that name, with belongings; `spare` more of those that calls use up.

    Until the end no job starts: what schemathesis orders waits, and is never rendered.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(SETTINGS, folder)
    keys = stack.api_key(f"{name}@t2m.example"), stack.api_key(f"root.{name}@t2m.example", "admin")
    with stack.client(keys[0]) as user, stack.client(keys[1]) as admin:
        own = user.get("/api/v1/api-keys").json()["api_keys"][0]["api_key_id"]
        ids = _furnished(stack, user, f"session.{name}@t2m.example")
        stage = Stage(stack, folder, keys[0], own, keys[1], ids["user_id"][0])
        _drain(admin)
        try:
            for _ in range(spare):
                _add_spare(user, ids)
            for kind, known in ids.items():
                (folder / f"{kind}.txt").write_text("".join(f'"{one}"\n' for one in known), encoding="utf-8")
            yield stage
        finally:
            cancel_all(user)
            admin.post("/api/v1/admin/queue/resume", json={}).raise_for_status()


def _furnished(stack: LocalStack, user: httpx.Client, address: str) -> dict[str, list[str]]:
    made = furnish(stack, user, address)
    ids = {kind: [one] for kind, one in made.ids.items()}
    batch = made.ids["batch_id"]
    wait_for(lambda: user.get(f"/api/v1/videos/batch/{batch}").json()["status"] in TERMINAL, "the batch", 120)
    return {**ids, "finished_job": ids["job_id"][:], "finished_batch": ids["batch_id"][:]}


def _add_spare(user: httpx.Client, ids: dict[str, list[str]]) -> None:
    """One more of what can be deleted, cancelled or completed only once."""
    number = len(ids["file_id"])
    file = user.post(f"/api/v1/files?filename={number}.txt", content=f"Number {number}.\n".encode()).json()
    ids["file_id"].append(file["file_id"])
    ids["job_id"].append(user.post("/api/v1/videos/generate", json=SAMPLE).json()["job_id"])
    batch = user.post("/api/v1/videos/batch", json={"requests": [SAMPLE]}).json()
    ids["batch_id"].append(batch["batch"]["batch_id"])
    endpoint = user.post("/api/v1/webhooks", json={"url": f"{UNREACHABLE}/{number}"}).json()["endpoint"]
    ids["endpoint_id"].append(endpoint["endpoint_id"])
    upload = {"filename": "later.txt", "content_type": "text/plain", "size_bytes": 10}
    ids["upload_id"].append(user.post("/api/v1/files/uploads", json=upload).json()["upload_id"])
    ids["api_key_id"].append(
        user.post("/api/v1/api-keys", json={"name": f"spare {number}"}).json()["api_key"]["api_key_id"]
    )


def _drain(admin: httpx.Client) -> None:
    drained = admin.post("/api/v1/admin/queue/drain", json={})
    assert drained.json()["drained"], drained.text


def cancel_all(caller: httpx.Client) -> None:
    """So that nothing is rendered afterwards."""
    while jobs := caller.get("/api/v1/jobs", params={"status": "queued", "page_size": 100}).json()["jobs"]:
        for job in jobs:
            caller.post(f"/api/v1/jobs/{job['job_id']}/cancel", json={}).raise_for_status()


def options(*, examples: int, phases: Sequence[str]) -> list[str]:
    """How much is asked."""
    return ["--max-examples", str(examples), "--phases", ",".join(phases)]
