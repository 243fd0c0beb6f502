"""Registries and rehydration, which lose hooks, and the response cache above every model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from agno.models.portkey import Portkey
from agno.models.utils import resolve_model
from agno.registry import Registry
from agno.team import Team
from host_model import WAYS, Log, Scripted, go, pin, says


@pin("a registry drops a second model of equal class, provider and id", "model.py")
def test_equal_models_are_dropped() -> None:
    planner, runner = says(), says()
    registry = Registry()
    registry.add_model(planner)
    registry.add_model(runner)
    assert [id(model) for model in registry.models] == [id(planner)]


@pin("a registry keeps models that differ in provider alone", "model.py", "govern.py")
def test_models_of_two_providers_are_kept() -> None:
    planner, runner = says(provider="tests:crew/planner"), says(provider="tests:crew/runner")
    registry = Registry()
    registry.add_model(planner)
    registry.add_model(runner)
    assert [id(model) for model in registry.models] == [id(planner), id(runner)]
    assert registry.get_model("scripted", provider="tests:crew/runner") is runner


@pin("a model is found again by its id, provider and name", "model.py", "govern.py")
def test_resolve_model() -> None:
    planner, runner = says(provider="tests:crew/planner"), says(provider="tests:crew/runner")
    registry = Registry(models=[planner, runner])
    assert resolve_model(runner.to_dict(), registry) is runner
    assert resolve_model(planner.to_dict(), registry) is planner
    for other in ({"name": "Other"}, {"provider": "other"}, {"id": "other"}):
        with pytest.raises(ValueError, match="not supported"):
            resolve_model({**runner.to_dict(), **other}, registry)


@pin("an unknown provider that is in no registry is refused", "model.py")
def test_unknown_providers_are_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        resolve_model(says(provider="tests:crew/runner").to_dict(), Registry())


@pin('a model that calls itself "Portkey" comes back as the host\'s own', "model.py")
def test_the_name_portkey_is_taken() -> None:
    data = {"id": "gpt-4o-mini", "name": "Portkey", "provider": "Portkey"}
    assert type(resolve_model(data, None)) is Portkey


@pytest.mark.parametrize("kind", ["agent", "team"])
@pin("an agent or team that comes back from its dict has lost its hooks", "govern.py")
def test_rehydration_loses_hooks(kind: str) -> None:
    model = says()
    hooks: dict[str, Any] = {"pre_hooks": [lambda: None], "post_hooks": [lambda: None]}
    registry = Registry(models=[model])
    owner: Any
    back: Any
    if kind == "agent":
        owner = Agent(name="a", id="a", model=model, **hooks)
        back = Agent.from_dict(owner.to_dict(), registry=registry)
    else:
        owner = Team(name="t", id="t", model=model, members=[], **hooks)
        back = Team.from_dict(owner.to_dict(), registry=registry)
    assert back.model is model
    assert not back.pre_hooks
    assert not back.post_hooks
    assert back._hooks_normalised is False


@pytest.mark.parametrize("way", WAYS)
@pin("a hit in the response cache never reaches the model, and is shared by users", "model.py")
async def test_cache_hits_skip_the_model(way: str, tmp_path: Path) -> None:
    def model(answer: str) -> Scripted:
        return says(answer, cache_response=True, cache_dir=str(tmp_path))

    ann, bob = model("for ann"), model("for bob")
    first = await go(Agent(model=ann), way, "hi", user_id="ann")
    second = await go(Agent(model=bob), way, "hi", user_id="bob")
    assert (first.run.content, second.run.content) == ("for ann", "for ann")
    assert (len(ann.calls), len(bob.calls)) == (1, 0)


class Uncached(Scripted):
    """What `PortkeyModel` overrides to keep the cache shut."""

    def _get_cached_model_response(self, cache_key: str) -> None:
        return None

    def _save_model_response_to_cache(self, *args: Any, **kwargs: Any) -> None:
        return None

    def _save_streaming_responses_to_cache(self, *args: Any, **kwargs: Any) -> None:
        return None


@pytest.mark.parametrize("way", WAYS)
@pin("three methods are all that the response cache is reached through", "model.py")
async def test_the_cache_can_be_shut(way: str, tmp_path: Path) -> None:
    model = Uncached(answers=Log(["a", "b"]), cache_response=True, cache_dir=str(tmp_path))
    outcomes = [await go(Agent(model=model), way, "hi") for _ in range(2)]
    assert [outcome.run.content for outcome in outcomes] == ["a", "b"]
    assert len(model.calls) == 2


@pin("to_dict of an OpenAI model keeps id, name and provider, and no key", "model.py")
def test_openai_to_dict() -> None:
    data = OpenAILike(id="m", name="n", provider="p", api_key="sk-secret").to_dict()
    assert (data["id"], data["name"], data["provider"]) == ("m", "n", "p")
    assert "sk-secret" not in str(data)
