"""The demo's story from the page, and what people decide there."""

from __future__ import annotations

from pathlib import Path

from chatting import ask, asked_once, choose, lead_until_waiting, open_chat
from playwright.sync_api import Page, expect
from serving_pages import playing, token

from agno_portkey import Gate
from agno_portkey.testing import Reply
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, tell


def test_the_story_is_refused_revised_approved_and_run(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        tell(played.provider)
        open_chat(page, played.chat)
        ask(page, REQUEST)
        turn = page.locator(".turn")
        gates = turn.locator(".gate")
        expect(gates).to_have_count(2)
        expect(gates.nth(0)).to_contain_text("Refused")
        expect(gates.nth(0)).to_contain_text("nothing is tested before it is deployed")
        expect(gates.nth(1)).to_contain_text("Passed")
        plans = turn.get_by_role("region", name="Plan")
        assert plans.count() == 2
        expect(plans.nth(0).get_by_text("Replaced")).to_be_visible()
        expect(plans.nth(1).get_by_text("Replaced")).to_be_hidden()
        assert plans.nth(0).locator(".step.done").count() == 0
        assert plans.nth(1).locator(".step.done").count() == 2
        expect(turn.get_by_role("region", name="Critique").first).to_contain_text("blocking")
        judged = turn.get_by_role("region", name="Judgement")
        expect(judged.nth(0)).to_contain_text("3 of 10")
        expect(judged.nth(1)).to_contain_text("9 of 10")
        members = turn.locator(".member").evaluate_all("all => all.map(one => one.dataset.member)")
        assert members == ["Planner", "Critic", "Judge", "Runner"] * 2
        expect(turn.locator(".run > .parts > .speech").last).to_have_text(
            "Release 2.1 is live on staging."
        )
        expect(turn.locator(".run > .head")).to_contain_text("tokens")
        expect(turn.locator(".member .routes").last).to_contain_text("gpt-4o-mini")
        assert [name for name, _ in played.release.done] == ["run_tests", "deploy"]
        # What was said is listed, and opened again with all that happened.
        page.get_by_role("button", name="New chat").click()
        expect(page.locator(".turn")).to_have_count(0)
        page.locator("#sessions button").first.click()
        expect(page.locator(".turn .gate")).to_have_count(2)
        expect(page.locator(".turn .step.done")).to_have_count(2)


def test_a_declined_run_says_all_its_reasons(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        tell(played.provider, plans=[FLAWED] * 9)
        open_chat(page, played.chat)
        ask(page, REQUEST, state="declined")
        declined = page.locator(".declined")
        expect(declined).to_contain_text("Declined: the Runner did not run")
        expect(declined.get_by_role("listitem")).to_have_count(4)
        expect(declined).to_contain_text("its score is 3, and 8 is needed")
        assert played.release.done == []


def test_a_plan_that_waits_is_approved_and_runs_when_asked_again(
    page: Page, tmp_path: Path
) -> None:
    with playing(tmp_path, gate=Gate(name="release", min_score=8, approval=True)) as played:
        lead_until_waiting(played.provider)
        tell(played.provider, plans=[SOUND])
        open_chat(page, played.chat)
        ask(page, REQUEST, state="waiting")
        expect(page.locator(".gate")).to_contain_text("Waiting for a person")
        page.get_by_role("button", name="Go to approvals").click()
        expect(page.locator("#desk-title")).to_be_focused()
        page.get_by_role("button", name="Approve…").click()
        page.get_by_role("button", name="Approve", exact=True).click()
        page.get_by_role("button", name="Run it now").click()
        expect(page.locator(".turn")).to_have_count(2)
        expect(page.locator(".turn").last).to_have_attribute("data-state", "completed")
        expect(page.locator(".turn").last.locator(".gate")).to_contain_text("Passed")
        assert [name for name, _ in played.release.done] == ["run_tests", "deploy"]


def test_an_approved_plan_is_kept_for_its_own_team_and_its_turn(page: Page, tmp_path: Path) -> None:
    gate = Gate(name="release", min_score=8, approval=True)
    with playing(tmp_path, gate=gate) as played:
        slow = Reply("Not yet.", delay=60)
        played.provider.when(lambda request: request.last_user == "Wait a bit", slow)
        lead_until_waiting(played.provider)
        tell(played.provider, plans=[SOUND])
        open_chat(page, played.chat)
        ask(page, REQUEST, state="waiting")
        page.get_by_role("button", name="Approve…").click()
        page.get_by_role("button", name="Approve", exact=True).click()
        go = page.get_by_role("button", name="Run it now")
        expect(go).to_be_enabled()
        choose(page, "Echo")
        expect(go).to_have_attribute("aria-disabled", "true")
        expect(go).to_have_accessible_description("Pick Release first.")
        go.dispatch_event("click")
        expect(page.locator(".turn")).to_have_count(0)
        choose(page, "Release")
        expect(go).not_to_have_attribute("aria-disabled", "true")
        # While another run goes on nothing is sent, and the plan stays at hand.
        ask(page, "Wait a bit", state="running")
        go.click()
        expect(page.locator("#announcer")).to_contain_text("Another run goes on")
        expect(go).to_be_visible()
        expect(page.locator(".turn")).to_have_count(1)
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.locator(".turn").last).to_have_attribute("data-state", "stopped")
        go.click()
        expect(page.locator(".turn").last).to_have_attribute("data-state", "completed")
        assert [name for name, _ in played.release.done] == ["run_tests", "deploy"]


def test_what_the_gate_refused_is_overridden_for_a_reason_alone(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        tell(played.provider, plans=[FLAWED] * 9)
        open_chat(page, played.chat)
        ask(page, REQUEST, state="declined")
        page.get_by_role("button", name="Override…").click()
        page.get_by_role("button", name="Override", exact=True).click()
        # Nothing is sent without a reason.
        expect(page.locator("#asking")).to_be_visible()
        page.get_by_label("Reason (needed)").fill("the tests ran by hand")
        page.get_by_role("button", name="Override", exact=True).click()
        expect(page.get_by_role("button", name="Run it now")).to_be_visible()


def test_a_token_without_the_scope_is_told_which_one(page: Page, tmp_path: Path) -> None:
    scopes = ("teams:read", "teams:run", "agents:read", "sessions:read", "gates:read")
    gate = Gate(name="release", min_score=8, approval=True)
    with playing(tmp_path, jwt=True, gate=gate) as played:
        lead_until_waiting(played.provider)
        tell(played.provider, plans=[SOUND])
        open_chat(page, played.chat, token=token(*scopes))
        ask(page, REQUEST, state="waiting")
        for name, scope in (
            ("Approve…", "gates:approve"),
            ("Revoke…", "gates:approve"),
            ("Stop the swarm…", "swarm:stop"),
        ):
            button = page.get_by_role("button", name=name)
            expect(button).to_have_attribute("aria-disabled", "true")
            expect(button).to_have_accessible_description(f"Your token lacks the scope {scope}.")
            button.dispatch_event("click")
            expect(page.locator("#asking")).to_be_hidden()


def test_a_token_that_may_not_run_is_told_so(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path, jwt=True) as played:
        open_chat(page, played.chat, token=token("teams:read", "agents:read"))
        expect(page.locator("#trouble")).to_have_text("Your token lacks the scope teams:run.")
        expect(page.get_by_role("button", name="Send")).to_have_attribute("aria-disabled", "true")


def test_without_a_token_the_page_asks_for_one(page: Page, tmp_path: Path) -> None:
    page.watched.allowed.append("401")  # type: ignore[attr-defined]
    with playing(tmp_path, jwt=True) as played:
        page.goto(played.chat)
        page.get_by_role("button", name="Give a token").click()
        scopes = ("teams:read", "teams:run", "agents:read", "sessions:read")
        page.get_by_role("textbox", name="Token").fill(token(*scopes, sub="ann"))
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#who")).to_contain_text("ann")
        expect(page.locator("#greeting")).to_have_text("Talk to Release")


def test_the_kill_switch_stops_a_swarm_and_lets_it_go_on(page: Page, tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        tell(played.provider)
        open_chat(page, played.chat)
        page.get_by_role("button", name="Stop the swarm…").click()
        page.get_by_label("Reason (needed)").fill("an incident")
        page.get_by_role("button", name="Stop it").click()
        expect(page.locator("#swarms")).to_contain_text("an incident")
        page.get_by_label("Message").fill(REQUEST)
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".turn").last).to_have_attribute("data-state", "declined")
        expect(page.locator(".turn").last).to_contain_text("an incident")
        assert played.release.done == []
        assert played.provider.calls == []
        page.get_by_role("button", name="Let it go on…").click()
        page.get_by_label("Reason").fill("it is over")
        page.get_by_role("button", name="Let it go on", exact=True).click()
        expect(page.locator("#swarms")).not_to_contain_text("an incident")
        # What the team knows of stops is half a second old at most, and not none.
        while (ended := asked_once(page, REQUEST)) == "declined":
            expect(page.locator(".turn").last).to_contain_text("an incident")
        assert ended == "completed"
        assert [name for name, _ in played.release.done] == ["run_tests", "deploy"]
