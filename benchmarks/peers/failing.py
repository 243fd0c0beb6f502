"""How each library is set up for providers that fail: a primary with a spare behind it.

Each is given the same patience: so long for a first token and between two, one more try where it
has tries, the spare where it has fallbacks, a breaker where it has one.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.by_pydantic_ai import said

__all__ = ["FAILING", "Answered", "Failing", "Models"]

# Seconds, as ours has them.
_TOKEN, _ANSWER = 0.6, 1.0


@dataclass(frozen=True)
class Answered:
    """An answer: its text, which model is said to have given it, and the tokens told."""

    text: str
    model: str | None = None
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True)
class Models:
    """Which models there are, the spare last; `cooldown` seconds where a breaker is wanted."""

    url: str
    names: tuple[str, ...]
    windows: tuple[int | None, ...] = ()
    cooldown: float | None = None


# Asks; of a stream each delta is added to the list, which is cleared where a new message begins.
Failing = Callable[[str, bool, list[str]], Awaitable[Answered]]


def litellm_router(models: Models) -> Failing:
    """LiteLLM's router with fallbacks, also for windows; content filters are not retried."""
    import litellm

    groups = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{name}",
                "api_base": models.url,
                "api_key": "test-key",
                "stream_timeout": _TOKEN,
                "timeout": _ANSWER,
            },
        }
        for name in models.names
    ]
    first, *rest = models.names
    spares = [{first: rest}] if rest else []
    router = litellm.Router(
        model_list=groups,
        fallbacks=spares,
        context_window_fallbacks=spares,
        num_retries=1,
        timeout=_ANSWER,
        stream_timeout=_TOKEN,
        # With 3 it asks an outage more often than ours, and is counted worse.
        allowed_fails=1,
        cooldown_time=models.cooldown or 0.5,
    )

    async def ask(question: str, stream: bool, shown: list[str]) -> Answered:
        given: Any = {"model": first, "messages": [{"role": "user", "content": question}]}
        if not stream:
            response: Any = await router.acompletion(**given)
            usage = response.usage
            used = (usage.prompt_tokens, usage.completion_tokens)
            return Answered(response.choices[0].message.content, response.model, used)
        chunks = []
        given |= {"stream": True, "stream_options": {"include_usage": True}}
        async for chunk in await router.acompletion(**given):
            chunks.append(chunk)
            if chunk.choices:
                shown.append(chunk.choices[0].delta.content or "")
        built: Any = litellm.stream_chunk_builder(chunks)
        used = (built.usage.prompt_tokens, built.usage.completion_tokens)
        return Answered("".join(shown), built.model, used)

    return ask


def langchain_fallback(models: Models) -> Failing:
    """LangChain's ModelFallbackMiddleware.

    One more try is the client's, which waits as long as Retry-After says; ModelRetryMiddleware
    does not.
    """
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelFallbackMiddleware
    from langchain_core._api import LangChainBetaWarning
    from langchain_openai import ChatOpenAI

    warnings.simplefilter("ignore", LangChainBetaWarning)

    made = [
        ChatOpenAI(
            model=name,
            base_url=models.url,
            api_key="test-key",
            max_retries=1,
            timeout=_TOKEN,
            stream_chunk_timeout=_TOKEN,
            stream_usage=True,
        )
        for name in models.names
    ]
    spares = [ModelFallbackMiddleware(*made[1:])] if made[1:] else []
    agent: Any = create_agent(made[0], middleware=spares)

    async def ask(question: str, stream: bool, shown: list[str]) -> Answered:
        given = {"messages": [{"role": "user", "content": question}]}
        if not stream:
            return _told((await agent.ainvoke(given))["messages"][-1])
        run = await agent.astream_events(given, version="v3")
        async for message in run.messages:
            shown.clear()
            # A message that failed may be followed by the spare's.
            try:
                async for delta in message.text:
                    shown.append(delta)
            except Exception:
                continue
        ended = await run.output()
        return _told(ended["messages"][-1])

    def _told(message: Any) -> Answered:
        usage = message.usage_metadata or {}
        used = (usage.get("input_tokens", 0), usage.get("output_tokens", 0))
        return Answered(message.text, message.response_metadata.get("model_name"), used)

    return ask


def agents_retry(models: Models) -> Failing:
    """The Agents SDK with its retries; it has no other model to turn to."""
    from agents import (
        Agent,
        ModelRetrySettings,
        ModelSettings,
        OpenAIChatCompletionsModel,
        Runner,
        retry_policies,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI
    from openai.types.responses import ResponseTextDeltaEvent

    set_tracing_disabled(True)
    policy = retry_policies.any(
        retry_policies.provider_suggested(),
        retry_policies.retry_after(),
        retry_policies.network_error(),
        retry_policies.http_status([408, 409, 429, 500, 502, 503, 504]),
    )
    settings = ModelSettings(
        include_usage=True,
        retry=ModelRetrySettings(max_retries=1, backoff={"initial_delay": 0.05}, policy=policy),
    )
    client = AsyncOpenAI(base_url=models.url, api_key="test-key", timeout=_TOKEN, max_retries=0)
    model = OpenAIChatCompletionsModel(model=models.names[0], openai_client=client)
    agent = Agent(name="Desk", model=model, model_settings=settings)

    async def ask(question: str, stream: bool, shown: list[str]) -> Answered:
        if not stream:
            return Answered(str((await Runner.run(agent, question)).final_output))
        run = Runner.run_streamed(agent, question)
        async for event in run.stream_events():
            if event.type == "raw_response_event" and isinstance(
                event.data, ResponseTextDeltaEvent
            ):
                shown.append(event.data.delta)
        return Answered(str(run.final_output))

    return ask


def pydantic_fallback(models: Models) -> Failing:
    """pydantic-ai's FallbackModel; the client tries once more, and knows Retry-After.

    It falls back on whatever is raised but content filters; its default misses broken JSON.
    """
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def worth_asking_again(error: Exception) -> bool:
        return "content_filter" not in str(getattr(error, "body", ""))

    client = AsyncOpenAI(base_url=models.url, api_key="test-key", timeout=_TOKEN, max_retries=1)
    provider = OpenAIProvider(openai_client=client)
    made = [OpenAIChatModel(name, provider=provider) for name in models.names]
    model: Any = made[0]
    if made[1:]:
        model = FallbackModel(*made, fallback_on=worth_asking_again)
    agent = Agent(model)

    async def ask(question: str, stream: bool, shown: list[str]) -> Answered:
        result: Any = None
        if not stream:
            result = await agent.run(question)
        else:
            async with agent.run_stream_events(question) as events:
                async for event in events:
                    shown.append(said(event))
                    result = getattr(event, "result", result)
        response = [each for each in result.all_messages() if each.kind == "response"][-1]
        used = (response.usage.input_tokens, response.usage.output_tokens)
        return Answered(str(result.output), response.model_name, used)

    return ask


FAILING: dict[str, Callable[[Models], Failing]] = {
    "LiteLLM": litellm_router,
    "LangChain": langchain_fallback,
    "OpenAI Agents SDK": agents_retry,
    "pydantic-ai": pydantic_fallback,
}
