"""A browser's session in cookies, from login to logout, on a real auth (A2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.runtime.ids import new_id
from tests.fakes.grpc_backends import JOB_ID
from tests.integration.credentials_harness import PASSWORD, auth_database, auth_replica, auth_settings, new_admin
from tests.integration.gateway_harness import EventStream, GatewayUnderTest, error_of, running_gateway

JOB = f"/api/v1/jobs/{JOB_ID}"
ORDER = {"topic": "A topic", "context": "A context"}
USERS = "/api/v1/users"
APP = "https://app.example"
BY_COOKIE = {"X-Session-Transport": "cookie"}
ACCESS, REFRESH, CSRF = "__Host-t2m-access", "__Secure-t2m-refresh", "__Host-t2m-csrf"


class Browser:
    """Keeps the cookies of one page, and sends what a browser would."""

    def __init__(self, gateway: GatewayUnderTest, email: str) -> None:
        self.gateway, self.email = gateway, email
        self.jar: dict[str, str] = {}
        self.origin = f"http://127.0.0.1:{gateway.port}"

    async def send(self, method: str, path: str, *, csrf: str | None = None, **more: Any) -> httpx.Response:
        """One request; `csrf` is another value than the cookie's."""
        headers = {"Origin": self.origin, "Cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())}
        headers["X-CSRF-Token"] = self.jar.get(CSRF, "") if csrf is None else csrf
        headers |= more.pop("headers", {})
        answer = await self.gateway.client.request(method, path, headers=headers, **more)
        for field in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(field).items():
                self.jar[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.jar[name]
        self.gateway.client.cookies.clear()
        return answer

    async def login(self) -> httpx.Response:
        """With cookies."""
        body = {"email": self.email, "password": PASSWORD}
        return await self.send("POST", f"{USERS}/login", json=body, headers=BY_COOKIE)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """Of somebody with a password."""
    await asyncio.to_thread(auth_database)
    settings = auth_settings(tmp_path)
    email = f"{new_id()}@example.com"
    await new_admin(settings, email)
    async with (
        auth_replica(settings) as auth,
        running_gateway(auth_address=auth.address, cors_origins=APP) as gateway,
    ):
        gateway.script.open_to_all = True
        yield Browser(gateway, email)


async def test_A2_a_session_in_cookies_from_login_to_logout(
    browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    """A2: no token is ever in a body, in a log, or on its way to a service; each cookie does what it is for."""
    login = await browser.login()
    assert login.status_code == 200
    assert set(login.json()) == {"expires_at", "refresh_expires_at", "csrf_token"}
    assert set(browser.jar) == {ACCESS, REFRESH, CSRF}
    assert login.json()["csrf_token"] == browser.jar[CSRF]
    assert login.headers["cache-control"] == "no-store"
    assert (await browser.send("GET", f"{USERS}/profile")).json()["email"] == browser.email
    assert (await browser.send("POST", "/api/v1/videos/generate", json=ORDER)).status_code == 201
    forged = await browser.send("POST", "/api/v1/videos/generate", json=ORDER, csrf="x.y")
    assert (forged.status_code, error_of(forged)["details"]["reason"]) == (403, "CSRF_REFUSED")
    assert len(browser.gateway.script.created) == 1

    first = dict(browser.jar)
    refreshed = await browser.send("POST", f"{USERS}/refresh")
    assert (refreshed.status_code, "access_token" in refreshed.json()) == (200, False)
    assert not set(first.values()) & set(browser.jar.values()), "all three are new"
    assert (await browser.send("GET", JOB)).status_code == 200

    last = dict(browser.jar)
    assert (await browser.send("POST", f"{USERS}/logout")).status_code == 204
    assert browser.jar == {}
    browser.jar = last
    assert (await browser.send("POST", f"{USERS}/refresh")).status_code == 401
    assert browser.jar == {}, "what no longer works is taken away"

    secrets = [*first.values(), *last.values()]
    assert not any("cookie" in seen for seen in browser.gateway.script.metadata)
    sent = repr(browser.gateway.script.metadata) + capsys.readouterr().out
    assert not [secret for secret in secrets if secret in sent]


async def test_A2_an_event_source_follows_with_cookies_alone(browser: Browser) -> None:
    """A2: it cannot set a header."""
    await browser.login()
    headers = {"Cookie": f"{ACCESS}={browser.jar[ACCESS]}", "Accept": "text/event-stream"}
    async with browser.gateway.client.stream("GET", f"{JOB}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert (await EventStream(answer).event())[1] == "snapshot"


async def test_A2_refresh_and_logout_cannot_be_forged(browser: Browser) -> None:
    """A2: without the token, or from elsewhere; the session goes on."""
    await browser.login()
    for path in ("refresh", "logout", "logout-all"):
        assert (await browser.send("POST", f"{USERS}/{path}", csrf="")).status_code == 403
        foreign = await browser.send("POST", f"{USERS}/{path}", headers={"Origin": "https://evil.example"})
        assert (foreign.status_code, error_of(foreign)["details"]["reason"]) == (403, "CSRF_REFUSED")
        assert "set-cookie" not in foreign.headers
    assert (await browser.send("POST", f"{USERS}/refresh")).status_code == 200


async def test_A2_logout_everywhere_by_cookie(browser: Browser) -> None:
    """A2: the cookies go, and the other session with them."""
    await browser.login()
    other = dict(browser.jar)
    await browser.login()
    assert (await browser.send("POST", f"{USERS}/logout-all")).status_code == 204
    assert browser.jar == {}
    browser.jar = other
    assert (await browser.send("POST", f"{USERS}/refresh")).status_code == 401


async def test_A2_who_does_not_ask_gets_tokens_in_the_body(browser: Browser) -> None:
    """A2: and a token in the body, or a credential in the header, is all that counts beside cookies."""
    body = {"email": browser.email, "password": PASSWORD}
    plain = await browser.send("POST", f"{USERS}/login", json=body)
    assert "set-cookie" not in plain.headers
    tokens = plain.json()
    await browser.login()
    kept = dict(browser.jar)
    again = await browser.send("POST", f"{USERS}/refresh", json={"refresh_token": tokens["refresh_token"]}, csrf="")
    assert (again.status_code, "set-cookie" in again.headers) == (200, False)
    assert again.json()["access_token"]
    bearer = {"Authorization": "Bearer nonsense"}
    assert (await browser.send("GET", JOB, headers=bearer)).status_code == 401
    bearer = {"Authorization": f"Bearer {again.json()['access_token']}"}
    order = await browser.send("POST", "/api/v1/videos/generate", json=ORDER, headers=bearer, csrf="")
    assert (order.status_code, browser.jar) == (201, kept)


async def test_A2_O7_a_page_of_a_configured_origin_may_use_the_cookies(browser: Browser) -> None:
    """A2, O7: CORS with credentials, for the configured origin and never for all; others are told nothing."""
    browser.origin = APP
    login = await browser.login()
    assert login.headers["access-control-allow-origin"] == APP
    assert login.headers["access-control-allow-credentials"] == "true"
    assert (await browser.send("POST", "/api/v1/videos/generate", json=ORDER)).status_code == 201
    preflight = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-csrf-token, x-session-transport",
    }
    answer = await browser.gateway.client.options(f"{USERS}/login", headers=preflight)
    assert (answer.status_code, answer.headers["access-control-allow-credentials"]) == (200, "true")
    browser.origin = "https://evil.example"
    foreign = await browser.send("GET", JOB)
    assert "access-control-allow-origin" not in foreign.headers
    assert (await browser.login()).status_code == 403
