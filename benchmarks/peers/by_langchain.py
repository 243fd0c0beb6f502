"""LangChain: `create_agent` with its middleware."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from httpx import AsyncClient

from benchmarks.peers.asked import MODEL, PATIENCE, Ask, Chat, Rule

__all__ = ["LangChain"]

_TYPES = {"e-mail": "email", "card": "credit_card", "IP address": "ip", "URL": "url"}
_EVERYWHERE = {"apply_to_input": True, "apply_to_output": True, "apply_to_tool_results": True}


class LangChain:
    name = "LangChain"
    packages: Sequence[str] = ("langchain", "langchain-openai")
    claims = frozenset(_TYPES)
    setting: ClassVar[Mapping[str, str]] = {
        "A": "PIIMiddleware(strategy='redact', apply_to_input=, apply_to_output= and"
        " apply_to_tool_results=True) for each type; streams by astream_events(version='v3')",
        "B": "the rule as the detector of a PIIMiddleware(strategy='block') that looks at all"
        " three, which holds in streams too; one that is awaited in abefore_model and"
        f" aafter_model; step_timeout={PATIENCE}",
        "E": "ModelFallbackMiddleware; timeouts and max_retries=1 are the client's, which minds"
        " Retry-After as ModelRetryMiddleware does not",
        "F": "InMemoryCache, and the user told in the run's config; by hand, ChatOpenAI's"
        " model_kwargs={'user': tenant and user}, which is part of its key",
    }

    def personal(self, url: str) -> Ask:
        from langchain.agents.middleware import PIIMiddleware

        guards = [PIIMiddleware(kind, strategy="redact", **_EVERYWHERE) for kind in _TYPES.values()]
        return _asking(url, guards)

    def ruled(self, url: str, rule: Rule) -> Ask:
        return _asking(url, [_awaited(rule) if rule.awaited else _called(rule)], PATIENCE)

    def cached(self, url: str, *, by_hand: bool) -> Ask:
        from langchain_core.caches import InMemoryCache

        kept = InMemoryCache()

        async def ask(chat: Chat, show: Callable[[str], None]) -> None:
            apart = {"user": f"{chat.tenant}/{chat.user}"} if by_hand else {}
            await _asking(url, [], old=True, cache=kept, model_kwargs=apart)(chat, show)

        return ask


def _called(rule: Rule) -> Any:
    from langchain.agents.middleware import PIIMiddleware

    def detect(text: str) -> list[dict[str, Any]]:
        if not rule.forbids(text):
            return []
        return [{"type": "codename", "value": text, "start": 0, "end": len(text)}]

    return PIIMiddleware("codename", strategy="block", detector=detect, **_EVERYWHERE)


def _awaited(rule: Rule) -> Any:
    from langchain.agents.middleware import AgentMiddleware

    async def check(state: Any) -> None:
        for message in state["messages"]:
            if await rule.aforbids(str(message.content)):
                raise PermissionError("a secret project is named")

    class Awaited(AgentMiddleware):
        async def abefore_model(self, state: Any, runtime: Any) -> None:
            await check(state)

        async def aafter_model(self, state: Any, runtime: Any) -> None:
            await check(state)

    return Awaited()


def _asking(
    url: str,
    middleware: Sequence[Any],
    step_timeout: float | None = None,
    *,
    old: bool = False,
    **options: Any,
) -> Ask:
    """`old` streams by `astream`, since version 3 fails where an answer comes from a cache."""
    from langchain.agents import create_agent
    from langchain_core._api import LangChainBetaWarning
    from langchain_core.tools import tool as as_tool
    from langchain_openai import ChatOpenAI

    # Version 3 of its streams is told to be in beta.
    warnings.simplefilter("ignore", LangChainBetaWarning)

    async def ask(chat: Chat, show: Callable[[str], None]) -> None:
        tools = []
        if chat.tool is not None:
            called = chat.tool

            @as_tool
            def lookup(query: str) -> str:
                """Look something up."""
                return called(query)

            tools.append(lookup)
        # It would keep a client of an event loop that has ended.
        made = {"max_retries": 0, "http_async_client": AsyncClient(), **options}
        model = ChatOpenAI(model=MODEL, base_url=url, api_key="test-key", **made)
        agent = create_agent(model, tools, middleware=middleware)
        agent.step_timeout = step_timeout
        turns = [*chat.history, ("user", chat.question)]
        given = {"messages": [{"role": role, "content": text} for role, text in turns]}
        config: Any = {"metadata": {"user_id": chat.user, "tenant": chat.tenant}}
        if not chat.stream:
            ended = await agent.ainvoke(given, config)
            show(ended["messages"][-1].text)
            return
        if old:
            async for piece, _ in agent.astream(given, config, stream_mode="messages"):
                show(piece.text)
            return
        run = await agent.astream_events(given, config, version="v3")
        async for message in run.messages:
            async for delta in message.text:
                show(delta)
        await run.output()

    return ask
