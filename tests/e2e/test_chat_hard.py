"""Errors said plainly, hostile texts, and who has no mouse or does not see the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from chatting import LONG, ask, choose, open_chat, text_of_answer
from playwright.sync_api import Browser, Page, Route, expect
from serving_pages import Played, playing

from agno_portkey.testing import Fault, Reply
from agno_portkey.testing.story import REQUEST, tell

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"> [click](javascript:document.title='owned') "
    "<script>document.title='owned'</script> \u202egnp.exe "
    "<style>body{display:none}</style> </p></div> &lt;b&gt;"
)


def test_an_error_of_the_provider_is_said(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        played.provider.fault(Fault.status(500), times=None)
        open_chat(page, played.chat)
        choose(page, "Echo")
        ask(page, "Hello", state="failed")
        expect(page.locator(".turn")).to_contain_text("The run failed")
        expect(page.locator(".turn .notice")).to_contain_text("500")
        # What comes next is not held up by it.
        played.provider.clear_faults()
        ask(page, "Hello again")


_ANSWERS = [
    (403, {"detail": "Insufficient permissions"}, "Your token lacks the scope agents:run"),
    (401, {"detail": "Invalid token"}, "give a token"),
    (404, {"detail": "Agent not found"}, "There is no such thing, or no longer. (Agent not found)"),
    (429, {"detail": "slow down"}, "Too many requests: try again in 7 s."),
    (503, "<html>busy</html>", "The server failed (status 503)"),
]


@pytest.mark.parametrize(("status", "body", "said"), _ANSWERS)
def test_what_the_server_refuses_is_said(
    page: Page, played: Played, status: int, body: object, said: str
) -> None:
    page.watched.allowed.append(f"status of {status}")  # type: ignore[attr-defined]
    text = body if isinstance(body, str) else json.dumps(body)

    def refuse(route: Route) -> None:
        route.fulfill(status=status, body=text, headers={"Retry-After": "7"})

    before = len(played.provider.calls)
    open_chat(page, played.chat)
    choose(page, "Echo")
    page.route("**/agents/echo/runs", refuse)
    ask(page, "Hello", state="failed")
    expect(page.locator(".turn .notice")).to_contain_text(said)
    assert len(played.provider.calls) == before


def test_a_hostile_text_is_shown_as_it_is(page: Page, played: Played) -> None:
    played.provider.reply(Reply(HOSTILE, chunk_size=7))
    open_chat(page, played.chat)
    choose(page, "Echo")
    ask(page, HOSTILE)
    assert text_of_answer(page) == HOSTILE.replace("\u202e", "\ufffd")
    assert page.title() == "Chat · agno-portkey"
    turns = page.locator("#turns")
    assert turns.locator("img, script, style, a, iframe").count() == 0
    expect(page.locator("#sessions")).to_contain_text("<img src=x")


def test_paragraphs_and_fenced_code_are_told_apart(page: Page, played: Played) -> None:
    said = "First.\n\nSecond,\nin two lines.\n\n```python\nprint('``')\n\nx = 1\n```\nLast `word`."
    for size in (1, 5, 1000):
        played.provider.reply(Reply(said, chunk_size=size))
    open_chat(page, played.chat)
    choose(page, "Echo")
    for turn in range(3):
        ask(page, "Show it.")
        text = page.locator(".turn").nth(turn).locator(".speech .text")
        assert text.locator("p").all_text_contents() == [
            "First.\n",
            "Second,\nin two lines.\n",
            "Last `word`.",
        ]
        assert text.locator("pre code").all_text_contents() == ["print('``')\n\nx = 1\n"]


def test_ten_thousand_events_and_a_megabyte_leave_the_page_at_hand(
    page: Page, played: Played
) -> None:
    run, piece = "11111111-1111-4111-8111-111111111111", "x" * 99 + " "
    events = [{"event": "RunStarted", "run_id": run, "agent_name": "Echo"}]
    events += [{"event": "RunContent", "run_id": run, "content": piece}] * 10_000
    events += [{"event": "RunContent", "run_id": run, "content": "y" * 1_000_000}]
    events += [{"event": "RunCompleted", "run_id": run, "content": ""}]
    frames = [
        f"data: {json.dumps({**each, 'event_index': n})}\n\n" for n, each in enumerate(events)
    ]

    def whole(route: Route) -> None:
        shown = frames if route.request.url.endswith("/resume") else frames[:1]
        route.fulfill(status=200, content_type="text/event-stream", body="".join(shown))

    open_chat(page, played.chat)
    choose(page, "Echo")
    page.route(re.compile("/agents/echo/runs"), whole)
    # How often the page had time for something else while the text grew.
    page.evaluate(
        """() => {
          window.turns = new Set();
          const look = () => {
            const turn = document.querySelector('.turn[data-state="running"] .run');
            if (turn) window.turns.add(turn.textContent.length);
            setTimeout(look);
          };
          look();
        }"""
    )
    ask(page, "All of it.")
    assert len(page.evaluate("[...window.turns]")) >= 5
    assert text_of_answer(page) == piece * 10_000 + "y" * 1_000_000
    assert page.locator(".turn *").count() < 1_000


def test_a_keyboard_does_it_all(page: Page, played: Played) -> None:
    played.provider.reply(Reply("One."))
    played.provider.reply(Reply(LONG, token_delay=0.02))
    open_chat(page, played.chat)
    focused = _tab_to(page, "place")
    assert focused[:3] == ["skip", "/portkey/chat", "/portkey/"]
    assert "message" in focused
    page.keyboard.press("ArrowDown")
    expect(page.locator("#greeting")).to_have_text("Talk to Echo")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("Two")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("lines")
    page.keyboard.press("Enter")
    expect(page.locator(".turn")).to_have_attribute("data-state", "completed")
    assert "Two\nlines" in played.provider.calls[-1].last_user
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.type("More")
    page.keyboard.press("Enter")
    expect(page.locator(".turn").last).to_contain_text("word005")
    page.keyboard.press("Escape")
    expect(page.locator(".turn").last).to_have_attribute("data-state", "stopped")
    expect(page.locator("#announcer")).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.get_by_label("Team or agent").focus()
    page.keyboard.press("Tab")
    send = page.get_by_role("button", name="Send")
    expect(send).to_be_focused()
    expect(send).to_have_css("outline-style", "solid")


def _tab_to(page: Page, id: str) -> list[str]:
    """Tab to the control of this id; what had the focus on the way."""
    seen: list[str] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """(one => one.id || one.getAttribute("href").replace("#message", "skip"))(
              document.activeElement)"""
        )
        seen.append(at)
        if at == id:
            return seen
    raise AssertionError(f"{id} is not to be got at: {seen}")


def test_every_control_has_a_name(page: Page, played: Played) -> None:
    tell(played.provider)
    open_chat(page, played.chat)
    ask(page, REQUEST)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(
            "button, a[href], input, select, textarea, summary, progress, [tabindex='0']")]
          .filter(one => one.checkVisibility())
          .filter(one => !(one.ariaLabel || one.labels?.length || one.title
                           || (!one.matches("select, input, textarea") && one.textContent.trim())))
          .map(one => one.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.querySelectorAll('[id]').length") == page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(one => one.id)).size"
    )
    for role in ("banner", "main", "navigation"):
        assert page.get_by_role(role).count() == 1
    assert page.locator("[aria-live], [role=status]").count() == 1


_PAIRS = [
    ("--text", "--bg"),
    ("--text", "--panel"),
    ("--dim", "--bg"),
    ("--dim", "--panel"),
    ("--dim", "--sunken"),
    ("--accent", "--accent-soft"),
    ("--on-accent", "--accent"),
    ("--good", "--good-soft"),
    ("--warn", "--warn-soft"),
    ("--bad", "--bad-soft"),
    ("--bad", "--panel"),
    ("--text", "--bad-soft"),
    ("--text", "--warn-soft"),
    ("--dim", "--accent-soft"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("chosen", [True, False])
def test_colours_contrast(chrome: Browser, played: Played, scheme: str, chosen: bool) -> None:
    other = {"light": "dark", "dark": "light"}[scheme]
    context = chrome.new_context(color_scheme=other if chosen else scheme)  # type: ignore[arg-type]
    page = context.new_page()
    if chosen:
        page.add_init_script(f"localStorage.setItem('agno-portkey.theme', '{scheme}')")
    open_chat(page, played.chat)
    colours = page.evaluate(
        """names => Object.fromEntries(names.map(name =>
          [name, getComputedStyle(document.documentElement).getPropertyValue(name).trim()]))""",
        sorted({name for pair in _PAIRS for name in pair}),
    )
    context.close()
    assert (_light(colours["--bg"]) > 0.5) is (scheme == "light")
    low = {pair: ratio for pair in _PAIRS if (ratio := _contrast(colours, *pair)) < 4.5}
    assert low == {}


def _light(colour: str) -> float:
    """The relative luminance of `#rrggbb`, by WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(colours: dict[str, str], one: str, other: str) -> float:
    low, high = sorted((_light(colours[one]), _light(colours[other])))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_is_cut_off_on_any_screen(page: Page, played: Played, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    tell(played.provider)
    open_chat(page, played.chat)
    ask(page, REQUEST)
    wide = page.evaluate(
        """() => [...document.querySelectorAll("header *, main *")]
          .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
          .filter(one => !one.closest("pre, .unseen"))
          .map(one => one.outerHTML.slice(0, 120))"""
    )
    assert wide == []
    if width < 860:
        page.get_by_role("button", name="Chats").click()
        expect(page.locator("#sessions button").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#history")).to_be_hidden()
        expect(page.get_by_role("button", name="Chats")).to_be_focused()
