"""Who is given a cache, and caches that fail, are busy or hold what has run out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from cached_agents import weather
from four_forms import FORMS, play

from agno_portkey import PortkeyModel, govern
from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.errors import ConfigurationError
from agno_portkey.testing import EmbeddedProvider


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
