"""One embedded stack, one browser and one site for the whole tier."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from deploy.local.system import browser as chromium_path
from tests.browser.player import Player
from tests.browser.site import Site
from tests.e2e.local_stack import LocalStack

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Where the page is."""
    site = Site()
    try:
        yield site
    finally:
        site.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[LocalStack]:
    """Up and ready, and open to pages of the site."""
    stack = LocalStack(tmp_path_factory.mktemp("stack"), T2M_CORS_ORIGINS=site.origin)
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def key(stack: LocalStack) -> str:
    """An API key of an ordinary user."""
    return stack.api_key("ada@t2m.example")


@pytest.fixture
def api(stack: LocalStack, key: str) -> Iterator[httpx.Client]:
    """An HTTP client of that user."""
    with stack.client(key) as client:
        yield client


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's browser, without a window."""
    path = chromium_path()
    assert path is not None, "no Chromium: python3 deploy/local/system.py --browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page in a profile of its own."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


@pytest.fixture
def player(page: Page, site: Site) -> Player:
    """The player's page, with nothing loaded."""
    return Player(page, site.origin)
