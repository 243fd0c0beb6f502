"""One browser for all tests, a context and a page for each, which has to stay without an error."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from browser import chromium
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from serving_pages import Played, playing

# Playwright talks to its browser by pipes and sockets of its own.
pytestmark = pytest.mark.enable_socket

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def context(chrome: Browser) -> Iterator[BrowserContext]:
    """A context of its own, on a screen of 1440 by 900."""
    made = chrome.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A playground for tests that need none of their own."""
    with playing(tmp_path_factory.mktemp("played")) as made:
        yield made


class Watched:
    """What a page asked for, and what went wrong in it; `allowed` are words of errors to expect."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.allowed: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(f"pageerror: {error}"))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _said(self, message: object) -> None:
        if message.type in ("error", "warning"):  # type: ignore[attr-defined]
            self.errors.append(message.text)  # type: ignore[attr-defined]

    def unexpected(self) -> list[str]:
        return [each for each in self.errors if not any(word in each for word in self.allowed)]


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page; no error, no violation of its CSP, and no request to another server may be seen."""
    made = context.new_page()
    watched = Watched(made)
    made.watched = watched  # type: ignore[attr-defined]
    yield made
    assert watched.unexpected() == []
    assert len({host for host in watched.hosts if host}) <= 1, watched.hosts
