"""The command `t2m` and the Python clients on the whole stack, as people and scripts use them (O8, V1-V9, J3-J8)."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.client import AsyncT2MClient, FileTokens, Policy, T2MClient
from tests.client_faces import Face
from tests.e2e.local_stack import CHECKOUT, SAMPLE, LocalStack
from tests.e2e.people import PASSWORD, register
from tests.fakes.cutting_proxy import cutting_proxy

LONG = ("Pythagorean theorem", "Prove it visually.", "--quality", "high")
"""An order that takes long enough to be stopped; the planner has an outline for it."""


@dataclass
class Shell:
    """Runs `t2m` as a process, in a folder and with a configuration of its own."""

    folder: Path
    url: str

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """In the background."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("T2M_")}
        return subprocess.Popen(
            [sys.executable, "-m", "gateway.client", *arguments],
            cwd=self.folder,
            env={
                **known,
                "PYTHONPATH": str(CHECKOUT),
                "T2M_CONFIG_DIR": str(self.folder / "config"),
                "T2M_URL": self.url,
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0, **environment: str) -> str:
        """Its stdout (its stderr for another exit code than 0), once it has ended with the code that is expected."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(stdin, timeout=120)
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        return out if code == 0 else err

    def json(self, *arguments: str, **more: Any) -> Any:
        """Its stdout as a document."""
        return json.loads(self(*arguments, "--json", **more))


@pytest.fixture(scope="module")
def t2m(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Of somebody who has registered, and logs in at the terminal."""
    shell = Shell(tmp_path_factory.mktemp("command"), stack.url)
    register(stack, "hopper@t2m.example")
    shell("login", "--email", "hopper@t2m.example", "--password-stdin", stdin=PASSWORD + "\n")
    return shell


def test_O8_from_login_to_the_video_and_its_remix(t2m: Shell) -> None:
    """O8, V1, V3, V4, V9: generate to a file, list, look, remix: only what changed is drawn; remove."""
    out = t2m("generate", SAMPLE["topic"], "-", "--quality", "low", "-o", "one.mp4", stdin=SAMPLE["context"])
    assert out == "one.mp4\n"
    assert (t2m.folder / "one.mp4").read_bytes()[4:8] == b"ftyp"
    job_id, status, progress, topic, *_ = t2m("jobs").splitlines()[0].split("\t")
    assert (status, progress, topic) == ("completed", "100", SAMPLE["topic"])
    shown = t2m.json("job", job_id[-8:])
    assert shown["job"]["job_id"] == job_id
    assert {scene["status"] for scene in shown["progress"]["scenes"]} == {"completed"}
    assert "the job is completed" in t2m("logs", "last")
    lines = [json.loads(line) for line in t2m("remix", "last", "--title", "Anew", "-w", "--json").splitlines()]
    assert [line["seq"] for line in lines[1:-1]] == list(range(lines[0]["seq"] + 1, lines[0]["seq"] + len(lines) - 1))
    end = lines[-1]["data"]
    assert (lines[-1]["event"], end["job"]["status"]) == ("end", "completed")
    assert (t2m.folder / end["file"]).exists()
    scenes = t2m.json("job", end["job"]["job_id"])["progress"]["scenes"]
    assert any(scene["cached"] for scene in scenes)
    assert t2m("rm", end["job"]["job_id"], "--yes").strip() == end["job"]["job_id"]


def test_O8_V9_a_plan_is_edited_and_rendered(t2m: Shell) -> None:
    """O8, V9: plan → YAML → edit → validate → render; a mistake is named by its field."""
    t2m("plan", SAMPLE["topic"], SAMPLE["context"], "-o", "story.yaml")
    path = t2m.folder / "story.yaml"
    path.write_text(path.read_text().replace("It is straight", "It is not round"))
    estimate = t2m.json("validate", "story.yaml", "--quality", "low")
    assert [scene["title"] for scene in estimate["scenes"]][1:3] == ["A line", "Its equation"]
    assert t2m("render", "story.yaml", "--quality", "low", "-o", "two.mp4") == "two.mp4\n"
    assert "It is not round" in t2m("storyboard", "last")
    path.write_text(path.read_text().replace("heading:", "haeding:", 1))
    complaint = t2m("render", "story.yaml", code=4)
    assert "storyboard.scenes[1].haeding: unknown field" in complaint


def test_O8_J3_J4_J7_interrupted_followed_and_cancelled(t2m: Shell) -> None:
    """O8, J3, J4, J7: Ctrl-C leaves the job running; logs are followed; a cancelled job ends the watch with 1."""
    job_id = t2m("generate", "-q", *LONG).strip()
    watching = t2m.start("watch", job_id, "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["event"] == "snapshot"
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=30)
    assert watching.returncode == 130
    following, watching = t2m.start("logs", "-f", job_id), t2m.start("watch", job_id, "-o", "never.mp4")
    assert following.stdout is not None
    assert following.stdout.readline()
    assert t2m("cancel", job_id) == job_id + "\n"
    assert "cancelled" in watching.communicate(timeout=30)[1]
    assert watching.returncode == 1
    assert "cancelled" in following.communicate(timeout=30)[0]
    assert following.returncode == 0
    assert not (t2m.folder / "never.mp4").exists()
    assert job_id in t2m("jobs", "-s", "cancelled", "--topic", "pythag")


def test_O8_exit_codes_of_a_real_server(t2m: Shell) -> None:
    """O8: 3, 5 and 6; a key of another scope is refused with 4."""
    assert "t2m login" in t2m("jobs", code=3, T2M_CONFIG_DIR=str(t2m.folder / "nobody"))
    t2m("job", "01890000-0000-7000-8000-00000000dead", code=5)
    assert "cannot reach" in t2m("jobs", "--url", "http://127.0.0.1:9", "--patience", "0", code=6)
    key = t2m("keys", "create", "reader", "--scope", "jobs:read", "--until", "1d").strip()
    assert "Error: " in t2m("generate", "a", "b", code=4, T2M_API_KEY=key)


def test_O8_V2_J8_batches_and_webhooks(t2m: Shell) -> None:
    """O8, V2, J8: of two orders one is refused by its field; an endpoint is made, changed and removed."""
    orders = [{"topic": SAMPLE["topic"], "context": SAMPLE["context"], "quality": "low"}, {"topic": "", "context": "x"}]
    (t2m.folder / "orders.json").write_text(json.dumps(orders))
    process = t2m.start("batch", "orders.json", "--watch")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert "refused\ttopic: " in out
    assert "1 completed, 1 refused" in err
    made = t2m.json("webhooks", "add", "https://example.com/t2m", "--event", "job_failed")["endpoint"]["endpoint_id"]
    assert t2m.json("webhooks", "update", made, "--disable")["disabled"] is True
    t2m("webhooks", "rm", made)


def test_O8_several_processes_renew_one_login(t2m: Shell) -> None:
    """O8: a refresh token works once, and using it twice would end the session: three commands at once get on with
    one new pair, and so does whoever comes later.
    """
    store = FileTokens(t2m.folder / "config" / "default.tokens.json")
    for at_once in (3, 1):
        before = store.load()
        assert before is not None
        store.save({**before, "expires_at": "2020-01-01T00:00:00Z"})
        processes = [t2m.start("whoami") for _ in range(at_once)]
        ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
        assert [end[2] for end in ends] == [0] * at_once, ends
        assert all("hopper@t2m.example" in end[0] for end in ends)
        after = store.load()
        assert after is not None
        assert after["refresh_token"] != before["refresh_token"]


@pytest.mark.parametrize("kind", [T2MClient, AsyncT2MClient], ids=["sync", "async"])
async def test_O8_a_large_file_survives_cuts(t2m: Shell, kind: Callable[..., Any], tmp_path: Path) -> None:
    """O8: up in parts and down again through a line that breaks; the bytes are the same, and the checksum is."""
    content = b"".join(b"line %d of a long text\n" % number for number in range(260_000))
    (tmp_path / "long.txt").write_bytes(content)
    tokens = FileTokens(t2m.folder / "config" / "default.tokens.json")

    async with cutting_proxy(int(t2m.url.rpartition(":")[2]), 200, 500, 700, 1_000_000, 2_000_000) as proxy:
        client = Face(kind(proxy.url, tokens=tokens, policy=Policy(patience_s=20, base_s=0.05)))
        file = await client.call("upload", tmp_path / "long.txt")
        path = await client.call("download_file", file["file_id"], tmp_path / "back.txt")
        await client.call("delete_file", file["file_id"])
        await client.close()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert path.read_bytes() == content
    assert proxy.connections >= 5
