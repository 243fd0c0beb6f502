"""What a user's functions and classes name is looked at: globals, imports, classes to be made."""

from __future__ import annotations

import types
from typing import Any

import openai
import pytest
from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.models.utils import get_model
from places import Carrier, asking

from agno_portkey import PortkeyModel, govern
from agno_portkey.errors import UngovernedPathError
from agno_portkey.guardrails import Guard, Passage

LOCAL = "http://127.0.0.1:1/v1"


class Quiet(Guard):
    def inspect(self, passage: Passage) -> None: ...


def llm() -> PortkeyModel:
    return PortkeyModel(base_url=LOCAL)


def foreign() -> OpenAIChat:
    return OpenAIChat(id="gpt", api_key="k")


def desk(**fields: Any) -> Agent:
    return Agent(name="Desk", model=llm(), **fields)


def refused(*, guards: Any = (), **fields: Any) -> str:
    with pytest.raises(UngovernedPathError) as raised:
        govern(desk(**fields), guards=guards)
    return str(raised.value)


HELPER = Agent(name="Global", model=foreign())
MODEL = llm()
ALIAS = types.SimpleNamespace(inner=HELPER)


class ByClass:
    shared = foreign()

    def go(self) -> str:
        """Go."""
        return ""


class Naming:
    def go(self) -> str:
        """Go."""
        return str(HELPER.run("x"))


def names_a_global() -> str:
    """Go."""
    return str(HELPER.run("x"))


def names_by_another_function() -> str:
    """Go."""
    return names_a_global()


def names_in_an_inner_function() -> str:
    """Go."""
    return ", ".join([str(HELPER.run(x)) for x in ("a", "b")])


def names_an_alias() -> str:
    """Go."""
    return str(ALIAS)


def names_a_class() -> str:
    """Go."""
    return Naming().go()


def makes_an_agent() -> str:
    """Go."""
    return str(Agent().run("x"))


def makes_a_model() -> str:
    """Go."""
    return str(OpenAIChat())


def makes_a_model_by_name() -> str:
    """Go."""
    return str(get_model("openai:gpt"))


def makes_a_client() -> str:
    """Go."""
    return str(openai.OpenAI())


def imports_a_client() -> str:
    """Go."""
    from openai import AsyncOpenAI

    return str(AsyncOpenAI())


def imports_what_is_not_loaded() -> str:
    """Go."""
    import litellm

    return str(litellm)


@pytest.mark.parametrize(
    ("function", "path"),
    [
        (names_a_global, "HELPER.model is agno's OpenAIChat"),
        (names_by_another_function, "names_a_global.HELPER.model is agno's OpenAIChat"),
        (names_in_an_inner_function, "HELPER.model is agno's OpenAIChat"),
        (names_an_alias, "ALIAS.inner.model is agno's OpenAIChat"),
        (names_a_class, "Naming.go.HELPER.model is agno's OpenAIChat"),
        (Naming().go, "HELPER.model is agno's OpenAIChat"),
        (Carrier(Naming()).method, "__self__.held.go.HELPER.model is agno's OpenAIChat"),
        (ByClass().go, "__self__.shared is agno's OpenAIChat"),
        (makes_an_agent, "Agent is the class Agent, made when called"),
        (makes_a_model, "OpenAIChat is the model class OpenAIChat: give a PortkeyModel"),
        (makes_a_model_by_name, "get_model is the host's get_model, which makes models"),
        (makes_a_client, "openai.OpenAI is the class OpenAI of a provider's client"),
        (imports_a_client, "openai.AsyncOpenAI is the class AsyncOpenAI of a provider's client"),
        (imports_what_is_not_loaded, "litellm is a provider's package, imported when it is called"),
    ],
)
def test_what_a_users_function_names_is_looked_at(function: Any, path: str) -> None:
    assert f"\n- Desk.tools[0].{path}" in refused(tools=[function])


def only_asks_what_it_is(question: str) -> str:
    """Go."""
    try:
        return str(isinstance(question, Agent | Plain))
    except openai.RateLimitError:
        return ""


class Plain:
    """A user's class of a name that says nothing."""


def test_naming_is_not_making() -> None:
    govern(desk(tools=[only_asks_what_it_is]), guards=[Quiet()])


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        (Carrier((MODEL,)).method, "__self__.held[0]"),
        (Carrier({MODEL.response}).method, "__self__.held[0].__self__"),
        (asking(MODEL), "agent"),
        (MODEL.response, "__self__"),
        (lambda: MODEL, "MODEL"),
    ],
)
def test_a_portkey_model_that_can_not_be_bound_is_refused_if_guards_are_wanted(
    tool: Any, path: str
) -> None:
    said = refused(tools=[tool], guards=[Quiet()])
    assert f"Desk.tools[0].{path} is a PortkeyModel that can't be bound where it is" in said
    govern(desk(tools=[tool]))
