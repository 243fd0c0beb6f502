"""LiteLLM: its router, with the hooks of its proxy called in the proxy's order.

The proxy itself needs an older Rich than ours; its guardrails are played without its server.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar

from benchmarks.peers.asked import MODEL, Ask, Chat, Rule

__all__ = ["LiteLLM"]

# Its prices of models are in the package; it would fetch newer ones.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
_TYPES = {
    "e-mail": "email",
    "card": "credit_card",
    "phone": "us_phone",
    "IP address": "ipv4",
    "IBAN": "iban",
    "URL": "url",
}


class LiteLLM:
    name = "LiteLLM"
    packages: Sequence[str] = ("litellm",)
    claims = frozenset(_TYPES)
    setting: ClassVar[Mapping[str, str]] = {
        "A": "its content filter with its own patterns, action MASK, before and after each call",
        "B": "a CustomGuardrail with all three hooks; the one for streams holds an answer to its"
        " end, as LiteLLM's own for Presidio does; it has no limit of time for it",
        "E": "Router(fallbacks=, context_window_fallbacks=, num_retries=1, timeout=,"
        " stream_timeout=, allowed_fails=1, cooldown_time=)",
        "F": "Cache(type='local'), and the user told as user=; by hand,"
        " cache={'namespace': tenant}",
    }

    def personal(self, url: str) -> Ask:
        from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter.content_filter import (
            ContentFilterGuardrail,
        )
        from litellm.types.guardrails import ContentFilterPattern

        patterns = [
            ContentFilterPattern(pattern_type="prebuilt", pattern_name=name, action="MASK")
            for name in _TYPES.values()
        ]
        guard = ContentFilterGuardrail(guardrail_name="personal", patterns=patterns, **_AROUND)
        return _asking(url, _Proxy(guard))

    def ruled(self, url: str, rule: Rule) -> Ask:
        return _asking(url, _Proxy(_ruling(rule)))

    def cached(self, url: str, *, by_hand: bool) -> Ask:
        import litellm

        litellm.cache = litellm.Cache(type="local")

        async def ask(chat: Chat, show: Callable[[str], None]) -> None:
            apart = {"cache": {"namespace": chat.tenant}} if by_hand else {}
            await _asking(url, None, caching=True, **apart)(chat, show)
            # What it keeps is written by a task of its own.
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=1)

        return ask


_AROUND: dict[str, Any] = {"event_hook": ["pre_call", "post_call"], "default_on": True}


def _ruling(rule: Rule) -> Any:
    import litellm
    from litellm.integrations.custom_guardrail import CustomGuardrail

    async def check(texts: Sequence[Any]) -> None:
        for text in texts:
            forbidden = rule.awaited and await rule.aforbids(str(text))
            if forbidden or (not rule.awaited and rule.forbids(str(text))):
                raise PermissionError("a secret project is named")

    class Ruling(CustomGuardrail):
        async def async_pre_call_hook(
            self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any
        ) -> Any:
            await check([message.get("content") for message in data["messages"]])
            return data

        async def async_post_call_success_hook(
            self, data: Any, user_api_key_dict: Any, response: Any
        ) -> Any:
            await check([choice.message.content for choice in response.choices])
            return response

        async def async_post_call_streaming_iterator_hook(
            self, user_api_key_dict: Any, response: Any, request_data: Any
        ) -> AsyncIterator[Any]:
            chunks = [chunk async for chunk in response]
            whole: Any = litellm.stream_chunk_builder(chunks)
            await check([choice.message.content for choice in whole.choices])
            for chunk in chunks:
                yield chunk

    return Ruling(guardrail_name="rule", **_AROUND)


class _Proxy:
    """A guardrail around a call, as `litellm.proxy.utils.ProxyLogging` has it."""

    def __init__(self, guard: Any) -> None:
        from litellm.caching.caching import DualCache
        from litellm.proxy._types import UserAPIKeyAuth
        from litellm.proxy.guardrails.guardrail_hooks.unified_guardrail.unified_guardrail import (
            UnifiedLLMGuardrails,
        )

        self.guard = guard
        self.unified = "apply_guardrail" in type(guard).__dict__
        self.hooks = UnifiedLLMGuardrails() if self.unified else guard
        self.user = UserAPIKeyAuth(request_route="/chat/completions")
        self.cache = DualCache()

    def _given(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "guardrail_to_apply": self.guard} if self.unified else data

    async def before(self, data: dict[str, Any]) -> dict[str, Any]:
        found = await self.hooks.async_pre_call_hook(
            user_api_key_dict=self.user,
            cache=self.cache,
            data=self._given(data),
            call_type="acompletion",
        )
        return data if found is None else dict(found)

    async def after(self, data: dict[str, Any], response: Any) -> Any:
        found = await self.hooks.async_post_call_success_hook(
            data=self._given(data), user_api_key_dict=self.user, response=response
        )
        return response if found is None else found

    def streamed(self, data: dict[str, Any], response: Any) -> AsyncIterator[Any]:
        stream: AsyncIterator[Any] = self.guard.async_post_call_streaming_iterator_hook(
            user_api_key_dict=self.user, response=response, request_data=data
        )
        return stream


def _asking(url: str, proxy: _Proxy | None, **options: Any) -> Ask:
    """Calls until no tool is called for, as an application behind the proxy makes them."""
    import litellm

    async def ask(chat: Chat, show: Callable[[str], None]) -> None:
        # It would keep a client of an event loop that has ended.
        litellm.in_memory_llm_clients_cache.flush_cache()
        turns = [*chat.history, ("user", chat.question)]
        messages: list[Any] = [{"role": role, "content": text} for role, text in turns]
        while True:
            message = await _called(url, proxy, chat, messages, show, options)
            if not message.tool_calls:
                return
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                assert chat.tool is not None
                result = chat.tool(json.loads(call.function.arguments)["query"])
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    return ask


async def _called(
    url: str,
    proxy: _Proxy | None,
    chat: Chat,
    messages: list[Any],
    show: Callable[[str], None],
    options: dict[str, Any],
) -> Any:
    """One call; the answer's message."""
    import litellm

    data: dict[str, Any] = {"model": f"openai/{MODEL}", "messages": [*messages]}
    data |= {"stream": chat.stream, "metadata": {}, "user": chat.user}
    if chat.tool is not None:
        data["tools"] = [_LOOKUP]
    if proxy is not None:
        data = await proxy.before(data)
    sent = {name: value for name, value in data.items() if name not in _ABOUT}
    response: Any = await litellm.acompletion(
        **sent, api_base=url, api_key="test-key", max_retries=0, **options
    )
    if not chat.stream:
        if proxy is not None:
            response = await proxy.after(data, response)
        message = response.choices[0].message
        show(message.content or "")
        return message
    stream = response if proxy is None else proxy.streamed(data, response)
    chunks = []
    async for chunk in stream:
        chunks.append(chunk)
        if chunk.choices:
            show(chunk.choices[0].delta.content or "")
    built: Any = litellm.stream_chunk_builder(chunks)
    return built.choices[0].message


# What the hooks leave in the request for the log.
_ABOUT = ("metadata", "litellm_metadata", "guardrail_to_apply")
_LOOKUP = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look something up.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}
