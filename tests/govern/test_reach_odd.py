"""The odd corners of the walk: what it leaves alone, and what it can't tell."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import Any

import pytest
from agno.agent import Agent
from agno.context.fs import FilesystemContextProvider
from agno.context.mode import ContextMode
from agno.guardrails import OpenAIModerationGuardrail
from agno.knowledge.embedder.openai import OpenAIEmbedder
from agno.models.openai import OpenAIChat
from agno.registry import Registry
from agno.run.base import RunStatus
from places import Kit

from agno_portkey import PortkeyModel, govern
from agno_portkey.binding import Binding
from agno_portkey.errors import UngovernedPathError
from agno_portkey.hooks.watch import WatchHook
from agno_portkey.reach import Allow, Survey
from agno_portkey.reach.code import sdk_named_by
from agno_portkey.reach.providers import defaulted, reaches

LOCAL = "http://127.0.0.1:1/v1"


def found(held: Any) -> list[tuple[str, str]]:
    survey = Survey(allow=Allow())
    survey.look("x", held)
    survey.finish()
    return survey.refused


def amazon(service: str) -> Any:
    """A client as botocore makes them: a class of its own for each service."""
    kind = type(service.title(), (), {"__module__": "botocore.client"})
    client: Any = kind()
    model = types.SimpleNamespace(service_name=service)
    client.meta = types.SimpleNamespace(service_model=model)
    return client


@pytest.mark.parametrize("service", ["bedrock-runtime", "bedrock", "sagemaker-runtime", ""])
def test_amazons_models_are_refused(service: str) -> None:
    assert found([amazon(service)])[0][0] == "x[0]"


@pytest.mark.parametrize("service", ["s3", "lambda", "ses"])
def test_amazons_other_services_are_not(service: str) -> None:
    assert found([amazon(service)]) == []


def semantic(embedder: Any) -> Any:
    """Semantic chunking needs a package that is not here; its class is known by its name."""
    kind = type(
        "SemanticChunking",
        (),
        {"__module__": "agno.knowledge.chunking.semantic", "__qualname__": "SemanticChunking"},
    )
    chunking: Any = kind()
    chunking.embedder = embedder
    return chunking


@pytest.mark.parametrize("name", ["text-embedding-3-small", "openai://text-embedding-3-small"])
def test_semantic_chunking_by_a_hosted_name_is_refused(name: str) -> None:
    assert found([semantic(name)]) == [
        ("x[0]", f"embeds by {name!r}, which asks a provider by itself")
    ]


def test_semantic_chunking_on_this_machine_is_not() -> None:
    assert found([semantic("minishlab/potion-base-32M")]) == []
    assert found([semantic(OpenAIEmbedder(api_key="k"))])[0][0] == "x[0].embedder"


def test_a_context_provider_that_hands_out_tools_needs_no_model() -> None:
    assert defaulted(FilesystemContextProvider(root="/nowhere", mode=ContextMode.tools)) is None
    assert defaulted(FilesystemContextProvider(root="/nowhere")) is not None


def test_what_this_package_makes_goes_through_the_gateway() -> None:
    ours = type("Ours", (OpenAIEmbedder,), {"__module__": "agno_portkey.knowledge"})
    assert reaches(ours(api_key="k")) is None
    assert sdk_named_by(ours) is None
    assert sdk_named_by(OpenAIModerationGuardrail) == "openai"


def test_a_class_of_the_host_that_names_a_client_is_refused_though_it_is_not_known() -> None:
    space: dict[str, Any] = {"__name__": "agno.tools.future"}
    exec("import openai\nclass Future:\n    def go(self):\n        return openai.OpenAI()\n", space)
    said = "is agno's Future: it asks openai by itself"
    assert found([space["Future"]()]) == [("x[0]", said)]


def test_a_relative_import_in_a_function_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = types.ModuleType("package"), types.ModuleType("package.inner")
    module.helper = Agent(name="H", model=OpenAIChat(id="gpt", api_key="k"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "package", package)
    monkeypatch.setitem(sys.modules, "package.inner", module)
    code = "def ask():\n    from .inner import helper\n    return helper\n"
    space: dict[str, Any] = {"__package__": "package", "__name__": "package.asking"}
    exec(code, space)
    assert found(space["ask"]) == [
        ("x.package.inner.helper.model", "is agno's OpenAIChat: give a PortkeyModel")
    ]
    space["__package__"] = ""
    assert found(space["ask"]) == []


def test_what_was_typed_into_an_interpreter_is_a_users(monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    space: dict[str, Any] = {"__name__": "__main__", "model": OpenAIChat(id="gpt", api_key="k")}
    exec("class Tool:\n    def go(self):\n        return model\n", space)
    assert found(space["Tool"]())[0][0] == "x.go.model"


def test_a_model_that_is_only_named_is_refused() -> None:
    agent = Agent(name="Desk", model=PortkeyModel(base_url=LOCAL))
    agent.parser_model = "openai:gpt"  # type: ignore[assignment]
    survey = Survey(allow=Allow())
    survey.owner(agent)
    survey.finish()
    said = "is the name 'openai:gpt': give a PortkeyModel"
    assert survey.refused == [("Desk.parser_model", said)]


def makes_an_embedder() -> Any:
    return OpenAIEmbedder()


def test_a_class_whose_objects_go_round_is_refused() -> None:
    said = "is the class OpenAIEmbedder, whose objects go round the gateway"
    assert found([makes_an_embedder]) == [("x[0].OpenAIEmbedder", said)]


def test_the_same_objects_at_two_places_are_each_bound() -> None:
    model = PortkeyModel(base_url=LOCAL)
    kit, registry = Kit([model, model]), Registry(models=[model])
    agent = govern(Agent(name="Desk", model=model, tools=[kit, Kit(registry)]))
    assert all(held.seat is not None for held in (*kit.held, *registry.models))
    assert agent.model.seat is not None


def test_what_a_context_provider_makes_later_is_no_change(
    portkey_model: PortkeyModel, portkey_provider: Any
) -> None:
    provider = FilesystemContextProvider(root="/nowhere", model=portkey_model)
    agent = govern(Agent(name="Desk", model=portkey_model, tools=provider.get_tools()))
    provider._ensure_agent()
    agent.add_tool(Kit(None))
    assert asyncio.run(agent.arun("hi")).status == RunStatus.completed
    assert len(portkey_provider.calls) == 1


def test_an_allowance_and_a_binding_stay_themselves() -> None:
    assert Allow() != "x"
    agent = govern(Agent(name="Desk", model=PortkeyModel(base_url=LOCAL)))
    (watch,) = [hook for hook in agent.pre_hooks if isinstance(hook, WatchHook)]
    binding = watch._late.__self__  # type: ignore[attr-defined]
    assert isinstance(binding, Binding)
    assert binding.__deepcopy__({}) is binding


def test_paths_with_spaces_are_printed_whole() -> None:
    kit = Kit({"a b": OpenAIChat(id="gpt", api_key="k")})
    agent = Agent(name="My Desk", model=PortkeyModel(base_url=LOCAL), tools=[kit])
    with pytest.raises(UngovernedPathError) as refused:
        govern(agent)
    assert "allow=[\"My Desk.tools[0].held['a b']\"]" in str(refused.value)
    govern(agent, allow=["My Desk.tools[0].held['a b']"])
