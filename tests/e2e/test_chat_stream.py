"""What streams: seen as it grows, over a reload and a broken connection, and stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from chatting import LONG, Bodies, ask, choose, open_chat, text_of_answer
from playwright.sync_api import Page, Route, expect
from serving_pages import playing

from agno_portkey.testing import Reply
from agno_portkey.testing.story import REQUEST, SOUND, tell

_SLOW = Reply(LONG, token_delay=0.02)

# Notes how long the answer is whenever something changes while its run goes on.
_LENGTHS = """
window.lengths = new Set();
addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => {
    const turn = document.querySelector('.turn[data-state="running"]');
    const said = turn?.querySelector(".run > .parts > .speech")?.textContent.length;
    if (said) window.lengths.add(said);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
});
"""


def test_the_text_is_seen_as_it_grows(page: Page, tmp_path: Path) -> None:
    page.add_init_script(_LENGTHS)
    with playing(tmp_path) as played:
        played.provider.reply(_SLOW)
        open_chat(page, played.chat)
        choose(page, "Echo")
        ask(page, "Tell me all.", state="running")
        expect(page.locator("#stage")).to_contain_text("tokens/s")
        expect(page.locator("#stage")).to_contain_text("Writing")
        expect(page.locator(".turn")).to_have_attribute("data-state", "completed")
        assert text_of_answer(page) == LONG
        assert len(page.evaluate("[...window.lengths]")) >= 3


def test_a_reload_in_mid_stream_loses_and_doubles_nothing(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        played.provider.reply(_SLOW)
        open_chat(page, played.chat)
        choose(page, "Echo")
        ask(page, "Tell me all.", state=None)
        for word in ("word010", "word060"):
            expect(page.locator(".turn")).to_contain_text(word)
            page.reload()
        expect(page.locator(".turn")).to_have_attribute("data-state", "completed")
        expect(page.locator(".turn")).to_have_count(1)
        expect(page.locator(".asked")).to_contain_text("Tell me all.")
        assert text_of_answer(page) == LONG
        assert len(played.provider.calls) == 1


class _Cut:
    """An app whose first streams end before they are over, after so many frames."""

    def __init__(self, app: Any, *frames: int) -> None:
        self.app, self.frames = app, [*frames]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not scope.get("path", "").endswith("/resume") or not self.frames:
            await self.app(scope, receive, send)
            return
        left = self.frames.pop(0)

        async def until(message: Any) -> None:
            nonlocal left
            left -= 1
            if left > 0:
                await send(message)
            elif left == 0:
                await send({**message, "more_body": False})

        await self.app(scope, receive, until)


def test_a_connection_that_breaks_is_taken_up_where_it_was(page: Page, tmp_path: Path) -> None:
    page.watched.allowed.append("net::ERR_FAILED")  # type: ignore[attr-defined]
    again: list[str] = []

    def broken(route: Route) -> None:
        # Once the server can't be reached, and then it tells all from the start again.
        asked = route.request.post_data or ""
        if "last_event_index" in asked:
            again.append(asked)
        if "last_event_index" in asked and len(again) == 1:
            route.abort()
        elif "last_event_index" in asked and len(again) == 2:
            route.continue_(post_data=re.sub("&?last_event_index=[0-9]+", "", asked))
        else:
            route.continue_()

    with playing(tmp_path, around=lambda made: _Cut(made, 20, 40)) as played:
        played.provider.reply(_SLOW)
        open_chat(page, played.chat)
        choose(page, "Echo")
        page.route("**/resume", broken)
        ask(page, "Tell me all.", state=None)
        expect(page.locator("#trouble")).to_contain_text("Trying again; nothing is lost.")
        expect(page.locator(".turn")).to_have_attribute("data-state", "completed")
        assert text_of_answer(page) == LONG
        assert len(again) == 3
        expect(page.locator("#trouble")).to_be_empty()


def test_the_stop_button_stops_and_says_so(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        played.provider.reply(_SLOW)
        open_chat(page, played.chat)
        choose(page, "Echo")
        ask(page, "Tell me all.", state=None)
        expect(page.locator(".turn")).to_contain_text("word010")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.locator(".turn")).to_have_attribute("data-state", "stopped")
        expect(page.locator(".run > .head")).to_contain_text("Stopped")
        assert 0 < len(text_of_answer(page)) < len(LONG)
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden()


def test_a_team_that_is_stopped_asks_nobody_any_more(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        planned = Reply(SOUND.model_dump_json(), delay=2.0)
        played.provider.when(lambda request: request.schema_name == "Plan", planned)
        tell(played.provider)
        open_chat(page, played.chat)
        ask(page, REQUEST, state=None)
        expect(page.locator('[data-member="Planner"]')).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".turn")).to_have_attribute("data-state", "stopped")
        schemas = [call.schema_name for call in played.provider.calls]
        assert schemas == [None, "Plan"]
        assert played.release.done == []


def test_personal_data_are_in_no_call_and_in_no_stream(page: Page, tmp_path: Path) -> None:
    mail, card = "ann.smith@example.com", "4111 1111 1111 1111"
    bodies = Bodies(page)
    with playing(tmp_path, pii="mask") as played:
        open_chat(page, played.chat)
        choose(page, "Echo")
        ask(page, f"Write to {mail}, and charge {card}.")
        chips = page.get_by_role("group", name="Redactions").locator(".chip")
        expect(chips.first).to_contain_text("Echo input: rewritten by PIIGuardrail")
        expect(chips.first).to_contain_text("EMAIL_ADDRESS")
        events = bodies.events()
        verdict = next(
            at
            for at, event in enumerate(events)
            if event.get("kind") == "guard" and event["data"].get("rewritten")
        )
        before = json.dumps(events[: verdict + 1])
        sent = json.dumps([call.body for call in played.provider.calls])
        assert played.provider.calls
        for secret in (mail, card):
            assert secret not in sent
            assert secret not in before
