"""The command `t2m` line by line: what it asks, says and ends with (O8)."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.shell_completion import ShellComplete

from gateway.client.commands.app import App
from gateway.client.commands.root import root
from tests.unit.client.conftest import JOB_ID, OTHER_ID, Terminal, a_job, refusal, sse

GENERATE = "POST /api/v1/videos/generate"
EVENTS = f"GET /api/v1/jobs/{JOB_ID}/events"
JOB = f"GET /api/v1/jobs/{JOB_ID}"
DONE = (2, "status", {"status": "completed", "current_stage": "unspecified", "progress": 100, "attempt": 1})


@pytest.mark.parametrize(
    ("answer", "code", "hint"),
    [
        (refusal(401, "CREDENTIAL_INVALID"), 3, "t2m login"),
        (refusal(403, "PERMISSION_DENIED"), 4, "t2m whoami"),
        (refusal(404), 5, ""),
        (refusal(409, "STATE_CONFLICT"), 4, ""),
        (refusal(422, "VALIDATION_FAILED"), 4, ""),
        (refusal(429, "RATE_LIMITED", retry_after_seconds=7), 4, "in 7 s"),
        (refusal(429, "QUOTA_EXHAUSTED"), 4, "t2m credits"),
        (refusal(500, "INTERNAL"), 6, "Request r-1"),
        (refusal(503, "UNAVAILABLE"), 6, "t2m health"),
        (httpx.Response(200, text="<html>"), 6, "is this the URL of t2m?"),
        (httpx.Response(301, headers={"Location": "https://new.example/"}), 6, "https://new.example/"),
    ],
)
def test_O8_exit_codes(terminal: Terminal, answer: httpx.Response, code: int, hint: str) -> None:
    """O8: each kind of refusal has its code, and says what to do; stdout stays empty."""
    terminal.server[JOB] = answer
    said = terminal("job", JOB_ID)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("Error: ")
    assert hint in said.err


def test_O8_a_server_that_cannot_be_reached(terminal: Terminal) -> None:
    """O8: exit code 6, which server, and what may be the matter."""

    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    terminal.server["GET /api/v1/jobs"] = refused
    said = terminal("jobs")
    assert said.code == 6
    assert "cannot reach https://t2m.example: Connection refused" in said.err
    assert "T2M_URL" in said.err


def test_O8_fields_at_fault_one_a_line(terminal: Terminal) -> None:
    """O8, O6: `field: message` for people, and all of it as JSON for scripts."""
    violations = [{"field": "topic", "message": "must be set"}, {"field": "max_retries", "message": "at most 10"}]
    terminal.server[GENERATE] = refusal(422, "VALIDATION_FAILED", violations=violations)
    said = terminal("generate", "", "context")
    assert said.err.splitlines()[1:] == ["  topic: must be set", "  max_retries: at most 10"]
    error = json.loads(terminal("--json", "generate", "", "context").err)["error"]
    assert (error["exit_code"], error["violations"], error["request_id"]) == (4, violations, "r-1")


@pytest.mark.parametrize(
    "arguments",
    [
        ("jbos",),
        ("generate",),
        ("generate", "topic"),
        ("generate", "topic", "context", "--file", "x"),
        ("generate", "topic", "context", "--quality", "huge"),
        ("generate", "topic", "context", "--set", "theme"),
        ("generate", "topic", "context", "-o", "x", "--no-download"),
        ("render", "missing.yaml"),
        ("jobs", "--since", "yesterday"),
        ("job", "abc"),
        ("jobs", "--url", "ftp://x"),
        ("jobs", "--profile", "nobody"),
        ("jobs", "--profile", "../x"),
    ],
)
def test_O8_wrong_use_is_2(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    """O8: and nothing is asked of the server."""
    said = terminal(*arguments)
    assert (said.code, said.out, terminal.requests) == (2, "", [])
    assert "Error: " in said.err


def test_O8_generate_says_what_was_said(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8, V1: options become fields, what was not said is left out; a script gets the id and nothing else."""
    terminal.server[GENERATE] = httpx.Response(201, json=a_job())
    (terminal.folder / "notes.md").write_text("say this")
    said = terminal(
        *("generate", "Jets", "--file", "notes.md", "--quality", "low", "--levels", "720p,480p", "--narration"),
        *(
            "--set",
            "theme=light",
            "--set",
            "pace=2",
            "--retries",
            "0",
            "--no-thumbnails",
            "--idempotency-key",
            "k",
            "-q",
        ),
    )
    assert (said.code, said.out, said.err) == (0, JOB_ID + "\n", "")
    assert terminal.body() == {
        "topic": "Jets",
        "context": "say this",
        "quality": "low",
        "quality_levels": ["720p", "480p"],
        "narration": True,
        "configuration": {"theme": "light", "pace": 2},
        "max_retries": 0,
        "thumbnails": False,
    }
    assert terminal.requests[-1].headers["Idempotency-Key"] == "k"
    assert json.loads(terminal("generate", "Jets", "x", "--json").out)["job_id"] == JOB_ID


def test_O8_watching_ends_with_the_file(terminal: Terminal) -> None:
    """O8, V4: --watch follows to the end and downloads under the server's name, beside what is there already."""
    terminal.server |= {
        GENERATE: httpx.Response(201, json=a_job()),
        EVENTS: sse((1, "snapshot", {"status": "queued", "queue_position": 2, "scenes": []}), DONE),
        f"GET /api/v1/videos/jobs/{JOB_ID}/metadata": httpx.Response(
            200, json={"filename": "jets.mp4", "checksum_sha256": "", "renditions": []}
        ),
        f"GET /api/v1/videos/jobs/{JOB_ID}/download": httpx.Response(200, content=b"bytes"),
        JOB: httpx.Response(200, json=a_job(status="completed")),
    }
    said = terminal("generate", "Jets", "x", "--watch")
    assert (said.code, said.out) == (0, "jets.mp4\n")
    assert "queued, 2 ahead" in said.err
    assert "100 %  completed" in said.err
    assert "\x1b" not in said.err
    lines = [json.loads(line) for line in terminal("generate", "Jets", "x", "--watch", "--json").out.splitlines()]
    assert [line["event"] for line in lines] == ["snapshot", "status", "end"]
    assert lines[-1]["data"]["file"] == "jets-2.mp4"
    assert {path.name for path in terminal.folder.glob("*.mp4")} == {"jets.mp4", "jets-2.mp4"}


def test_O8_a_job_that_fails_is_1_and_says_why(terminal: Terminal) -> None:
    """O8: stage, scene and the last lines of the log; nothing is downloaded."""
    error = {"code": "X", "message": "bad formula", "stage": "rendering", "scene_index": 2, "log_excerpt": ["line one"]}
    failed = (2, "status", {"status": "failed", "progress": 40, "attempt": 1, "error": error})
    terminal.server |= {JOB: httpx.Response(200, json=a_job()), EVENTS: sse(failed)}
    said = terminal("watch", JOB_ID, "-o", "x.mp4")
    assert (said.code, said.out) == (1, "")
    assert "the job failed: bad formula (rendering, scene 2)" in said.err
    assert "  line one" in said.err
    assert "t2m logs 0000abcd" in said.err
    terminal.server[EVENTS] = sse((2, "status", {"status": "cancelled", "progress": 40, "attempt": 1}))
    assert terminal("watch", JOB_ID).code == 1


def test_O8_ctrl_c_leaves_the_job_running(terminal: Terminal) -> None:
    """O8: 130, how to go on and how to stop; no request that would cancel it."""

    def interrupted(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    terminal.server |= {JOB: httpx.Response(200, json=a_job()), EVENTS: interrupted}
    said = terminal("watch", JOB_ID)
    assert said.code == 130
    assert "t2m watch 0000abcd" in said.err
    assert "t2m cancel 0000abcd" in said.err
    assert {request.method for request in terminal.requests} == {"GET"}


def test_O8_ids_may_be_short(terminal: Terminal) -> None:
    """O8: an end, a beginning or `last` of the recent jobs; what is ambiguous or unknown is not guessed."""
    listed = {"jobs": [a_job(), a_job(OTHER_ID)], "next_page_token": ""}
    terminal.server |= {
        "GET /api/v1/jobs": httpx.Response(200, json=listed),
        f"POST /api/v1/jobs/{JOB_ID}/cancel": httpx.Response(200, json=a_job(status="cancelled")),
    }
    for text in ("abcd", "0000ABCD", "last", JOB_ID):
        assert terminal("cancel", text).out == JOB_ID + "\n"
    ambiguous = terminal("cancel", "01890000")
    assert ambiguous.code == 2
    assert OTHER_ID in ambiguous.err
    assert terminal("cancel", "ffff").code == 5
    both = terminal("cancel", "ffff", "abcd")
    assert (both.code, both.out) == (5, JOB_ID + "\n")


def test_O8_lists_for_pipes_and_scripts(terminal: Terminal) -> None:
    """O8, J2: filters and page; tab-separated with whole ids, or the page as JSON; control characters are shown."""
    page = {"jobs": [a_job(topic="two\x1b[2J\nlines\t")], "next_page_token": "next"}
    terminal.server["GET /api/v1/jobs"] = httpx.Response(200, json=page)
    said = terminal(
        "jobs", "-s", "failed", "-s", "queued", "--topic", "a&b", "-n", "5", "--since", "2026-11-21T20:00+01:00"
    )
    rows = list(csv.reader(said.out.splitlines(), delimiter="\t"))
    assert rows == [[JOB_ID, "queued", "0", "two\ufffd[2J lines", "low", "2026-11-21T20:40:00Z"]]
    assert "--page-token next" in said.err
    asked = terminal.requests[-1].url.params
    assert asked.get_list("status") == ["failed", "queued"]
    assert (asked["topic"], asked["page_size"], asked["created_after"]) == ("a&b", "5", "2026-11-21T19:00:00Z")
    assert json.loads(terminal("jobs", "--json").out) == page


def test_O8_J4_logs(terminal: Terminal) -> None:
    """O8, J4: pages of lines; followed ones are filtered here, and end with the last."""

    def entry(seq: int, **changes: Any) -> dict[str, Any]:
        line = {"seq": seq, "occurred_at": "2026-11-21T20:40:00Z", "severity": "info", "stage": "rendering"}
        return {**line, "attempt": 1, "message": f"line {seq}", "last": False, **changes}

    entries = [entry(1), entry(2, severity="error", scene_index=0)]
    terminal.server[f"GET /api/v1/jobs/{JOB_ID}/logs"] = httpx.Response(
        200, json={"entries": entries, "next_page_token": ""}
    )
    said = terminal("logs", JOB_ID, "--scene", "0")
    assert said.out.splitlines()[1].split()[1:] == ["error", "rendering", "0", "line", "2"]
    assert terminal.requests[-1].url.params["scene_index"] == "0"
    terminal.server[f"GET /api/v1/jobs/{JOB_ID}/logs/stream"] = sse(
        *((line["seq"], "entry", line) for line in [*entries, entry(3, last=True)])
    )
    lines = terminal("logs", "-f", JOB_ID, "--severity", "warning", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [2]


def test_O8_a_key_ends_in_the_future(terminal: Terminal) -> None:
    """O8: `--until 30d` is not the time 30 days ago, as of `--since`; without it there is no end."""
    terminal.server["POST /api/v1/api-keys"] = httpx.Response(201, json={"api_key": {}, "secret": "t2m_2_new"})
    assert terminal("keys", "create", "nightly", "--scope", "jobs:read", "--until", "30d").out == "t2m_2_new\n"
    assert datetime.fromisoformat(terminal.body()["expires_at"]) > datetime.now(UTC) + timedelta(days=29)
    terminal("keys", "create", "nightly")
    assert terminal.body() == {"name": "nightly", "scopes": []}


def test_O8_removing_asks_first(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: without --yes and without somebody to ask, nothing is removed."""
    monkeypatch.setattr("sys.stdin", (terminal.folder / "empty").open("w+"))
    assert terminal("rm", JOB_ID).code == 130
    assert terminal.requests == []
    terminal.server[f"DELETE /api/v1/jobs/{JOB_ID}"] = httpx.Response(204)
    assert terminal("rm", JOB_ID, "--yes").out == JOB_ID + "\n"


def test_O8_V2_a_batch_of_csv(terminal: Terminal) -> None:
    """O8, V2: rows become orders; a refused one is named with its field, and the exit code says so."""
    (terminal.folder / "orders.csv").write_text(
        'topic,context,quality,narration,max_retries\nJets,"a, b",low,yes,2\n,x,,,\n', encoding="utf-8-sig"
    )
    refused = {"error_code": "V", "message": "no", "violations": [{"field": "topic", "description": "must be set"}]}
    items = [{"index": 0, "job": a_job()}, {"index": 1, "refusal": refused}]
    batch = {"batch_id": OTHER_ID, "refused_count": 1}
    terminal.server["POST /api/v1/videos/batch"] = httpx.Response(201, json={"batch": batch, "items": items})
    said = terminal("batch", "orders.csv")
    assert said.code == 4
    assert said.out.splitlines() == [f"1\tJets\t{JOB_ID}\tqueued", "2\t\trefused\ttopic: must be set"]
    assert terminal.body()["requests"] == [
        {"topic": "Jets", "context": "a, b", "quality": "low", "narration": True, "max_retries": 2},
        {"context": "x"},
    ]


def test_O8_O1_health(terminal: Terminal) -> None:
    """O8, O1: each service, also when one is away; then the exit code is 6. No login is needed."""
    parts = {"job": {"status": "serving", "latency_ms": 1.5}, "auth": {"status": "unreachable", "latency_ms": 9}}
    terminal.server["GET /health/ready"] = httpx.Response(200, json={"status": "ready", "dependencies": parts})
    assert terminal("health").code == 0
    terminal.server["GET /health/ready"] = refusal(503, "UNAVAILABLE", "not serving: auth", dependencies=parts)
    said = terminal("health")
    assert said.code == 6
    assert "auth\tunreachable\t9" in said.out


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_O8_completion(terminal: Terminal, shell: str) -> None:
    """O8: a script for the shell; jobs are completed with what they are about, commands by their names."""
    assert "_T2M_COMPLETE" in terminal("completion", shell).out
    terminal.server["GET /api/v1/jobs"] = httpx.Response(200, json={"jobs": [a_job()], "next_page_token": ""})
    app = App(url="https://t2m.example", transport=httpx.MockTransport(terminal._answer))
    complete = ShellComplete(root, {"obj": app}, "t2m", "_T2M_COMPLETE").get_completions
    assert [(item.value, item.help) for item in complete(["watch"], "0189")] == [(JOB_ID, "queued Jets")]
    assert "generate" in [item.value for item in complete([], "gen")]
    terminal.server.clear()
    assert complete(["watch"], "0189") == []


@pytest.mark.parametrize(("metered", "shown"), [(True, "12"), (False, "not limited on this plan")])
def test_O8_A6_credits_that_nobody_counts_are_not_a_number(terminal: Terminal, metered: bool, shown: str) -> None:
    """O8, A6: on a plan without limit what is available falls below zero, which would read as a debt."""
    balance = {"plan": "studio", "available": 12 if metered else -40, "reserved": 3, "spent": 37, "metered": metered}
    terminal.server["GET /api/v1/users/credits"] = httpx.Response(200, json=balance)
    terminal.server["GET /api/v1/subscriptions/current"] = httpx.Response(200, json={})
    lines = dict(line.split("\t") for line in terminal("credits").out.splitlines())
    assert (lines["Available"], lines["Reserved"], lines["Spent"]) == (shown, "3", "37")
    assert json.loads(terminal("credits", "--json").out)["credits"] == balance


def test_O8_every_command_helps(terminal: Terminal) -> None:
    """O8: each command and group has a help text and takes --json."""

    def commands(group: Any, *path: str) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for name, command in group.commands.items():
            found += commands(command, *path, name) if hasattr(command, "commands") else [(*path, name)]
        return found

    for path in commands(root):
        text = terminal(*path, "--help").out
        assert "--json" in text
        assert len(text.splitlines()) > 4
    assert "Exit codes" in terminal("--help").out
    assert Path(terminal.folder / "config").exists() is False, "help leaves nothing behind"
