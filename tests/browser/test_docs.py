"""The documentation page in a browser (O8)."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.local_stack import LocalStack


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
