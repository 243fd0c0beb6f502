"""Each panel says what happened: governed runs, against the ledger and what was heard of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.tools.function import Function
from board_spans import NOON, added_up, agno_db, around, call, put, run, span, totals

from agno_portkey import Event, Gate, PortkeyModel, govern, telemetry
from agno_portkey.cache import CachePolicy
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.telemetry.dashboard import Asked, Board
from agno_portkey.telemetry.dashboard.panels import PANELS
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.replies import Usage
from agno_portkey.testing.story import REQUEST, Release, release_team, tell


@pytest.fixture
def db(database: str) -> Iterator[Any]:
    with agno_db(database) as found:
        yield found


class NoCodenames(Guard):
    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project") if "bluebird" in passage.text else None


def now(**of: Any) -> Asked:
    return around(datetime.now(UTC), **of)


def test_the_story_adds_up(db: Any, portkey_provider: EmbeddedProvider) -> None:
    """A team that is refused, plans again, is cleared, and runs: all that is said of it is true."""
    heard: list[Event] = []
    ledger = Ledger(db)
    with telemetry.setup(db=db) as held:
        tell(portkey_provider)
        model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
        team = govern(
            release_team(model, Release()),
            runner="Runner",
            gate=Gate(name="release", min_score=8),
            tags={"cost_center": "cc-42", "environment": "demo"},
            ledger=ledger,
            observers=[heard.append],
        )
        team.run(REQUEST)
        assert held.flush()
    ledger.flush()
    board = Board(db)

    for by in ("model", "swarm", "cost_center", "role"):
        told = board.panel("usage", now(), by)
        booked = {each.name: each for each in ledger.sums(by)}
        assert totals(told).keys() == booked.keys()
        for key, figures in totals(told).items():
            of = booked[key]
            assert figures["input_tokens"] == of.input_tokens
            assert figures["output_tokens"] == of.output_tokens
            assert figures["cost"] == of.cost
            assert figures["unpriced"] == 0
        assert added_up(told, "cost") == {key: each.cost for key, each in booked.items()}

    verdicts = [each.verdict for each in heard if each.kind == "gate" and each.verdict]
    passed = [each.passed for each in verdicts]
    assert passed.count(False) == 1
    [gates] = totals(board.panel("gates", now())).values()
    assert (gates["passed"], gates["refused"]) == (passed.count(True), passed.count(False))
    scores = [each.score for each in verdicts if each.score is not None]
    assert gates["most_score"] == pytest.approx(max(scores))
    assert gates["score"] == pytest.approx(sum(scores) / len(scores))

    calls = [each for each in heard if each.kind == "call"]
    [latency] = totals(board.panel("latency", now())).values()
    assert latency["count"] == len(calls)
    [errors] = totals(board.panel("errors", now())).values()
    assert (errors["attempts"], errors["failed"]) == (len(calls), 0)

    success = totals(board.panel("success", now()))[""]
    assert (success["runs"], success["count"]) == (1, 1)
    assert success["cost"] == sum(each.cost for each in ledger.sums("role"))
    # Refused and then cleared, with tools that ran behind the gate: as it should be.
    assert "incidents" not in success
    assert (success["passed"], success["refused"]) == (1, 1)

    found = board.filters()
    assert found["swarms"] == ["Release"]
    assert {"Planner", "Critic", "Judge", "Runner"} <= set(found["roles"])
    assert found["environments"] == ["demo"]


def test_faults_hits_and_blocks(
    db: Any, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    quick = Recovery(attempts=3, wait=0.001, max_wait=0.01)
    model = PortkeyModel(
        base_url=portkey_provider.url,
        api_key="k",
        recovery=quick,
        guards=[NoCodenames()],
        cache=CachePolicy(scope="public", store=f"sqlite:///{tmp_path / 'cache.db'}"),
    )
    agent = Agent(name="Desk", model=model)
    with telemetry.setup(db=db) as held:
        portkey_provider.fault(Fault.status(500))
        portkey_provider.reply(Reply("Hello", usage=Usage(7, 3)))
        agent.run("Hi")
        agent.run("Hi")
        agent.run("Where is bluebird?")
        portkey_provider.fault(Fault.status(401))
        agent.run("Who are you?")
        assert held.flush()
    board = Board(db)

    [errors] = totals(board.panel("errors", now())).values()
    assert (errors["attempts"], errors["failed"], errors["answered"]) == (3, 2, 1)
    kinds = board.panel("errors", now())["error_types"]
    assert sum(group["totals"]["failed"] for group in kinds) == 2

    [cache] = totals(board.panel("cache", now())).values()
    assert cache["hit"] == 1
    [usage] = totals(board.panel("usage", now())).values()
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 3)
    # What came out of the cache is no latency of the provider's.
    [latency] = totals(board.panel("latency", now())).values()
    assert latency["count"] == 1

    guards = totals(board.panel("guards", now()))["NoCodenames"]
    assert guards["blocked"] == 1
    assert guards["checks"] > guards["blocked"]

    # One was refused by its guard, which is no incident; the other failed.
    success = totals(board.panel("success", now()))[""]
    assert (success["runs"], success["count"], success["incidents"]) == (4, 2, 1)
    behind = board.runs("incidents", now())["runs"]
    assert [each["outcome"] for each in behind] == ["failed"]
    told = board.run(behind[0]["trace_id"])
    assert told is not None
    assert "GatewayUnauthorized" in str(told["spans"])


def test_a_tool_that_no_gate_has_cleared_is_an_incident(db: Any) -> None:
    def tool(trace: str, at: datetime = NOON, **ours: Any) -> dict[str, Any]:
        return span("tool", at, trace=trace, **{"tool": "deploy", "mode": "enforce", **ours})

    def gate(trace: str, decision: str, at: datetime, **ours: Any) -> dict[str, Any]:
        said = {"gate.decision": decision}
        return span("gate", at, trace=trace, source="g", said=said, **ours)

    before, after = NOON - timedelta(seconds=1), NOON + timedelta(seconds=1)
    put(
        db,
        *(tool("cleared"), gate("cleared", "passed", before)),
        *(tool("refused"), gate("refused", "refused", before)),
        *(tool("too early"), gate("too early", "passed", after)),
        # A run that has waited for a person goes on in another trace; runs of no name are no run.
        *(tool("goes on", run_id="r"), gate("waited", "passed", before, run_id="r")),
        *(tool("another's", run_id="s"), gate("of none", "passed", before)),
        tool("observed", mode="observe"),
        tool("held", decision="refused"),
    )
    board = Board(db)
    assert totals(board.panel("incidents", around()))["tool"]["incidents"] == 3
    found = {each["trace_id"] for each in board.runs("incidents", around())["runs"]}
    assert found == {"refused", "too early", "another's"}


def test_a_run_that_a_person_let_go_on_is_no_incident(
    portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    release = Release()
    database = SqliteDb(db_file=str(tmp_path / "agno.db"))
    with telemetry.setup(db=database) as held:
        tell(portkey_provider)
        model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
        team = release_team(model, release, db=database)
        deploy = Function.from_callable(release.deploy)
        deploy.requires_confirmation = True
        runner = next(each for each in team.members if each.name == "Runner")  # type: ignore[union-attr]
        runner.tools = [release.run_tests, deploy]  # type: ignore[union-attr]
        govern(team, runner="Runner", gate=Gate(min_score=8))
        waits: Any = team.run(REQUEST, session_id="s")
        for need in waits.active_requirements:
            need.confirm()
        team.continue_run(run_response=waits, session_id="s")
        assert held.flush()
    assert len(release.done) == 2
    success = totals(Board(database).panel("success", now()))[""]
    assert (success["runs"], success["passed"], success.get("incidents")) == (2, 1, None)


REFUSALS = {
    "guard": span("guard", decision="refused", mode="enforce", trace="t"),
    "contract": span("contract", decision="refused", trace="t"),
    "declined": span("declined", mode="enforce", trace="t", said={"gate.decision": "refused"}),
    "budget": span("budget", mode="enforce", trace="t"),
    "stop": span("stop", mode="enforce", trace="t"),
    "limit": span("limit", mode="enforce", trace="t"),
}
NONE = {
    "guard that observes": span("guard", decision="refused", mode="observe", trace="t"),
    "guard that passed": span("guard", decision="passed", mode="enforce", trace="t"),
    "budget that observes": span("budget", mode="observe", trace="t"),
    "guard of another run": span("guard", decision="refused", mode="enforce", trace="other"),
}


@pytest.mark.parametrize("what", [*REFUSALS, *NONE])
def test_what_was_refused_is_no_incident(db: Any, what: str) -> None:
    failed = {"error.type": "error"}
    put(db, run(trace="t", said=failed), {**REFUSALS, **NONE}[what], run(trace="well"))
    told = totals(Board(db).panel("incidents", around()))
    assert told.get("run", {}).get("incidents", 0) == (what in NONE)


def test_circuits_are_as_they_were_last_told(db: Any) -> None:
    def circuit(minutes: float, target: str, state: str) -> dict[str, Any]:
        at = NOON + timedelta(minutes=minutes)
        return span("circuit", at, 0, target=target, state=state, before="closed")

    put(
        db,
        circuit(-300, "old", "open"),
        *(circuit(-5, "a", "open"), circuit(-4, "a", "half_open"), circuit(-3, "a", "closed")),
        *(circuit(-5, "b", "half_open"), circuit(-2, "b", "open"), circuit(300, "b", "closed")),
        span("attempt", target="a", said={"gen_ai.provider.name": "openai"}),
        span("attempt", said={"gen_ai.provider.name": "openai", "error.type": "X"}),
    )
    told = Board(db).panel("routes", around())
    states = {each["target"]: each["state"] for each in told["circuits"]}
    assert states == {"a": "closed", "b": "open", "old": "open"}
    assert [each["state"] for each in told["changes"]].count("open") == 2
    assert len(told["changes"]) == 5
    assert totals(told)["a"] == {"attempts": 1, "failed": 0}
    assert totals(told)["openai"] == {"attempts": 1, "failed": 1}


def test_filters_leave_out_the_others(db: Any) -> None:
    of = {"swarm": "S", "role": "R", "environment": "e"}
    put(db, call(**of), *(call(**{**of, name: "other"}) for name in of), call())
    board = Board(db)

    def count(**asked: str) -> int:
        told = totals(board.panel("latency", around(**asked)))
        return int(told.get("m", {}).get("count", 0))

    assert count() == 5
    assert [count(**{name: value}) for name, value in of.items()] == [3, 3, 3]
    assert count(**of) == 1
    assert count(swarm="other") == 1
    assert count(swarm="") == 1
    assert count(swarm="S' OR 1=1 --") == 0
    assert board.filters()["swarms"] == ["S", "other"]


def test_the_range_is_from_its_first_moment_to_before_its_last(db: Any) -> None:
    def count(since: datetime, until: datetime) -> int:
        asked = Asked(*(int(each.timestamp() * 1_000) for each in (since, until)))
        told = Board(db).panel("latency", asked)
        assert sum(added_up(told, "count").values()) == totals(told).get("m", {"count": 0})["count"]
        return int(totals(told).get("m", {"count": 0})["count"])

    put(db, call(NOON))
    tick = timedelta(milliseconds=1)
    assert count(NOON, NOON + tick) == 1
    assert count(NOON - tick, NOON) == 0
    assert count(NOON + tick, NOON + timedelta(days=300)) == 0
    assert count(NOON - timedelta(days=300), NOON + timedelta(days=60)) == 1


@pytest.mark.parametrize("hours", [0.001, 0.25, 1, 6, 24, 168, 9_000])
def test_steps_are_few_and_cover_the_range(hours: float) -> None:
    asked = around(hours=hours / 2)
    times = asked.times
    assert 1 <= len(times) <= 74
    assert times[0] <= asked.since < times[0] + asked.step
    assert times[-1] < asked.until <= times[-1] + asked.step


def test_rare_names_are_told_as_the_rest(db: Any) -> None:
    put(db, *(call(model=f"m{n:02}") for n in range(20) for _ in range(2 if n < 8 else 1)))
    told = Board(db).panel("usage", around())
    assert told["left_out"] == 12
    figures = totals(told)
    assert {key for key in figures if key is not None} == {f"m{n:02}" for n in range(8)}
    assert figures[None]["calls"] == 12
    assert told["groups"][-1]["key"] is None


def test_what_is_only_observed_is_no_other_decision(db: Any) -> None:
    decided = {"gate.decision": "refused"}
    put(db, span("gate", source="g", said=decided))
    put(db, span("gate", source="g", would="decline", said=decided))
    assert totals(Board(db).panel("gates", around()))["g"]["refused"] == 1


@pytest.mark.parametrize("panel", PANELS)
def test_nothing_is_no_figure(db: Any, panel: str) -> None:
    put(db, span("plan"))
    told = Board(db).panel(panel, around())
    assert [group["totals"] for group in told["groups"]] in ([], [{}])
    assert Board(db).runs(panel, around())["runs"] == []


def test_the_runs_behind_a_figure(db: Any) -> None:
    put(
        db,
        *(run(ms=100, trace="x", role="R", swarm="S"), call(ms=50, trace="x", model="a")),
        *(run(ms=900, trace="y", role="R", swarm="S"), call(ms=800, trace="y", model="b")),
        call(ms=1, trace="z", model="b", said={"gen_ai.usage.cost": 0.5}),
    )
    board = Board(db)
    found = board.runs("latency", around())["runs"]
    # The slowest call first.
    assert [each["trace_id"] for each in found] == ["y", "x", "z"]
    assert (found[0]["ms"], found[0]["role"], found[0]["outcome"]) == (900, "R", "answered")
    assert (found[2]["outcome"], found[2]["cost"]) == (None, 500_000_000)
    only = board.runs("latency", around(), key="b")["runs"]
    assert [each["trace_id"] for each in only] == ["y", "z"]
    assert board.runs("latency", around(NOON + timedelta(hours=9)))["runs"] == []
    assert len(board.runs("usage", around(), "swarm", key="")["runs"]) == 3


def test_a_waterfall_stands_below_what_began_it(db: Any) -> None:
    later = NOON + timedelta(milliseconds=40)
    put(
        db,
        run(ms=100, id="root", trace="t"),
        call(later, 50, id="call", parent="root", trace="t"),
        span("attempt", later, 49, id="attempt", parent="call", trace="t"),
        span("guard", NOON, 1, id="first", parent="root", trace="t", decision="passed"),
        # Ones that stand below themselves, each other, and what is not there.
        span("plan", id="own", parent="own", trace="t"),
        *(span("plan", id=a, parent=b, trace="t") for a, b in (("p", "q"), ("q", "p"))),
        span("plan", id="lost", parent="gone", trace="t"),
    )
    told = Board(db).run("t")
    assert told is not None
    spans = {each["id"]: each for each in told["spans"]}
    assert len(told["spans"]) == 8
    order = [each["id"] for each in told["spans"]]
    assert order.index("root") + 1 == order.index("first")
    assert order.index("call") + 1 == order.index("attempt")
    assert [spans[id]["depth"] for id in ("root", "first", "call", "attempt")] == [0, 1, 1, 2]
    assert (spans["call"]["start"], spans["call"]["ms"]) == (40, 50)
    assert spans["first"]["facts"] == ["passed"]
    assert told["ms"] == 100
    assert sorted((spans["p"]["depth"], spans["q"]["depth"])) == [0, 1]
    assert (spans["own"]["depth"], spans["lost"]["parent"]) == (0, None)
