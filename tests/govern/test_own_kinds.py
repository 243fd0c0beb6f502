"""A user's own kinds of model, agent and team are looked into, and can't take the locks off."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from agno.models.response import ModelResponse
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS, play
from test_watch import Silent

from agno_portkey import PortkeyModel, govern
from agno_portkey.errors import UngovernedPathError
from agno_portkey.testing import EmbeddedProvider

LOCAL = "http://127.0.0.1:1/v1"


class Elsewhere(PortkeyModel):
    def response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return OpenAILike(id="gpt").response(*args, **kwargs)


class Unseen(PortkeyModel):
    @property
    def checked_guards(self) -> tuple[Any, ...]:
        return ()


class Own(PortkeyModel):
    def get_client(self) -> Any:
        from openai import OpenAI

        return OpenAI()


class Named(PortkeyModel):
    region: str = "eu"

    def where(self) -> str:
        return self.region


class Asking(Agent):
    def run(self, *args: Any, **kwargs: Any) -> Any:
        OpenAILike(id="gpt").response([])
        return super().run(*args, **kwargs)


class AskingTeam(Team):
    helper = OpenAILike(id="gpt")


@pytest.mark.parametrize("slot", ["model", "parser_model", "tools"])
@pytest.mark.parametrize("kind", [Elsewhere, Unseen, Own])
def test_a_model_that_goes_its_own_way_is_refused_wherever_it_is(kind: Any, slot: str) -> None:
    own = kind(base_url=LOCAL)
    held = {"model": PortkeyModel(base_url=LOCAL), slot: [lambda: own] if slot == "tools" else own}
    agent = Agent(name="A", **held)
    said = {
        Elsewhere: "is a Elsewhere, whose own response goes round",
        Unseen: "is a Unseen, whose own checked_guards goes round",
        Own: "get_client.openai.OpenAI is the class OpenAI of a provider's client",
    }[kind]
    with pytest.raises(UngovernedPathError, match=rf"A\.{slot}.*{said}"):
        govern(agent, guards=[Silent()])
    govern(Agent(name="A", **held), allow=[f"A.{slot}*"])


@pytest.mark.parametrize("form", FORMS)
def test_a_model_that_adds_something_is_taken(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    own = Named(
        base_url=portkey_model.base_url,
        portkey_provider="openai",
        api_key="test-key",
        custom_host=portkey_provider.url,
    )
    agent = govern(Agent(name="A", model=own), guards=[Silent()])
    assert play(agent, form).status == RunStatus.completed
    assert agent.model.where() == "eu"
    assert len(portkey_provider.calls) == 1


def test_what_an_agents_own_kind_names_and_a_teams_holds_is_refused() -> None:
    model = PortkeyModel(base_url=LOCAL)
    with pytest.raises(UngovernedPathError, match=r"A\.run\.OpenAILike is the model class"):
        govern(Asking(name="A", model=model))
    with pytest.raises(UngovernedPathError, match=r"T\.helper is agno's OpenAILike"):
        govern(AskingTeam(name="T", members=[Agent(name="M", model=model)], model=model))
    govern(Asking(name="A", model=model), allow=["A.run*"])
