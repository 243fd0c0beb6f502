"""pydantic-ai: an agent with hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar

from benchmarks.peers.asked import MODEL, PATIENCE, Ask, Chat, Rule

__all__ = ["PydanticAI"]


class PydanticAI:
    name = "pydantic-ai"
    packages: Sequence[str] = ("pydantic-ai-slim",)
    claims: frozenset[str] = frozenset()
    setting: ClassVar[Mapping[str, str]] = {
        "A": "it has no detectors of its own",
        "B": f"Hooks: before_model_request and after_model_request with timeout={PATIENCE}, and a"
        " wrapper of the event stream that holds an answer to its end, for which it takes no"
        " timeout",
        "E": "FallbackModel on whatever is raised but content filters; timeouts and max_retries=1"
        " are the client's",
        "F": "it has no cache of answers",
    }

    def personal(self, url: str) -> None:
        return None

    def cached(self, url: str, *, by_hand: bool) -> None:
        return None

    def ruled(self, url: str, rule: Rule) -> Ask:
        return _asking(url, lambda stream: [_ruling(rule, stream=stream)])


def _ruling(rule: Rule, *, stream: bool) -> Any:
    """The rule as hooks; their timeouts are for what is called and for what is awaited."""
    from pydantic_ai.capabilities import Hooks

    hooks: Any = Hooks()
    before, after = _awaited(rule) if rule.awaited else _called(rule)
    hooks.on.before_model_request(before, timeout=PATIENCE)
    hooks.on.after_model_request(after, timeout=PATIENCE)

    async def held(ctx: Any, *, stream: Any) -> AsyncIterator[Any]:
        events = [event async for event in stream]
        text = "".join(map(said, events))
        _refuse(await rule.aforbids(text) if rule.awaited else rule.forbids(text))
        for event in events:
            yield event

    if stream:
        hooks.on.run_event_stream(held)
    return hooks


def _called(rule: Rule) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def before(ctx: Any, context: Any) -> Any:
        _refuse(any(map(rule.forbids, _texts(context.messages))))
        return context

    def after(ctx: Any, *, request_context: Any, response: Any) -> Any:
        _refuse(any(map(rule.forbids, _texts([response]))))
        return response

    return before, after


def _awaited(rule: Rule) -> tuple[Callable[..., Any], Callable[..., Any]]:
    async def before(ctx: Any, context: Any) -> Any:
        for text in _texts(context.messages):
            _refuse(await rule.aforbids(text))
        return context

    async def after(ctx: Any, *, request_context: Any, response: Any) -> Any:
        for text in _texts([response]):
            _refuse(await rule.aforbids(text))
        return response

    return before, after


def _refuse(forbidden: bool) -> None:
    if forbidden:
        raise PermissionError("a secret project is named")


def _texts(messages: Sequence[Any]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    return [str(getattr(part, "content", "")) for part in parts]


def said(event: Any) -> str:
    """The text that an event brings."""
    from pydantic_ai import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _asking(url: str, capabilities: Callable[[bool], Sequence[Any]]) -> Ask:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, ModelRequest, ModelResponse, TextPart
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async def ask(chat: Chat, show: Callable[[str], None]) -> None:
        client = AsyncOpenAI(base_url=url, api_key="test-key", max_retries=0)
        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
        agent: Any = Agent(model, capabilities=[*capabilities(chat.stream)])
        if chat.tool is not None:
            called = chat.tool

            @agent.tool_plain
            def lookup(query: str) -> str:
                """Look something up."""
                return called(query)

        history = [
            ModelRequest.user_text_prompt(text)
            if role == "user"
            else ModelResponse([TextPart(text)])
            for role, text in chat.history
        ]
        if not chat.stream:
            show(str((await agent.run(chat.question, message_history=history)).output))
            return
        async with agent.run_stream_events(chat.question, message_history=history) as events:
            async for event in events:
                show(said(event))

    return ask
