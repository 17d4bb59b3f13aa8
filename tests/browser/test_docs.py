"""The documentation pages in a browser (O8)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.local_stack import LocalStack
from tests.e2e.people import PASSWORD, register

HEAVY_MS = 30_000
"""How long a page of megabytes may take to draw itself on a busy machine."""


@dataclass
class Witness:
    """What a page complained of, and where it turned to."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self, page: Page) -> None:
        """From now on."""
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))


@pytest.fixture
def witness(page: Page) -> Witness:
    """Of the test's page."""
    seen = Witness()
    seen.watch(page)
    return seen


def opened(page: Page, operation_id: str) -> Locator:
    """Swagger UI's block of an operation, open and ready to be tried."""
    block = page.locator(f"[id$='-{operation_id}']")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    return block


def executed(block: Locator, status: int) -> str:
    """Press Execute and expect that status; the body that is shown."""
    block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response")
    expect(live.locator(".response-col_status").first).to_contain_text(str(status), timeout=HEAVY_MS)
    return live.locator(".response-col_description pre").first.inner_text()


def swagger(page: Page, stack: LocalStack) -> None:
    """Open it, with every tag unfolded."""
    page.goto(f"{stack.url}/docs/swagger")
    expect(page.locator(".opblock-tag").first).to_be_visible(timeout=HEAVY_MS)
    for tag in ("User", "Session", "ApiKey"):
        page.locator(f"#operations-tag-{tag} .expand-operation").click()


def test_O8_swagger_ui_calls_with_a_key(page: Page, witness: Witness, stack: LocalStack, key: str) -> None:
    """O8: authorised in its dialog; no complaint, nothing foreign asked, under a policy without `unsafe-inline`."""
    swagger(page, stack)
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".auth-container", has=page.get_by_text("X-API-Key"))
    dialog.locator("input").fill(key)
    dialog.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").first.click()
    assert json.loads(executed(opened(page, "getProfile"), 200))["email"] == "ada@t2m.example"
    assert witness == Witness([], {urlsplit(stack.url).netloc})
    policy = page.request.get(f"{stack.url}/docs/swagger").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert len(set(re.findall("nonce-([^']+)", policy))) == 1


def test_A2_O8_swagger_ui_calls_with_a_session_cookie(page: Page, witness: Witness, stack: LocalStack) -> None:
    """A2, O8: after a login with cookies, what changes something brings its CSRF token by itself."""
    person = register(stack, "swagger@t2m.example")
    swagger(page, stack)
    login = opened(page, "login")
    login.locator("tr", has_text="X-Session-Transport").locator("select").select_option("cookie")
    login.locator("textarea").fill(json.dumps({"email": person.email, "password": PASSWORD}))
    assert "access_token" not in json.loads(executed(login, 200))
    made = opened(page, "createApiKey")
    made.locator("textarea").fill(json.dumps({"name": "by cookie"}))
    assert json.loads(executed(made, 201))["api_key"]["name"] == "by cookie"
    assert witness == Witness([], {urlsplit(stack.url).netloc})


def test_O8_redoc_shows_an_operation(page: Page, witness: Witness, stack: LocalStack) -> None:
    """O8: with its groups; nothing comes from its maker's servers, nothing goes to them."""
    page.goto(f"{stack.url}/docs/redoc")
    expect(page.get_by_text("Accounts", exact=True).first).to_be_visible(timeout=HEAVY_MS)
    page.get_by_text("Storyboard", exact=True).first.click()
    expect(page.get_by_text("/api/v1/storyboards:plan").first).to_be_visible(timeout=HEAVY_MS)
    assert witness == Witness([], {urlsplit(stack.url).netloc})


def test_O8_the_page_shows_every_operation(page: Page, stack: LocalStack) -> None:
    """O8: its own script and style run under its content policy; an operation opens, the filter narrows."""
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.goto(f"{stack.url}/docs")
    operations = page.locator("article")
    expect(operations.first).to_be_visible()
    document = page.request.get(f"{stack.url}/openapi.json").json()
    assert operations.count() == sum(len(verbs) for verbs in document["paths"].values())
    generate = page.locator("article", has=page.get_by_text("/api/v1/videos/generate", exact=True))
    generate.locator("summary").first.click()
    expect(generate.get_by_role("cell", name="topic *", exact=True)).to_be_visible()
    expect(generate.get_by_text("curl -X POST")).to_be_visible()
    upload = page.locator("article#uploadFile")
    upload.locator("summary").first.click()
    expect(upload.get_by_text("--data-binary @FILE")).to_be_visible()
    page.get_by_label("Filter operations").fill("videos/generate")
    assert operations.filter(visible=True).count() < operations.count()
    expect(generate).to_be_visible()
    assert said == []
