"""The pictures of the chat in docs/images, taken of what the page really shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from chatting import ask, lead_until_waiting, open_chat
from playwright.sync_api import Browser, Page, expect
from serving_pages import playing

from agno_portkey import Gate
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, tell

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MAIL = " Tell ann.smith@example.com when it is done."


@contextmanager
def _screen(
    chrome: Browser, scheme: Literal["light", "dark"], width: int = 1440, height: int = 1000
) -> Iterator[Page]:
    context = chrome.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
        timezone_id="UTC",
    )
    yield context.new_page()
    context.close()


def _take(page: Page, name: str, folder: Path) -> None:
    """A picture; into the documentation where PICTURES says so."""
    path = (IMAGES if os.environ.get("PICTURES") else folder) / f"chat-{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, animations="disabled")
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_picture_of_the_story(
    chrome: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    with playing(tmp_path, pii="mask") as played, _screen(chrome, scheme) as page:
        tell(played.provider)
        open_chat(page, played.chat)
        ask(page, REQUEST + MAIL)
        expect(page.locator(".chip.guard").first).to_be_visible()
        if scheme == "dark":
            page.locator(".asked").scroll_into_view_if_needed()
        _take(page, scheme, tmp_path)
        if scheme == "light":
            page.set_viewport_size({"width": 390, "height": 844})
            page.locator(".turn .gate").last.scroll_into_view_if_needed()
            _take(page, "mobile", tmp_path)


def test_picture_of_a_refusal(chrome: Browser, tmp_path: Path) -> None:
    with playing(tmp_path) as played, _screen(chrome, "light") as page:
        tell(played.provider, plans=[FLAWED] * 9)
        open_chat(page, played.chat)
        ask(page, REQUEST, state="declined")
        expect(page.locator("#waiting .waits")).to_be_visible()
        _take(page, "refused", tmp_path)


def test_picture_of_what_waits(chrome: Browser, tmp_path: Path) -> None:
    gate = Gate(name="release", min_score=8, approval=True)
    with playing(tmp_path, gate=gate) as played, _screen(chrome, "light") as page:
        lead_until_waiting(played.provider)
        tell(played.provider, plans=[SOUND])
        open_chat(page, played.chat)
        ask(page, REQUEST, state="waiting")
        expect(page.locator("#waiting .waits")).to_be_visible()
        _take(page, "waiting", tmp_path)
