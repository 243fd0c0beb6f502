"""Calls that are answered from a cache, in all four forms, and those that never are."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, play
from pydantic import BaseModel

from agno_portkey import PortkeyModel, govern
from agno_portkey.cache import Cache, CacheFigures, CachePolicy
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import Block, Guard, Passage, Rewrite, guard
from agno_portkey.runs import TENANT_KEY
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall, Usage

USAGE = Usage(prompt_tokens=100, completion_tokens=20)


@pytest.fixture
def cache() -> Iterator[Cache]:
    made = Cache(":memory:")
    yield made
    made.close()


@pytest.fixture
def figures() -> CacheFigures:
    return CacheFigures()


@pytest.fixture
def model(portkey_provider: EmbeddedProvider, cache: Cache, figures: CacheFigures) -> Any:
    def made(policy: CachePolicy | None = None, **options: Any) -> PortkeyModel:
        return PortkeyModel(
            base_url=portkey_provider.url,
            api_key="k",
            cache=policy or CachePolicy(store=cache),
            observers=[figures],
            **options,
        )

    return made


def outcomes(figures: CacheFigures) -> dict[str, int]:
    return dict(
        sum((row.outcomes for row in figures.rows()), start=type(figures.rows()[0].outcomes)())
    )


def until(true: Callable[[], object]) -> None:
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("again", FORMS)
def test_the_same_is_asked_once_in_whatever_form(
    form: str, again: str, model: Any, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    portkey_provider.reply(Reply("All is well. Ça va 🌞", usage=USAGE, chunk_size=3))
    agent = Agent(model=model())
    first = play(agent, form, user_id="ann")
    second = play(agent, again, user_id="ann")
    assert first.content == second.content == "All is well. Ça va 🌞"
    assert len(portkey_provider.calls) == 1
    assert outcomes(figures) == {"miss": 1, "hit": 1}
    [row] = figures.rows()
    assert (row.saved_tokens, row.kept, row.hit_rate) == (120, 1, 0.5)
    assert second.output is not None
    assert second.output.metrics is not None
    assert second.output.metrics.total_tokens == 0
    if again in STREAMED:
        assert second.text_shown == "All is well. Ça va 🌞"
        if form in STREAMED:
            assert second.shown == first.shown


@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        ({"user_id": "ann"}, {"user_id": "bob"}, 2),
        ({"user_id": "ann"}, {"user_id": "ann"}, 1),
        ({}, {}, 2),
        (
            {"user_id": "ann", "metadata": {TENANT_KEY: "a"}},
            {"user_id": "ann", "metadata": {TENANT_KEY: "b"}},
            2,
        ),
    ],
    ids=["others", "the same", "nobody", "namesakes"],
)
def test_one_users_answers_are_for_nobody_else(
    first: dict[str, Any],
    second: dict[str, Any],
    calls: int,
    model: Any,
    portkey_provider: EmbeddedProvider,
) -> None:
    agent = Agent(model=model())
    for options in (first, second):
        assert agent.run("Hi", **options).status == RunStatus.completed
    assert len(portkey_provider.calls) == calls


def test_a_tenants_answers_are_its_own_and_public_ones_everybodys(
    model: Any, portkey_provider: EmbeddedProvider, cache: Cache
) -> None:
    shared = Agent(model=model(CachePolicy(store=cache, scope="tenant")))
    for user, tenant in (("ann", "a"), ("bob", "a"), ("ann", "b")):
        shared.run("Hi", user_id=user, metadata={TENANT_KEY: tenant})
    assert len(portkey_provider.calls) == 2
    shared.run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == 3
    public = Agent(model=model(CachePolicy(store=cache, scope="public")))
    for user in ("ann", "bob", None):
        public.run("Hi", user_id=user)
    assert len(portkey_provider.calls) == 4


class Fact(BaseModel):
    value: int


def test_what_does_not_fit_its_contract_is_not_kept_but_what_came_of_asking_again_is(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("no JSON at all")
    portkey_provider.reply('{"value": 7}')
    agent = Agent(model=model(), output_schema=Fact)
    for _ in range(2):
        assert agent.run("How many?", user_id="ann").content == Fact(value=7)
    # The answer that fitted in the end answers the question as it was asked first.
    assert len(portkey_provider.calls) == 2


def test_a_broken_output_is_asked_for_anew(model: Any, portkey_provider: EmbeddedProvider) -> None:
    from agno_portkey.contracts import Repair

    agent = Agent(model=model(repair=Repair(reasks=0)), output_schema=Fact)
    portkey_provider.reply("no JSON at all")
    assert agent.run("How many?", user_id="ann").status == RunStatus.error
    portkey_provider.reply('{"value": 7}')
    assert agent.run("How many?", user_id="ann").content == Fact(value=7)


@guard
def no_beans(passage: Passage) -> Block | None:
    return Block("beans") if passage.direction == "output" and "beans" in passage.text else None


class Counting(Guard):
    inline = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def inspect(self, passage: Passage) -> Rewrite | None:
        if passage.direction == "output":
            self.seen.append(passage.text)
        return None


@pytest.mark.parametrize("form", FORMS)
def test_what_a_guard_refuses_is_not_kept_and_hits_are_guarded(
    form: str, model: Any, portkey_provider: EmbeddedProvider
) -> None:
    counting = Counting()
    portkey_provider.reply("Spill the beans")
    agent = Agent(model=model(guards=[no_beans, counting]))
    assert play(agent, form, user_id="ann").status == RunStatus.error
    portkey_provider.reply("All is well")
    for _ in range(2):
        assert play(agent, form, user_id="ann").content == "All is well"
    assert len(portkey_provider.calls) == 2
    assert "".join(counting.seen).count("All is well") == 2


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("It was cut", finish_reason="length"), "not whole"),
        ("mail ann.jones@example.com", "personal data"),
        ("call +49 30 901820", "personal data"),
        ("the key is ghp_" + "a1B2c3D4e5F6" * 3, "secret"),
        ("write to <PERSON_1>", "placeholder"),
    ],
)
def test_what_must_not_be_kept_is_not(
    reply: Any, why: str, model: Any, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    agent = Agent(model=model())
    for _ in range(2):
        portkey_provider.reply(reply)
        agent.run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == 2
    [row] = figures.rows()
    assert row.reasons[why] == 2 or row.reasons["TruncatedStream"] == 2


def test_what_was_asked_must_not_be_kept_either(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    agent = Agent(model=model())
    for _ in range(2):
        agent.run("My card is 4111 1111 1111 1111, is that safe?", user_id="ann")
    assert len(portkey_provider.calls) == 2


def test_an_error_is_not_kept(model: Any, portkey_provider: EmbeddedProvider) -> None:
    from agno_portkey.routing.recovery.settings import Recovery

    agent = Agent(model=model(recovery=Recovery(attempts=1)))
    portkey_provider.fault(Fault.status(500), times=1)
    assert agent.run("Hi", user_id="ann").status == RunStatus.error
    assert agent.run("Hi", user_id="ann").status == RunStatus.completed


def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: sun"


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("form", ["run", "astream"])
def test_tool_calls_are_kept_only_where_they_may_be(
    kept: bool, form: str, model: Any, portkey_provider: EmbeddedProvider, cache: Cache
) -> None:
    def answer(request: Any) -> Any:
        if any(message.get("role") == "tool" for message in request.body["messages"]):
            return "Sun."
        return Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),))

    portkey_provider.when(lambda request: True, answer)
    agent = Agent(model=model(CachePolicy(store=cache, tool_calls=kept)), tools=[weather])
    for _ in range(2):
        ended = play(agent, form, user_id="ann")
        assert ended.content == "Sun."
        assert [tool.result for tool in ended.output.tools] == ["Oslo: sun"]  # type: ignore[union-attr]
    # What is said of a tool's result is kept: it stands in the question.
    assert len(portkey_provider.calls) == (2 if kept else 3)


@pytest.mark.parametrize("mode", ["off", "observe", "enforce", "junk"])
def test_a_variable_of_the_environment_rolls_it_back(
    mode: str,
    model: Any,
    portkey_provider: EmbeddedProvider,
    figures: CacheFigures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_CACHE_MODE", mode)
    agent = Agent(model=model())
    for _ in range(2):
        agent.run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == (1 if mode == "enforce" else 2)
    if mode == "observe":
        [row] = figures.rows()
        assert (row.would["hit"], row.outcomes["hit"]) == (1, 0)


def test_a_hundred_at_once_make_one_call_each_with_its_own_guards(
    model: Any, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    begun = threading.Event()

    def slow(request: Any) -> str:
        begun.wait(10)
        return "All is well"

    portkey_provider.when(lambda request: True, slow)
    guards = [Counting() for _ in range(100)]
    shared = model()

    async def asks(one: Counting) -> Any:
        twin = govern(Agent(model=shared), guards=[one])
        return await twin.arun("Hi", user_id="ann")

    async def every() -> list[Any]:
        asked = [asyncio.create_task(asks(one)) for one in guards]
        while not portkey_provider.calls:  # noqa: ASYNC110 - it is on another thread
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.2, begun.set)
        return await asyncio.gather(*asked)

    outputs = asyncio.run(every())
    assert {output.content for output in outputs} == {"All is well"}
    assert len(portkey_provider.calls) == 1
    assert all(one.seen == ["All is well"] for one in guards)


def test_threads_share_a_call_too(model: Any, portkey_provider: EmbeddedProvider) -> None:
    begun = threading.Event()
    portkey_provider.when(lambda request: True, lambda request: begun.wait(10) and "Well")
    agent = Agent(model=model())
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(agent.run, "Hi", user_id="ann") for _ in range(20)]
        until(lambda: portkey_provider.calls)
        begun.set()
        assert {each.result().content for each in asked} == {"Well"}
    assert len(portkey_provider.calls) == 1


def test_what_must_not_be_kept_is_not_shared_either(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    begun = threading.Event()

    def answer(request: Any) -> str:
        begun.wait(10)
        return "write to ann.jones@example.com"

    portkey_provider.when(lambda request: True, answer)
    agent = Agent(model=model())
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(agent.run, "Hi", user_id="ann") for _ in range(3)]
        until(lambda: portkey_provider.calls)
        begun.set()
        for each in asked:
            assert "ann.jones" in each.result().content
    assert len(portkey_provider.calls) == 3


def test_who_waits_for_a_call_that_fails_asks_by_itself(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    from agno_portkey.routing.recovery.settings import Recovery

    first = threading.Event()

    def answer(request: Any) -> Any:
        if len(portkey_provider.calls) == 1:
            first.wait(10)
            return Fault.status(400)
        return "Well"

    portkey_provider.when(lambda request: True, answer)
    agent = Agent(model=model(recovery=Recovery(attempts=1)))
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(agent.run, "Hi", user_id="ann") for _ in range(5)]
        until(lambda: portkey_provider.calls)
        first.set()
        contents = [each.result().content for each in asked]
    assert contents.count("Well") == 4


def test_who_asks_again_while_it_reads_its_stream_does_not_wait_for_itself(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Reply("All is well", chunk_size=2))
    agent = Agent(model=model())
    answers = []
    for event in agent.run("Hi", user_id="ann", stream=True, stream_events=True):
        if event.event == "RunContent" and not answers:
            answers.append(agent.run("Hi", user_id="ann").content)
    assert answers == ["All is well"]


def test_a_stream_that_is_left_is_not_kept(model: Any, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.when(lambda request: True, Reply("All is well", chunk_size=2))
    agent = Agent(model=model())
    stream = agent.run("Hi", user_id="ann", stream=True)
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert agent.run("Hi", user_id="ann").content == "All is well"
    assert len(portkey_provider.calls) == 2


class Broken:
    """A store that can do nothing."""

    place = "nowhere"

    def __getattr__(self, name: str) -> Any:
        def fails(*args: Any) -> Any:
            raise OSError("secret path")

        return fails


@pytest.mark.parametrize("form", FORMS)
def test_a_store_that_fails_breaks_no_call(
    form: str, model: Any, portkey_provider: EmbeddedProvider, caplog: Any
) -> None:
    agent = Agent(model=model(CachePolicy(store=Cache(Broken()))))  # type: ignore[arg-type]
    for _ in range(3):
        assert play(agent, form, user_id="ann").status == RunStatus.completed
    assert len(portkey_provider.calls) == 3
    # It is left alone for a while, and said once.
    said = [record for record in caplog.records if "nowhere" in record.getMessage()]
    assert len(said) == 1
    assert "secret path" not in caplog.text


def test_a_member_by_name_and_never_the_runner_or_a_judge(
    portkey_provider: EmbeddedProvider, cache: Cache
) -> None:
    from agno.team import Team

    from agno_portkey import Critique, Gate, Judgement, Plan

    def team() -> Team:
        llm = PortkeyModel(base_url=portkey_provider.url, api_key="k")
        planner = Agent(name="Planner", model=llm, output_schema=Plan)
        critic = Agent(name="Critic", model=llm, output_schema=Critique)
        judge = Agent(name="Judge", model=llm, output_schema=Judgement)
        runner = Agent(name="Runner", model=llm, tools=[weather])
        return Team(name="Release", members=[planner, critic, judge, runner], model=llm)

    policy = CachePolicy(store=cache)
    for role, why in (
        ("Runner", "is the Runner"),
        ("Judge", "is a Judge"),
        ("Planer", "nobody is called 'Planer'"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            govern(team(), runner="Runner", gate=Gate(), cache={role: policy})
    governed = govern(team(), runner="Runner", gate=Gate(), cache={"Planner": policy})
    held = {member.name: member.model.cache for member in governed.members}  # type: ignore[union-attr]
    assert held == {"Planner": policy, "Critic": None, "Judge": None, "Runner": None}
    with pytest.raises(ConfigurationError, match="a mapping of members"):
        govern(team(), runner="Runner", gate=Gate(), cache=policy)  # type: ignore[arg-type]


def test_a_shared_model_with_a_cache_of_its_own_has_none_for_runner_and_judge(
    portkey_provider: EmbeddedProvider, cache: Cache
) -> None:
    from agno.team import Team

    from agno_portkey import Gate, Judgement, Plan

    llm = PortkeyModel(base_url=portkey_provider.url, api_key="k", cache=CachePolicy(store=cache))
    members = [
        Agent(name="Planner", model=llm, output_schema=Plan),
        Agent(name="Judge", model=llm, output_schema=Judgement),
        Agent(name="Runner", model=llm, tools=[weather]),
    ]
    team = govern(Team(name="R", members=[*members], model=llm), runner="Runner", gate=Gate())
    held = {each.name: each.model.cache is not None for each in team.members}  # type: ignore[union-attr]
    assert held == {"Planner": True, "Judge": False, "Runner": False}


def test_a_file_that_another_process_has_at_the_moment_is_asked_again_at_once(
    model: Any, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    file = tmp_path / "answers.db"
    cache = Cache(str(file))
    agent = Agent(model=model(CachePolicy(store=cache)))
    agent.run("Hi", user_id="ann")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        # A new answer can't be kept now.
        assert agent.run("Ho", user_id="ann").status == RunStatus.completed
        assert not cache.resting
        other.execute("ROLLBACK")
    for _ in range(2):
        agent.run("Ho", user_id="ann")
    assert len(portkey_provider.calls) == 3
    cache.close()


def test_what_has_run_out_is_asked_anew_and_listed_no_more(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    now = [1e9]
    cache = Cache(":memory:", clock=lambda: now[0])
    agent = Agent(model=model(CachePolicy(store=cache, lifetime=60)))
    agent.run("Hi", user_id="ann")
    assert len(cache.entries()) == 1
    now[0] += 60
    assert cache.entries() == []
    agent.run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == 2
    cache.close()


def test_a_policy_that_can_be_written_survives_and_one_that_cannot_is_missed(
    portkey_provider: EmbeddedProvider,
) -> None:
    plain = PortkeyModel("m", base_url=portkey_provider.url, cache=CachePolicy(scope="tenant"))
    assert PortkeyModel.from_dict(plain.to_dict()).cache == CachePolicy(scope="tenant")
    judged = PortkeyModel(
        "m", base_url=portkey_provider.url, cache=CachePolicy(verifier=lambda compared: True)
    )
    with pytest.raises(ConfigurationError, match=r"cache: .* can't be rebuilt"):
        PortkeyModel.from_dict(judged.to_dict())


def test_what_was_looked_up_for_an_answer_is_noted_with_it(model: Any, cache: Cache) -> None:
    def looked_up(query: str, **given: Any) -> list[dict[str, Any]]:
        return [{"name": "handbook", "content": "Be kind."}, {"content": "no name"}]

    agent = Agent(model=model(), knowledge_retriever=looked_up, add_knowledge_to_context=True)
    assert agent.run("What is the rule?", user_id="ann").status == RunStatus.completed
    [entry] = cache.entries()
    assert entry.sources == ("handbook",)
