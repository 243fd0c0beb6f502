"""On an event loop nothing of ours blocks: each part plays once to warm up, and once watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.knowledge.document import Document
from agno.team import Team
from agno.tools.function import Function
from agno.vectordb.lancedb import LanceDb
from agno.workflow import Workflow
from watchdog import Watchdog

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.cache import CachePolicy
from agno_portkey.contracts import Plan
from agno_portkey.gates import BudgetCheck
from agno_portkey.gates.history import History
from agno_portkey.hooks import ProgressHook, TagHook
from agno_portkey.knowledge import (
    BatchJob,
    Feedback,
    HybridSearch,
    LocalEmbedder,
    PortkeyEmbedder,
    Rewrites,
    arun_many,
)
from agno_portkey.routing import Fallback, Target
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, Release, release_team, tell

Scene = Callable[[], Awaitable[object]]
TEXTS = [f"Ann Miller of {number} Long Lane asks about order {number}." for number in range(40)]


class Stage:
    """What scenes play with: a provider, and a folder of their own."""

    def __init__(self, provider: EmbeddedProvider, folder: Path) -> None:
        self.provider, self.folder = provider, folder

    def model(self, **options: Any) -> PortkeyModel:
        quick = Recovery(attempts=3, wait=0.001, max_wait=0.01)
        given = {"base_url": self.provider.url, "api_key": "k", "recovery": quick, **options}
        return PortkeyModel(**given)

    def database(self) -> SqliteDb:
        return SqliteDb(db_file=str(self.folder / "agno.db"))


async def _heard(events: AsyncIterator[Any]) -> int:
    count = 0
    async with aclosing(events) as told:  # type: ignore[type-var]
        async for _ in told:
            count += 1
    return count


def team_run(stage: Stage) -> Scene:
    """A gate with its history and clearances in SQLite, the kill switch, personal data masked."""
    tell(stage.provider, plans=[SOUND])
    database = stage.database()
    team = govern(
        release_team(stage.model(), Release(), db=database),
        runner="Runner",
        gate=Gate(min_score=8, checks=[BudgetCheck(tokens=10**9)]),
        pii="mask",
        tags={"cost_center": "cc-42"},
    )

    async def play() -> None:
        run = await team.arun(REQUEST)
        assert run.content == "Release 2.1 is live on staging."

    return play


def team_streamed(stage: Stage) -> Scene:
    tell(stage.provider, plans=[SOUND])
    model = stage.model()
    team = govern(release_team(model, Release(), db=stage.database()), runner="Runner", gate=Gate())

    async def play() -> None:
        assert await _heard(team.arun(REQUEST, stream=True, stream_events=True)) > 10

    return play


def team_declined(stage: Stage) -> Scene:
    """Each plan is refused, and the end of the run is kept."""
    tell(stage.provider, plans=[FLAWED])
    gate = Gate(min_score=8, max_rounds=1)
    team = govern(
        release_team(stage.model(), Release(), db=stage.database()), runner="Runner", gate=gate
    )

    async def play() -> None:
        run = await team.arun(REQUEST)
        assert "declined" in str(run.content).lower()
        assert await asyncio.to_thread(lambda: History(stage.database()).series())

    return play


def team_of_another_process(stage: Stage) -> Scene:
    """A cleared Runner waits for a person, and goes on in a team that knows nothing of it."""
    tell(stage.provider, plans=[SOUND])

    def made() -> Team:
        team = release_team(stage.model(), Release(), db=stage.database(), id="release")
        runner: Any = team.members[3]
        runner.tools = [Function.from_callable(tool) for tool in runner.tools]
        runner.tools[1].requires_confirmation = True
        return govern(team, runner="Runner", gate=Gate())

    teams = [made() for _ in range(4)]
    left = iter(teams)

    async def play() -> None:
        paused = await next(left).arun(REQUEST, session_id="s")
        assert paused.is_paused
        for needed in paused.active_requirements:
            needed.confirm()
        run = await next(left).acontinue_run(run_response=paused, session_id="s")
        assert run.content == "Release 2.1 is live on staging."

    return play


def workflow(stage: Stage) -> Scene:
    """A gate's step, and a Runner after it."""
    tell(stage.provider, plans=[SOUND])
    planner, critic, judge, runner = release_team(stage.model(), Release()).members
    step = Gate(min_score=8).step(runner=runner)
    flow = Workflow(name="Flow", db=stage.database(), steps=[planner, critic, judge, step, runner])
    govern(flow, pii="mask")

    async def play() -> None:
        await flow.arun(REQUEST)
        assert len(stage.provider.calls) >= 4

    return play


def exact_cache(stage: Stage) -> Scene:
    policy = CachePolicy(scope="public", store=str(stage.folder / "answers.db"))
    agent = Agent(model=stage.model(cache=policy))

    async def play() -> None:
        for _ in range(2):
            await asyncio.gather(*(agent.arun(text[-9:]) for text in TEXTS[:5]))

    return play


def semantic_cache(stage: Stage) -> Scene:
    """With a verifier that waits, and single flight."""

    async def same(_compared: object) -> bool:
        await asyncio.sleep(0)
        return True

    store = str(stage.folder / "answers.db")
    policy = CachePolicy(kind="semantic", scope="public", store=store, verifier=same)
    agent = Agent(model=stage.model(cache=policy))
    words = ["What is the capital of France?", "What's the capital of France?"]

    async def play() -> None:
        for question in words * 2:
            await agent.arun(question)
        await _heard(agent.arun(words[0], stream=True))

    return play


def contracts(stage: Stage) -> Scene:
    """A reply that is repaired, and one that is asked for again."""
    said = [f"```json\n{SOUND.model_dump_json()[:-1]}", "no plan at all", SOUND]
    stage.provider.when(lambda request: True, said)
    agent = Agent(model=stage.model(), output_schema=Plan)

    async def play() -> None:
        for _ in range(2):
            assert isinstance((await agent.arun("plan")).content, Plan)

    return play


def recovery(stage: Stage) -> Scene:
    """Retries, another target, a cut stream, and tags."""
    agent = Agent(
        model=stage.model(
            config=Fallback(
                targets=[
                    Target(provider="openai", api_key="k", override_params={"model": name})
                    for name in "ab"
                ]
            ),
        ),
        pre_hooks=[TagHook(feature="search")],
        post_hooks=[ProgressHook()],
    )

    async def play() -> None:
        stage.provider.fault(Fault.status(503), times=2)
        assert (await agent.arun("hello")).content
        stage.provider.reply(Reply("one two three four five"))
        stage.provider.fault(Fault.cut(after=1))
        await _heard(agent.arun("hello", stream=True))

    return play


def embeddings(stage: Stage) -> Scene:
    embedder = PortkeyEmbedder(
        base_url=stage.provider.url,
        api_key="k",
        dimensions=384,
        cache=str(stage.folder / "vectors.db"),
    )

    async def play() -> None:
        for _ in range(2):
            assert len((await embedder.aembed(TEXTS)).require()) == len(TEXTS)

    return play


def local_embeddings(stage: Stage) -> Scene:
    embedder = LocalEmbedder()

    async def play() -> None:
        assert len(await embedder.aembed(TEXTS)) == len(TEXTS)

    return play


def many_runs(stage: Stage) -> Scene:
    agent = Agent(model=stage.model())
    journals = iter("ab")

    async def play() -> None:
        journal = stage.folder / f"{next(journals)}.jsonl"
        many = await arun_many(agent, TEXTS[:10], concurrency=4, journal=journal)
        assert not many.errors

    return play


def search(stage: Stage) -> Scene:
    """Chunks written, found, expanded, and deleted."""
    db = LanceDb(uri=str(stage.folder / "lance"), table_name="docs", embedder=LocalEmbedder())
    found = HybridSearch(db, expansion=[Feedback(), Rewrites(stage.model())])
    stage.provider.when(lambda request: True, '{"queries": ["who asks about an order"]}')

    async def play() -> None:
        await found.async_upsert("all", [Document(content=text, name=text) for text in TEXTS])
        assert await found.async_search("order 7", 3, user_id="ann")
        assert len(await found.afind("order 7", 3)) == 3

    return play


def batch(stage: Stage) -> Scene:
    """Sent, waited for and fetched."""
    agent = Agent(model=stage.model())
    journals = iter("ab")

    async def play() -> None:
        journal = stage.folder / f"{next(journals)}.journal"
        job = BatchJob(agent, [text[-9:] for text in TEXTS[:10]], journal=journal)
        await job.asubmit()
        await job.await_(every=0.01)
        assert not (await job.afetch()).errors

    return play


SCENES = [
    team_run,
    team_streamed,
    team_declined,
    team_of_another_process,
    workflow,
    exact_cache,
    semantic_cache,
    contracts,
    recovery,
    embeddings,
    local_embeddings,
    many_runs,
    search,
    batch,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_nothing_of_ours_blocks_the_loop(
    scene: Callable[[Stage], Scene], portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    play = scene(Stage(portkey_provider, tmp_path))

    async def played() -> None:
        await play()

    # Imports and models are loaded once.
    asyncio.run(played())
    with Watchdog() as dog:
        dog.run(played())
    assert not dog.blocked, "\n".join(sorted(set(dog.blocked)))
    assert not dog.slow, "\n".join(dog.slow)
