"""Logging in with the command: what is kept, for whom, and what is never shown or sent elsewhere (O8)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.client.commands.app import App
from gateway.client.commands.profiles import Profile
from tests.unit.client.conftest import Terminal, refusal

LOGIN = "POST /api/v1/users/login"
PROFILE = "GET /api/v1/users/profile"
TOKENS = {
    "access_token": "access-1",
    "refresh_token": "refresh-1",
    "token_type": "Bearer",
    "expires_at": "2999-01-01T00:00:00Z",
    "refresh_expires_at": "2999-01-01T00:00:00Z",
}
ADA = {"user_id": "u", "email": "ada@example.com", "display_name": "Ada", "role": "user"}


@pytest.fixture
def nobody(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Without a key in the environment."""
    monkeypatch.delenv("T2M_API_KEY")
    terminal.server |= {
        LOGIN: httpx.Response(200, json=TOKENS),
        PROFILE: httpx.Response(200, json=ADA),
        "GET /api/v1/users/credits": httpx.Response(200, json={"plan": "free", "available": 3}),
        "GET /api/v1/jobs": httpx.Response(200, json={"jobs": [], "next_page_token": ""}),
    }
    return terminal


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """On stdin."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def log_in(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, *more: str) -> Any:
    """With a password from stdin."""
    typed(monkeypatch, "correct horse\n")
    return terminal("login", "--email", "ada@example.com", "--password-stdin", *more)


def test_O8_a_login_is_kept_for_its_owner_alone(nobody: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: tokens in files of mode 0600, used from then on; the password is nowhere."""
    said = log_in(nobody, monkeypatch)
    assert said.code == 0
    assert "Logged in to https://t2m.example as ada@example.com." in said.err
    assert nobody.body(0) == {"email": "ada@example.com", "password": "correct horse"}
    kept = [path for path in (nobody.folder / "config").iterdir() if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert "correct horse" not in "".join(path.read_text() for path in kept)
    assert nobody("jobs").code == 0
    assert nobody.requests[-1].headers["Authorization"] == "Bearer access-1"
    who = nobody("whoami")
    assert "User\tada@example.com" in who.out
    assert "access-1" not in said.out + said.err + who.out + who.err


def test_O8_a_wrong_password_is_3_and_changes_nothing(nobody: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: the login there was goes on."""
    log_in(nobody, monkeypatch)
    nobody.server[LOGIN] = refusal(401, "CREDENTIAL_INVALID")
    said = log_in(nobody, monkeypatch)
    assert said.code == 3
    assert "do not fit" in said.err
    assert nobody("jobs").code == 0


def test_O8_an_api_key_is_tried_before_it_is_kept(nobody: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: from stdin, so that no history has it; one that does not work is not kept; one without the scope is."""
    nobody.server[PROFILE] = refusal(401, "CREDENTIAL_INVALID")
    typed(monkeypatch, "t2m_1_typo\n")
    assert nobody("login", "--api-key", "-").code == 3
    assert not (nobody.folder / "config").exists()
    nobody.server[PROFILE] = refusal(403, "PERMISSION_DENIED")
    typed(monkeypatch, "t2m_1_secret\n")
    said = nobody("login", "--api-key", "-")
    assert said.code == 0
    assert "t2m_1_secret" not in said.out + said.err
    nobody("jobs")
    assert nobody.requests[-1].headers["X-API-Key"] == "t2m_1_secret"


def test_O8_a_credential_goes_to_its_own_server_only(nobody: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: with another --url, or T2M_URL, the kept tokens stay here; with the profile of that server they are used."""
    log_in(nobody, monkeypatch)
    log_in(nobody, monkeypatch, "--url", "https://other.example", "--profile", "other")
    nobody("jobs", "--url", "https://evil.example")
    assert nobody.requests[-1].url.host == "evil.example"
    assert not {"authorization", "x-api-key"} & set(nobody.requests[-1].headers)
    nobody("jobs", "--url", "https://other.example/")
    assert nobody.requests[-1].headers["Authorization"] == "Bearer access-1"
    monkeypatch.setenv("T2M_API_KEY", "t2m_1_secret")
    nobody("jobs")
    assert nobody.requests[-1].headers["X-API-Key"] == "t2m_1_secret"
    nobody("jobs", "--url", "https://other.example/")
    assert nobody.requests[-1].headers["Authorization"] == "Bearer access-1"
    nobody("jobs", "--profile", "other")
    assert nobody.requests[-1].url.host == "other.example"
    assert "X-API-Key" not in nobody.requests[-1].headers
    monkeypatch.delenv("T2M_API_KEY")
    assert nobody("jobs", "--profile", "other", "--url", "https://t2m.example").code == 2
    monkeypatch.delenv("T2M_URL")
    nobody("jobs")
    assert nobody.requests[-1].url.host == "other.example", "the last login is the current one"
    assert nobody("profiles", "default").code == 0
    nobody("jobs")
    assert nobody.requests[-1].url.host == "t2m.example"
    listed = {row["name"]: row["current"] for row in json.loads(nobody("profiles", "--json").out)}
    assert listed == {"default": "current", "other": ""}


def test_O8_logging_out_ends_the_session_there_and_here(nobody: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: the refresh token is handed in and forgotten, also when the server is away; then nobody is logged in."""
    log_in(nobody, monkeypatch)
    nobody.server["POST /api/v1/users/logout"] = httpx.Response(204)
    assert nobody("logout").code == 0
    assert nobody.body() == {"refresh_token": "refresh-1"}
    log_in(nobody, monkeypatch)
    nobody.server["POST /api/v1/users/logout"] = refusal(503, "UNAVAILABLE")
    said = nobody("logout")
    assert said.code == 0
    assert "Warning: the session could not be ended" in said.err
    assert [path.name for path in (nobody.folder / "config").iterdir() if "default" in path.name] == []


def test_O8_plain_http_is_warned_of(nobody: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: but not on one's own machine."""
    assert "not encrypted" in log_in(nobody, monkeypatch, "--url", "http://t2m.example").err
    for here in ("http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "https://t2m.example"):
        assert "not encrypted" not in log_in(nobody, monkeypatch, "--url", here).err


def test_O8_a_broken_profile_says_what_to_do(nobody: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: a file that cannot be read is named."""
    log_in(nobody, monkeypatch)
    (nobody.folder / "config" / "default.json").write_text("{")
    said = nobody("jobs")
    assert said.code == 2
    assert "default.json" in said.err
    assert "t2m login" in said.err


def test_O8_nothing_shows_a_secret_by_accident(tmp_path: Path) -> None:
    """O8: not in a repr, and so not in a traceback either."""
    assert "secret" not in repr(Profile("a", "https://x", api_key="t2m_1_secret"))
    assert "secret" not in repr(App(environment={"T2M_API_KEY": "t2m_1_secret"}))
