"""What was changed after `govern` asks nobody where the host runs no pre-hook either."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.compaction.compaction import Compaction
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.models.openai.like import OpenAILike
from agno.run.base import RunStatus
from agno.team import Team
from agno.tools import tool
from places import asking
from test_watch import CHANGES, Silent, desk

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError, InputBlocked
from agno_portkey.hooks.watched import Watched
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell

FORMS = ("continue", "acontinue", "continue stream", "acontinue stream")


def go_on(owner: Any, form: str, run: Any, **options: Any) -> Any:
    given = {"run_id": run.run_id, "session_id": "s", "input": "more", **options}
    if form.startswith("continue"):
        if "stream" in form:
            return list(owner.continue_run(stream=True, **given))
        return owner.continue_run(**given)
    return asyncio.run(_whole(owner.acontinue_run(stream="stream" in form, **given)))


async def _whole(going: Any) -> Any:
    return [event async for event in going] if hasattr(going, "__aiter__") else await going


def asked(owner: Any, form: str) -> Any:
    return owner.run("hi", session_id="s") if form[0] == "c" else asyncio.run(_arun(owner))


async def _arun(owner: Any) -> Any:
    return await owner.arun("hi", session_id="s")


def outside(provider: EmbeddedProvider) -> OpenAILike:
    """A model that reaches the provider without the gateway."""
    return OpenAILike(id="gpt", api_key="k", base_url=provider.url)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_agent_is_not_continued(
    change: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    do, said = CHANGES[change]
    agent = desk(portkey_model)
    agent.db = InMemoryDb()
    run = asked(govern(agent, guards=[Silent()]), form)
    do(agent)
    with pytest.raises(InputBlocked) as refused:
        go_on(agent, form, run)
    assert f"Desk was changed after it was governed: Desk{said}" in str(refused.value)
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("whose", ["leader", "member", "copy"])
def test_a_changed_team_is_not_continued(
    whose: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    inner = Team(name="Inner", members=[desk(portkey_model)], model=portkey_model)
    team = Team(name="T", members=[inner], model=portkey_model, db=InMemoryDb())
    run = asked(govern(team), form)
    foreign = outside(portkey_provider)
    if whose == "copy":
        team = team.deep_copy(update={"model": foreign})
    else:
        (team if whose == "leader" else inner.members[0]).model = foreign
    with pytest.raises(InputBlocked, match=r"(T|Desk)\.model is agno's OpenAILike"):
        go_on(team, form, run)
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", FORMS)
def test_an_unchanged_one_is_continued_and_so_is_its_copy(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    member = Agent(name="M", model=portkey_model)
    agent: Any = Agent(name="A", model=portkey_model, fallback_models=[portkey_model])
    for owner in (agent, Team(name="T", members=[member], model=portkey_model)):
        owner.db = InMemoryDb()
        run = asked(govern(owner), form)
        for each in (owner, owner.deep_copy()):
            before = len(portkey_provider.calls)
            go_on(each, form, run)
            assert len(portkey_provider.calls) == before + 1


@pytest.mark.parametrize("form", FORMS)
def test_a_paused_run_goes_on_with_nothing_of_a_changed_agent(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    helper = Agent(name="H", model=outside(portkey_provider))
    agent = Agent(name="A", model=portkey_model, tools=[asking(None)], db=InMemoryDb())
    govern(agent)
    agent.tools = [_confirmed(helper)]
    fresh = Agent(name="A", id=agent.id, model=portkey_model, tools=agent.tools, db=agent.db)
    portkey_provider.reply(Reply(tool_calls=[ToolCall("ask", {"question": "q"})]))
    run = asked(fresh, form)
    assert run.status == RunStatus.paused
    before = len(portkey_provider.calls)
    for requirement in run.active_requirements:
        requirement.confirm()
    with pytest.raises(InputBlocked, match=r"A\.tools\[0\].*model is agno's OpenAILike"):
        go_on(agent, form, run, input=None, requirements=run.requirements)
    assert len(portkey_provider.calls) == before


def _confirmed(helper: Agent) -> Any:
    return tool(requires_confirmation=True)(asking(helper))


UNASKED: dict[str, Callable[[Any], Any]] = {
    "name": lambda owner: owner.generate_session_name(session=owner.get_session("s")),
    "set name": lambda owner: owner.set_session_name(session_id="s", autogenerate=True),
    "compact": lambda owner: owner.compact(session_id="s"),
    "acompact": lambda owner: asyncio.run(_whole(owner.acompact(session_id="s"))),
}


def kept(kind: type[Any], model: PortkeyModel, folder: Path) -> Any:
    """A governed agent or team with one run in a database."""
    fields: dict[str, Any] = {"compaction": Compaction(model=model)}
    if kind is Team:
        fields = {"members": [desk(model)]}
    owner = kind(name="A", model=model, db=SqliteDb(db_file=str(folder / "a.db")), **fields)
    govern(owner).run("hi", session_id="s")
    return owner


@pytest.mark.parametrize(
    ("kind", "way"), [*((Agent, way) for way in UNASKED), (Team, "name"), (Team, "set name")]
)
def test_a_changed_one_names_and_folds_no_session(
    kind: type[Any],
    way: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    tmp_path: Path,
) -> None:
    owner = kept(kind, portkey_model, tmp_path)
    portkey_provider.when(lambda request: "Conversation" in request.last_user, "A short name")
    UNASKED[way](owner)
    before = len(portkey_provider.calls)
    owner.model = outside(portkey_provider)
    with pytest.raises(InputBlocked, match=r"A was changed after it was governed: A\.model"):
        UNASKED[way](owner)
    assert len(portkey_provider.calls) == before


def test_teams_can_not_be_told_to_fold() -> None:
    assert not hasattr(Team, "compact"), "they can now: watch it as that of agents is"


def test_one_that_has_lost_its_hooks_is_not_continued(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    agent = govern(Agent(name="A", model=portkey_model, db=InMemoryDb()))
    run = agent.run("hi", session_id="s")
    agent.pre_hooks = None
    with pytest.raises(InputBlocked, match="A has lost its hooks"):
        agent.continue_run(run_id=run.run_id, session_id="s", input="more")
    assert len(portkey_provider.calls) == 1


def test_a_gated_team_that_was_changed_is_not_continued_nor_is_its_member(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    release = Release()
    team = release_team(portkey_model, release)
    team.db = InMemoryDb()
    planner = team.members[0]
    govern(team, runner="Runner", gate=Gate())
    run = team.run(REQUEST, session_id="s")
    before = len(portkey_provider.calls)
    # Nothing ungoverned, but a tool of the Runner's without the gate in it.
    planner.tools = [release.deploy]
    for owner in (team, planner):
        with pytest.raises(InputBlocked, match="Planner holds"):
            owner.continue_run(run_id=run.run_id, session_id="s", input="more")
    assert len(portkey_provider.calls) == before


def test_one_that_is_governed_anew_is_of_the_same_class(portkey_model: PortkeyModel) -> None:
    agent = govern(Agent(name="A", model=portkey_model))
    kind = type(agent)
    agent.pre_hooks = agent.post_hooks = None
    govern(Team(name="T", members=[agent], model=portkey_model))
    assert type(agent) is kind


def test_the_class_is_the_users_own_but_for_the_watch(portkey_model: PortkeyModel) -> None:
    class Mine(Agent):
        """A user's kind of agent."""

        def greet(self) -> str:
            return f"I am {self.name}"

    agent, other = (govern(Mine(name="A", model=portkey_model)) for _ in range(2))
    kind: type[Any] = type(agent)
    assert issubclass(kind, Watched)
    assert kind is type(other)
    assert agent.greet() == "I am A"
    assert (kind.__name__, kind.__qualname__, kind.__doc__, kind.__module__) == (
        "Mine",
        Mine.__qualname__,
        Mine.__doc__,
        __name__,
    )
    assert inspect.signature(kind) == inspect.signature(Mine)


def test_one_is_copied_as_any_object_and_pickled_by_nobody(portkey_model: PortkeyModel) -> None:
    agent = govern(Agent(name="A", model=portkey_model))
    for twin in (copy.copy(agent), copy.deepcopy(agent)):
        assert type(twin) is type(agent)
        assert twin.run("hi").status == RunStatus.completed
    with pytest.raises(ConfigurationError, match="is governed and can't be pickled"):
        pickle.dumps(agent)
    bare = object.__new__(type(agent))
    again = pickle.loads(pickle.dumps(bare))
    assert type(again) is type(agent)
