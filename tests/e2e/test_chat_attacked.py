"""The chat page under attack: streams that lie, break or come back otherwise, and hasty readers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from chatting import ask, choose, open_chat, text_of_answer
from playwright.sync_api import Page, Route, expect
from serving_pages import Played

RUN = "11111111-1111-4111-8111-111111111111"
EVIL = "<img src=x onerror=\"document.title='owned'\">"
Answer = Callable[[Route], None]


def framed(*events: Mapping[str, Any]) -> str:
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events)


def event(number: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"event": kind, "run_id": RUN, "agent_name": "Echo", "event_index": number, **more}


BEGUN = event(0, "RunStarted")


def streamed(body: str) -> Answer:
    return lambda route: route.fulfill(status=200, content_type="text/event-stream", body=body)


class Server:
    """What the page is answered about runs: each resumption is given the next of `resumed`."""

    def __init__(self, page: Page, *resumed: str | Answer, begun: str | None = None) -> None:
        self.begun = framed(BEGUN) if begun is None else begun
        self.resumed = [streamed(each) if isinstance(each, str) else each for each in resumed]
        self.asked: list[str] = []
        self.cancelled: list[Route] = []
        page.route(re.compile("/agents/echo/runs"), self._answer)

    def _answer(self, route: Route) -> None:
        if route.request.url.endswith("/resume"):
            self.asked.append(route.request.post_data or "")
            self.resumed[min(len(self.asked), len(self.resumed)) - 1](route)
        elif "/cancel" in route.request.url:
            self.cancelled.append(route)
        else:
            streamed(self.begun)(route)


def opened(page: Page, played: Played) -> None:
    open_chat(page, played.chat)
    choose(page, "Echo")


_NAMES: list[Any] = ["__proto__", "constructor", "toString", EVIL, "", None, 7, [], {}, 1e308]


def _pieces() -> list[tuple[str, Any]]:
    step = {"action": EVIL, "tool": EVIL, "risk": EVIL, "inputs": [None, {"name": EVIL}, 3]}
    return [
        ("Plan", {"goal": EVIL, "steps": [None, step, 3, "a text", {"inputs": 7}]}),
        ("Plan", {"goal": None, "steps": {"length": 5}}),
        *(
            ("Critique", {"summary": EVIL, "issues": [None, {"severity": name, "step": name}]})
            for name in _NAMES
        ),
        *(
            ("Judgement", {"decision": name, "score": name, "criteria": [None, {"score": name}]})
            for name in _NAMES
        ),
        *((name, {"a": EVIL}) for name in ("__proto__", "constructor", EVIL)),
    ]


def _hostile() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"event": "RunContent", "content": "without a run "}]
    made += [{"event": "RunContent", "content_type": k, "content": v} for k, v in _pieces()]
    made += [{"event": name} for name in ("__proto__", "constructor", EVIL, "heard", "Unheard")]
    for name in _NAMES:
        made.append({"event": "ToolCallStarted", "tool": {"tool_name": name, "tool_args": name}})
        made.append({"event": "ToolCallCompleted", "tool": {"tool_call_id": name}})
        made.append(
            {"event": "RunContent", "run_id": name or "x", "agent_name": name, "content": "m"}
        )
        for kind in ("call", "attempt", "cache", "guard", "gate", "tool", "declined", "stop"):
            data = {"step": name, "tool": name, "side": name, "rewritten": True, "mode": name}
            data |= {"cost": name, "seconds": name, "input_tokens": name, "output_tokens": name}
            data |= {"attempts": name, "provider": name, "model": name, "outcome": name}
            verdict = {"passed": False, "source": name, "reasons": [name]}
            more = {"role": name, "of_run": name, "verdict": verdict, "data": data}
            made.append({"event": "CustomEvent", "source": "agno_portkey", "kind": kind, **more})
        made.append({"event": "CustomEvent", "source": "agno_portkey", "kind": name, "data": name})
        for kind in ("call", "guard", "gate", "tool", "declined", "circuit", "budget"):
            made.append({"event": "CustomEvent", "source": "agno_portkey", "kind": kind})
    made.append({"event": "ToolCallStarted"})
    made.append({"event": "ToolCallCompleted"})
    return made


def test_no_event_breaks_the_page_or_becomes_markup(page: Page, played: Played) -> None:
    """The page fixture sees an error of any of them; numbers have gaps."""
    opened(page, played)
    hostile = [{**each, "event_index": 3 + 2 * at} for at, each in enumerate(_hostile())]
    for each in hostile:
        each.setdefault("run_id", RUN)
    last = 10_000
    Server(
        page,
        framed(
            BEGUN,
            {"event": None, "event_index": 1, "run_id": RUN},
            *hostile,
            event(last, "RunContent", content="the end."),
            event(last + 1, "RunCompleted", content=""),
        ),
    )
    ask(page, "All of it.")
    expect(page.locator(".turn")).to_contain_text("the end.")
    turn = page.locator(".turn")
    assert turn.locator("img, script, style, a, iframe").count() == 0
    assert page.title() == "Chat · agno-portkey"
    assert page.evaluate("Object.keys(Object.prototype).length") == 0
    # The pieces of which a field is none are there nevertheless.
    assert turn.locator(".piece.critique").count() == len(_NAMES)
    assert turn.locator(".piece.judgement").count() == len(_NAMES)
    assert turn.locator(".piece.plan").count() == 2


def test_what_is_of_no_run_is_of_the_one_that_was_asked(page: Page, played: Played) -> None:
    opened(page, played)
    words = {"event": "RunError", "event_index": 1, "content": "the words of it"}
    Server(page, framed(BEGUN, words))
    ask(page, "Hello", state="failed")
    expect(page.locator(".turn .notice")).to_contain_text("the words of it")
    assert page.locator(".turn .member").count() == 0


def test_a_run_that_did_not_begin_says_why(page: Page, played: Played) -> None:
    opened(page, played)
    Server(page, begun=framed({"event": "RunError", "content": "it has no such input"}))
    ask(page, "Hello", state="failed")
    expect(page.locator(".turn .notice")).to_contain_text("it has no such input")


def test_what_comes_twice_or_late_is_shown_once(page: Page, played: Played) -> None:
    opened(page, played)
    some = [event(number, "RunContent", content=f"<{number}>") for number in range(1, 9)]
    Server(
        page,
        framed(BEGUN, *some[:4], some[1], some[3]) + 'data: {"event_index": 5, "half',
        framed(BEGUN, *some[2:], event(9, "RunCompleted", content="")),
    )
    ask(page, "Hello")
    assert text_of_answer(page) == "".join(f"<{number}>" for number in range(1, 9))


def test_a_server_that_has_forgotten_the_stream_is_not_asked_for_ever(
    page: Page, played: Played
) -> None:
    """It was begun anew in mid-run, after the run had been stored: the whole answer is there."""
    opened(page, played)
    gone = {"event": "replay", "run_id": RUN, "status": "COMPLETED", "total_events": 0}
    server = Server(page, framed(BEGUN, event(1, "RunContent", content="The first")), framed(gone))
    stored = [{"run_id": RUN, "status": "COMPLETED", "content": "The first and the last."}]
    page.route(re.compile("/sessions/[^/]+/runs"), lambda route: route.fulfill(json=stored))
    ask(page, "Hello")
    expect(page.locator(".turn")).to_contain_text("The first and the last.")
    expect(page.locator(".turn")).to_contain_text("whole answer")
    assert len(server.asked) == 2


def test_a_stream_that_can_not_be_had_for_a_while_is_tried_again(
    page: Page, played: Played
) -> None:
    opened(page, played)
    away = framed({"event": "error", "error": "event stream unavailable: timed out"})
    whole = framed(BEGUN, event(1, "RunContent", content="here"), event(2, "RunCompleted"))
    server = Server(page, away, away, whole)
    ask(page, "Hello")
    assert text_of_answer(page) == "here"
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [404, 500])
def test_a_stop_that_comes_too_late_leaves_the_end_as_it_is(
    page: Page, played: Played, status: int
) -> None:
    page.watched.allowed.append(f"status of {status}")  # type: ignore[attr-defined]
    opened(page, played)
    held: list[Route] = []
    server = Server(page, held.append)
    ask(page, "Hello", state=None)
    turn = page.locator(".turn")
    expect(turn).to_have_attribute("data-state", "running")
    page.wait_for_function("() => document.querySelector('#stop:not([hidden])')")
    while not held:
        page.wait_for_timeout(10)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.keyboard.press("Escape")
    expect(turn).to_have_attribute("data-state", "stopping")
    while not server.cancelled:
        page.wait_for_timeout(10)
    ends = framed(BEGUN, event(1, "RunContent", content="done"), event(2, "RunCompleted"))
    streamed(ends)(held[0])
    expect(turn).to_have_attribute("data-state", "completed")
    with page.expect_response(re.compile("/cancel")):
        server.cancelled[0].fulfill(status=status, json={"detail": "it is over"})
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    expect(turn).to_have_attribute("data-state", "completed")
    expect(page.locator("#trouble")).to_have_text("")
    assert len(server.cancelled) == 1


_FRAMES = """async ([url, pieces]) => {
  const { frames } = await import(url);
  const body = new ReadableStream({
    start(control) {
      for (const each of pieces) control.enqueue(Uint8Array.from(each));
      control.close();
    },
  });
  const seen = [];
  for await (const each of frames(body)) seen.push(each);
  return seen;
}"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_frames_are_whole_however_they_come(
    page: Page, played: Played, end: str, size: int
) -> None:
    opened(page, played)
    said = [{"a": "ä€😀\r\n\n\u2028data: "}, {"__proto__": {"owned": 1}}, {"b": ["\\n"]}]
    text = f": a comment{end}{end}"
    for each in said:
        body = json.dumps(each, ensure_ascii=False)
        text += f"event: x{end}data: {body}{end}id: 1{end}{end}"
    raw = text.encode() + b'data: {"c": "\xf0\x9f'
    pieces = [list(raw[at : at + size]) for at in range(0, len(raw), size)]
    seen = page.evaluate(_FRAMES, [_module(page, "stream.js"), pieces])
    assert [seen[0], seen[2], len(seen)] == [said[0], said[2], 3]
    assert page.evaluate("({}).owned === undefined")


def test_a_button_is_described_whatever_the_name_in_its_id(page: Page, played: Played) -> None:
    opened(page, played)
    described = page.evaluate(
        """async ([url, names]) => {
          const { bar } = await import(url);
          return names.map((name) => {
            const button = document.createElement("button");
            button.id = name;
            document.body.append(document.createElement("p"));
            document.body.lastChild.append(button);
            bar(button, "why " + name);
            // An attribute of ids, which spaces part.
            const ids = button.getAttribute("aria-describedby").split(/\\s+/);
            return ids.map((id) => document.getElementById(id)?.textContent).join("");
          });
        }""",
        [_module(page, "api.js"), names := ["stop-My own swarm", "stop-", "", "stop-\t<b>"]],
    )
    assert described == [f"why {name}" for name in names]


def _module(page: Page, name: str) -> str:
    source = page.locator("script[src*='chat.js']").get_attribute("src")
    assert source is not None
    return source.replace("chat.js", name)


def test_hostile_approvals_and_chats_are_shown_as_texts(page: Page, played: Played) -> None:
    """One that is odd hides none of the others, and no name becomes markup or turns a line."""
    odd = ["__proto__", EVIL, "a \" ' ] b", "\u202egnp.exe"]
    gates: list[dict[str, Any]] = [
        {"id": name, "swarm": name, "gate": name, "passed": name, "expires_at": name}
        | {"plan": {"goal": name, "steps": [None, {"action": name}, name]}}
        for name in odd
    ]
    gates += [{"id": "bare"}, {"id": "none", "plan": {"steps": {"length": 3}}}]
    gates += [{"id": "good", "swarm": "Good", "expires_at": "2027-01-01T00:00:00Z", "plan": None}]
    stops = [{"swarm": name, "by": name, "reason": name, "at": name} for name in odd]
    sessions = [{"session_id": name, "session_name": name, "updated_at": name} for name in odd]
    page.route("**/gates", lambda route: route.fulfill(json={"gates": gates}))
    page.route("**/swarm/stops", lambda route: route.fulfill(json={"stops": stops, "known": odd}))
    page.route("**/sessions?**", lambda route: route.fulfill(json={"data": sessions}))
    runs = [
        {"run_id": name, "status": name, "run_input": name, "content": name, "metrics": name}
        for name in odd
    ]
    page.route(re.compile("/sessions/[^/]+/runs"), lambda route: route.fulfill(json=runs))
    gone = {"event": "replay", "status": "COMPLETED", "total_events": 0}
    Server(page, framed(gone))
    opened(page, played)
    expect(page.locator("#waiting .waits")).to_have_count(len(gates))
    expect(page.locator("#swarms .swarm")).to_have_count(1 + len(odd))
    expect(page.locator("#sessions button")).to_have_count(len(odd))
    page.locator("#sessions button").nth(1).click()
    expect(page.locator(".turn[data-state]")).to_have_count(len(odd))
    assert page.locator("main img, main script, main iframe, main style").count() == 0
    assert "\u202e" not in page.locator("body").inner_text()
    page.locator("#swarms .swarm").last.get_by_role("button").click()
    expect(page.locator("#asking-title")).to_have_text("Let \ufffdgnp.exe go on")
    page.keyboard.press("Escape")
    assert page.title() == "Chat · agno-portkey"
