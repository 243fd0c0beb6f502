"""What the tests of the chat page do on it, and see in it."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Page, Response, expect

from agno_portkey.testing import EmbeddedProvider, Reply
from agno_portkey.testing.provider import Request

__all__ = [
    "LONG",
    "Bodies",
    "ask",
    "asked_once",
    "choose",
    "lead_until_waiting",
    "open_chat",
    "text_of_answer",
]

# Of different words, so that one that is lost or doubled is seen.
LONG = " ".join(f"word{number:03d}" for number in range(160))


def open_chat(page: Page, url: str, *, token: str | None = None) -> None:
    """Open the page, with a token where there is one, and wait until it can be used."""
    if token is not None:
        page.add_init_script(f"sessionStorage.setItem('agno-portkey.token', {json.dumps(token)})")
    page.goto(url)
    expect(page.locator("#place option").first).to_be_attached()


def choose(page: Page, name: str) -> None:
    page.get_by_label("Team or agent").select_option(label=name)
    expect(page.locator("#greeting")).to_have_text(f"Talk to {name}")


def ask(page: Page, text: str, *, state: str | None = "completed") -> None:
    """Send `text`, and wait for the state in which its run ends."""
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()
    if state is not None:
        expect(page.locator(".turn").last).to_have_attribute("data-state", state)


def asked_once(page: Page, text: str) -> str:
    """Send `text`; the state in which its run ends, whichever that is."""
    turns = page.locator(".turn")
    before = turns.count()
    ask(page, text, state=None)
    expect(turns).to_have_count(before + 1)
    expect(turns.last).to_have_attribute(
        "data-state", re.compile("completed|declined|error|stopped")
    )
    return str(turns.last.get_attribute("data-state"))


def text_of_answer(page: Page) -> str:
    """All that the leader, or the lone agent, has said in the last run."""
    return "".join(
        page.locator(".turn").last.locator(".run > .parts > .speech").all_text_contents()
    )


def lead_until_waiting(provider: EmbeddedProvider) -> None:
    """A leader that does not go round again for a plan that waits for a person."""

    def waits(request: Request) -> bool:
        last = request.tool_results[-1] if request.tool_results else ""
        return "delegate_task_to_member" in request.tools and "a person has to approve" in last

    provider.when(waits, Reply("The plan is ready, and somebody has to approve it."))


class Bodies:
    """The streams that a page has read, whole."""

    def __init__(self, page: Page) -> None:
        self._responses: list[Response] = []
        page.on("response", self._note)

    def _note(self, response: Response) -> None:
        if "text/event-stream" in response.headers.get("content-type", ""):
            self._responses.append(response)

    def text(self) -> str:
        """What came over them; one that the page has left is not kept by the browser."""
        told = []
        for response in self._responses:
            if response.url.endswith("/resume"):
                response.finished()
                told.append(response.text())
        return "\n".join(told)

    def events(self) -> list[dict[str, Any]]:
        lines = self.text().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
