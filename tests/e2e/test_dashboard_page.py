"""The dashboard in a browser: true figures of real runs, down to one run's waterfall."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.db.sqlite import SqliteDb
from playwright.sync_api import Browser, Page, expect
from serving_pages import Played, playing, token

from agno_portkey import telemetry
from agno_portkey.telemetry.dashboard import Asked, Board
from agno_portkey.testing import Reply
from agno_portkey.testing.replies import Usage
from agno_portkey.testing.story import REQUEST, tell

pytestmark = pytest.mark.enable_socket

TAGS = {"cost_center": "cc-42", "environment": "demo"}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, Any, Board]]:
    """The story was run, with telemetry, behind a playground; what flushes, and the figures."""
    folder = tmp_path_factory.mktemp("dashboard")
    db = SqliteDb(db_file=str(folder / "agno.db"))
    with telemetry.setup(db=db) as held, playing(folder, tags=TAGS) as played:
        tell(played.provider)
        played.team.run(REQUEST)
        assert held.flush()
        yield played, held, Board(db)
    db.db_engine.dispose()


def totals(board: Board, panel: str) -> dict[Any, Any]:
    told = board.panel(panel, Asked(0, 1 << 42))
    return {group["key"]: group["totals"] for group in told["groups"]}


def opened(page: Page, url: str) -> None:
    page.goto(f"{url}/portkey/")
    expect(page.locator("#state")).to_contain_text("Updated")


def figures(page: Page, card: str) -> dict[str, list[str]]:
    """The table of a card, by its first column."""
    box = page.locator(f"#card-{card}")
    if box.locator("details").get_attribute("open") is None:
        box.locator("summary").click()
    rows = box.locator("table").first.locator("tbody tr")
    expect(rows.first).to_be_visible()
    return {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows.all()
    }


def test_panels_tell_what_the_runs_were(page: Page, traced: tuple[Played, Any, Board]) -> None:
    played, _, board = traced
    opened(page, played.url)
    usage = totals(board, "usage")["gpt-4o-mini"]
    shown = figures(page, "usage")["gpt-4o-mini"]
    told = [f"{usage[name]:,}" for name in ("calls", "input_tokens", "output_tokens")]
    assert shown[:3] == told
    assert float(shown[3].removeprefix("$")) == pytest.approx(usage["cost"] / 1e9, rel=0.05)
    gates = totals(board, "gates")["release"]
    assert figures(page, "gates")["release"][:2] == [str(gates["passed"]), str(gates["refused"])]
    latency = totals(board, "latency")["gpt-4o-mini"]
    assert figures(page, "latency")["gpt-4o-mini"][0] == str(latency["count"])

    runs = totals(board, "success")[""]["runs"]
    expect(page.locator("[data-tile=cost]")).to_contain_text(f"{runs} run")
    expect(page.locator("[data-tile=incidents] .figure")).to_have_text("0")
    expect(page.locator("[data-tile=passes] .figure")).to_have_text("50.0 %")
    # One of two is no rate.
    expect(page.locator("[data-tile=passes]")).to_contain_text("too few to say")
    expect(page.locator("[data-tile=hits]")).to_contain_text("nothing was looked up")
    # What there is nothing of says what would be there.
    expect(page.locator("#card-cache")).to_contain_text("No call was looked up in a cache.")
    expect(page.locator("#card-latency canvas")).to_have_count(1)


def test_from_a_figure_to_its_runs_and_to_the_waterfall(
    page: Page, traced: tuple[Played, Any, Board]
) -> None:
    played, _, board = traced
    opened(page, played.url)
    figures(page, "gates")
    # By keyboard, as all of it can be had.
    button = page.locator("#card-gates tbody button").first
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#drill-title")).to_contain_text("Gate decisions and scores: release")
    page.locator("#drill-body tbody button").first.click()
    expect(page.locator("#drill-title")).to_have_text("invoke_agent Release")
    found = board.runs("gates", Asked(0, 1 << 42))["runs"][0]
    told = board.run(found["trace_id"])
    assert told is not None
    expect(page.locator("li.span")).to_have_count(len(told["spans"]))
    expect(page.locator("li.span", has_text="gate release").last).to_contain_text("passed, score")
    # Each begins and ends within what is drawn.
    lane = page.locator("li.span .lane").first.bounding_box()
    bar = page.locator("li.span .bar").last.bounding_box()
    assert lane is not None
    assert bar is not None
    assert lane["x"] - 1 <= bar["x"] <= bar["x"] + bar["width"] <= lane["x"] + lane["width"] + 3
    page.locator("#drill-back").click()
    expect(page.locator("#drill-body table")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#drill")).to_be_hidden()


def test_a_click_in_a_chart_opens_the_runs_of_then(
    page: Page, traced: tuple[Played, Any, Board]
) -> None:
    played, _, _ = traced
    opened(page, played.url)
    chart = page.locator("#card-usage canvas")
    size = chart.bounding_box()
    assert size is not None
    chart.scroll_into_view_if_needed()
    # In the middle of the hour nothing was: that is told, too.
    chart.click(position={"x": size["width"] / 2, "y": size["height"] / 2})
    expect(page.locator("#drill-title")).to_contain_text("Tokens and cost: ")
    expect(page.locator("#drill-body")).to_contain_text("no runs behind this figure")
    page.keyboard.press("Escape")
    # All was just now: one of the last steps.
    found = []
    for left in range(18, 120, 6):
        chart.click(position={"x": size["width"] - left, "y": size["height"] - 70})
        if not page.locator("#drill").is_visible():
            continue
        expect(page.locator("#drill-body")).not_to_contain_text("Loading")
        found.append(page.locator("#drill-body tbody tr").count())
        page.keyboard.press("Escape")
        if found[-1]:
            break
    assert found[-1] == 1


def test_filters(page: Page, traced: tuple[Played, Any, Board]) -> None:
    played, _, _ = traced
    opened(page, played.url)
    everything = figures(page, "usage")["gpt-4o-mini"][0]
    with page.expect_request(lambda asked: "swarm=Release" in asked.url):
        page.select_option("#swarm", "Release")
    page.select_option("#role", "Judge")
    calls = page.locator("#card-usage tbody tr td").first
    expect(calls).not_to_have_text(everything)
    expect(calls).to_have_text(re.compile(r"^\d$"))
    page.select_option("#environment", label="(none)")
    expect(page.locator("#card-usage")).to_contain_text("No call or embedding has ended.")
    page.select_option("#environment", "demo")
    expect(calls).to_have_text(re.compile(r"^\d$"))
    page.select_option("#range", "own")
    expect(page.locator("#since")).to_be_visible()
    page.fill("#since", "2020-01-01T00:00:00")
    page.fill("#until", "2020-01-02T00:00:00")
    page.locator("#until").dispatch_event("change")
    expect(page.locator("#card-usage")).to_contain_text("No call or embedding has ended.")
    page.fill("#until", "2019-01-02T00:00:00")
    page.locator("#until").dispatch_event("change")
    expect(page.locator("#trouble")).to_contain_text("a later one until which")


def test_what_runs_meanwhile_appears(page: Page, traced: tuple[Played, Any, Board]) -> None:
    played, held, board = traced
    opened(page, played.url)
    before = int(figures(page, "usage")["gpt-4o-mini"][0])
    played.provider.when(lambda _: True, Reply("Hello", usage=Usage(7, 3)))
    played.team.run("Say hello")
    assert held.flush()
    count = totals(board, "usage")["gpt-4o-mini"]["calls"]
    assert count > before
    # Nobody touches the page.
    expect(page.locator("#card-usage tbody tr td").first).to_have_text(str(count))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_small_screen_is_enough(
    chrome: Browser, traced: tuple[Played, Any, Board], theme: Any
) -> None:
    played, _, _ = traced
    context = chrome.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)
    page = context.new_page()
    opened(page, played.url)
    wide = page.locator("#board").bounding_box()
    assert wide is not None
    assert wide["width"] <= 390
    # Nothing stands out of the page to the right.
    for each in page.locator(".card, .tile, .asked").all():
        box = each.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
    context.close()


def test_who_may_not_sees_why(page: Page, tmp_path: Path) -> None:
    page.watched.allowed += ["401", "403"]  # type: ignore[attr-defined]
    with playing(tmp_path, jwt=True) as played:
        page.goto(f"{played.url}/portkey/")
        expect(page.locator("#trouble")).to_contain_text("give a token")
        page.locator("#sign").click()
        page.fill("#asking-said", token("gates:read"))
        page.locator("#asking-yes").click()
        expect(page.locator("#trouble")).to_contain_text("lacks the scope dashboard:read")
        page.locator("#sign").click()
        page.fill("#asking-said", token("dashboard:read"))
        page.locator("#asking-yes").click()
        expect(page.locator("#state")).to_contain_text("Updated")
        expect(page.locator("#trouble")).to_be_empty()
        # Nothing was traced here yet: the page says what to do.
        expect(page.locator("#card-latency")).to_contain_text("telemetry.setup(db=")


def test_a_database_that_is_away_is_said(page: Page, tmp_path: Path) -> None:
    page.watched.allowed += ["503"]  # type: ignore[attr-defined]
    with playing(tmp_path) as played:
        opened(page, played.url)
        (tmp_path / "agno.db").unlink()
        page.select_option("#range", "900")
        expect(page.locator("#trouble")).to_contain_text("What is shown is of")
        expect(page.locator("#state")).to_have_text("Not up to date")
