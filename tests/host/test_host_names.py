"""The names of the host that this package touches, and every place on it that can hold a model."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.base import Model
from agno.models.fallback import FallbackConfig
from agno.models.openai.chat import OpenAIChat
from agno.models.openai.like import OpenAILike
from agno.run.agent import RunInput, RunOutput
from agno.run.base import RunContext
from agno.run.team import TeamRunOutput
from agno.team import Team
from agno.tools import Toolkit
from agno.tools.function import Function
from host_model import pin, says

GOVERN = "govern.py"

# Annotations made of these alone hold plain data. `BaseModel` is a schema, `Message` a text.
PLAIN = {"Any", "BaseModel", "Dict", "List", "Literal", "Message", "None", "Optional", "Type"}
PLAIN |= {"Union", "FilterExpr", "Audio", "Image", "Video", "RunEvent", "TeamRunEvent", "TeamMode"}

MODELS = {
    "model",
    "fallback_models",
    "fallback_config",
    "reasoning_model",
    "reasoning_agent",
    "parser_model",
    "output_model",
    "followups",
    "followup_model",
    "memory_manager",
    "session_summary_manager",
    "compression_manager",
    "learning",
}
# What holds a model only inside something that the user wrote or configured.
CARRIERS = {
    "knowledge",
    "knowledge_retriever",
    "skills",
    "tools",
    "tool_hooks",
    "pre_hooks",
    "post_hooks",
    "instructions",
    "system_message",
    "callable_tools_cache_key",
    "callable_knowledge_cache_key",
}
STORES = {"db", "media_storage", "offload_tool_results"}
KNOWN: dict[type[Any], set[str]] = {
    Agent: {*MODELS, *CARRIERS, *STORES, "compaction", "filesystem"},
    Team: {
        *MODELS,
        *CARRIERS,
        *STORES,
        "members",
        "callable_members_cache_key",
        "_learning",
        "_cached_session",
        "_cached_session_db",
        "_inherited_result_store",
        "_result_store",
        "_result_store_setting",
    },
}
# Attributes that are set but are no fields: on an Agent, the private ones.
UNDECLARED: dict[type[Any], set[str]] = {
    Agent: {
        "_background_executor",
        "_cached_session",
        "_cached_session_db",
        "_callable_knowledge_cache",
        "_callable_tools_cache",
        "_connectable_tools_initialized_on_run",
        "_filesystem",
        "_formatter",
        "_hooks_normalised",
        "_inherited_result_store",
        "_learning",
        "_learning_init_attempted",
        "_mcp_tools_initialized_on_run",
        "_result_store",
        "_result_store_setting",
        "_stage",
        "_team",
        "_tool_instructions",
        "_version",
    },
    Team: {"_stage", "_version"},
}


def can_hold_a_model(annotation: str) -> bool:
    return not set(re.findall(r"\b[A-Z]\w*", annotation)) <= PLAIN


@pytest.mark.parametrize("kind", [Agent, Team])
@pin("no other field of an agent or team can hold a model: see to a new one in govern", GOVERN)
def test_places_for_a_model(kind: type[Any]) -> None:
    found = {field.name for field in dataclasses.fields(kind) if can_hold_a_model(str(field.type))}
    assert found == KNOWN[kind]


@pytest.mark.parametrize("kind", [Agent, Team])
@pin("reasoning is asked for by a reasoning_model alone; there is no switch for it", GOVERN)
def test_no_switch_for_reasoning(kind: type[Any]) -> None:
    assert "reasoning" not in {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("kind", [Agent, Team])
@pin("an agent or team has no attribute outside its fields that is not known here", GOVERN)
def test_undeclared_attributes(kind: type[Any]) -> None:
    owner = Agent(model=says()) if kind is Agent else Team(model=says(), members=[])
    declared = {field.name for field in dataclasses.fields(kind)}
    assert set(vars(owner)) - declared == UNDECLARED[kind]


@pytest.mark.parametrize(
    "annotation",
    [
        "Optional[Model]",
        "Optional[List[Union[Model, str]]]",
        "Optional[Agent]",
        "Union[List[Union[Agent, 'Team']], Callable[..., List]]",
        "Optional[MemoryManager]",
        "Optional[Union[bool, 'Compaction']]",
        "Optional[List[Callable]]",
    ],
)
def test_the_search_for_places_sees(annotation: str) -> None:
    assert can_hold_a_model(annotation)


@pin("the chains of a FallbackConfig", GOVERN)
def test_fallback_chains() -> None:
    fields = {field.name for field in dataclasses.fields(FallbackConfig)}
    assert fields == {"on_error", "on_rate_limit", "on_context_overflow", "callback"}


@pin("fallback_models become a FallbackConfig as soon as an agent or team is made", GOVERN)
def test_fallback_models_become_a_config() -> None:
    for owner in (
        Agent(model=says(), fallback_models=[says()]),
        Team(model=says(), members=[], fallback_models=[says()]),
    ):
        assert owner.fallback_config is not None
        assert len(owner.fallback_config.on_error) == 1


@pin("owners are initialised and named by these", GOVERN)
def test_initialisers() -> None:
    agent = Agent(name="a", model=says())
    team = Team(name="t", model=says(), members=[agent])
    for owner in (agent, team):
        assert owner.id is None
        owner.set_id()
        assert owner.id
    agent.initialize_agent()
    team.initialize_team()
    assert (agent._hooks_normalised, team._hooks_normalised) == (False, False)


@pytest.mark.parametrize("kind", [Agent, Team])
@pin("initialising makes the managers that were asked for, on the owner's model", GOVERN)
def test_managers_get_the_owners_model(kind: type[Any]) -> None:
    model = says()
    fields: dict[str, Any] = {
        "model": model,
        "update_memory_on_run": True,
        "enable_session_summaries": True,
        "compress_tool_results": True,
    }
    owner = Agent(**fields) if kind is Agent else Team(members=[], **fields)
    owner.initialize_agent() if isinstance(owner, Agent) else owner.initialize_team()
    assert owner.memory_manager.model is model
    assert owner.session_summary_manager.model is model
    assert owner.compression_manager.model is model


@pin("a toolkit keeps its functions by name, sync and async apart", "gates/holdings.py")
def test_toolkits() -> None:
    def deploy() -> None:
        """Deploy."""

    async def watch() -> None:
        """Watch."""

    kit = Toolkit(name="kit", tools=[deploy, watch])
    assert (set(kit.functions), set(kit.async_functions)) == ({"deploy"}, {"watch"})
    assert kit.functions["deploy"].entrypoint is not None


@pin("a tool is a Function with an entrypoint that can be replaced", "gates/tools.py")
def test_functions() -> None:
    fields = Function.model_fields
    assert {"entrypoint", "cache_results", "requires_confirmation", "approval_type"} <= set(fields)

    def deploy() -> str:
        """Deploy."""
        return "deployed"

    function = Function.from_callable(deploy)
    function.entrypoint = deploy
    assert function.entrypoint is deploy


@pin("what a hook and a tag read from a run", "hooks/base.py", "hooks/gate.py", "tags.py")
def test_runs_have_these() -> None:
    def names(kind: type[Any]) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    both = {"run_id", "session_id", "user_id", "content", "content_type", "metadata", "status"}
    assert both | {"agent_id", "agent_name"} <= names(RunOutput)
    assert both | {"team_id", "team_name"} <= names(TeamRunOutput)
    context = {"run_id", "dependencies", "metadata", "session_state", "output_schema"}
    assert context <= names(RunContext)
    assert RunInput(input_content="x").input_content == "x"


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pin("the methods of OpenAIChat that are called or overridden", "model.py", "pipeline.py")
def test_openai_chat() -> None:
    chat: Any = OpenAIChat
    assert parameters(chat._parse_provider_response) == ["response", "response_format"]
    assert parameters(chat._parse_provider_response_delta) == ["response_delta"]
    assert parameters(chat._format_all_messages) == ["messages", "compress_tool_results"]
    asked = ["response_format", "tools", "tool_choice", "run_response"]
    assert parameters(chat.get_request_params) == asked
    for method in (chat._get_client_params, chat.get_client, chat.get_async_client):
        assert parameters(method) == []


@pin("stream deltas of tool calls are put together by the model at the end", "pipeline.py")
def test_tool_call_deltas_are_joined() -> None:
    assert parameters(OpenAIChat.parse_tool_calls) == ["tool_calls_data"]
    assert parameters(Model.parse_tool_calls) == ["tool_calls_data"]


@pin("the fields of OpenAILike that PortkeyModel gives defaults of its own or reads", "model.py")
def test_openai_like_fields() -> None:
    fields = {field.name for field in dataclasses.fields(OpenAILike)}
    used = {"id", "name", "provider", "api_key", "base_url", "timeout", "http_client", "retries"}
    used |= {"default_headers", "default_query", "client_params", "extra_headers", "organization"}
    assert used | {"cache_response"} <= fields


@pin("the three methods behind the response cache", "model.py")
def test_cache_methods() -> None:
    assert parameters(Model._get_cached_model_response) == ["cache_key"]
    assert parameters(Model._save_model_response_to_cache)[:2] == ["cache_key", "result"]
    assert parameters(Model._save_streaming_responses_to_cache) == ["cache_key", "responses"]
