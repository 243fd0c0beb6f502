"""Agno alone: its own guardrails as hooks, and its own models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from agno.agent import Agent
from agno.exceptions import InputCheckError, OutputCheckError
from agno.guardrails import PIIDetectionGuardrail
from agno.models.openai import OpenAIChat

from benchmarks.peers.asked import MODEL, Ask, Rule
from benchmarks.peers.by_ours import asking

__all__ = ["AgnoAlone"]


class AgnoAlone:
    name = "Agno alone"
    packages: Sequence[str] = ("agno",)
    claims = frozenset({"e-mail", "card", "phone"})
    setting: ClassVar[Mapping[str, str]] = {
        "A": "PIIDetectionGuardrail(mask_pii=True) as a pre-hook, the only place it takes",
        "B": "the rule in pre_hooks, post_hooks and tool_hooks, raising Agno's own errors",
        "E": "its own Portkey, over the same gateway and fallback as ours",
        "F": "OpenAIChat(cache_response=True); by hand, a cache_dir for each user",
    }

    def personal(self, url: str) -> Ask:
        guard = PIIDetectionGuardrail(mask_pii=True)
        return asking(lambda tools: Agent(model=_model(url), tools=[*tools], pre_hooks=[guard]))

    def ruled(self, url: str, rule: Rule) -> Ask:
        hooks = _awaited(rule) if rule.awaited else _called(rule)
        return asking(lambda tools: Agent(model=_model(url), tools=[*tools], **hooks))

    def cached(self, url: str, *, by_hand: bool) -> Ask:
        folder = tempfile.mkdtemp(prefix="peers-cache-")

        async def ask(chat: Any, show: Callable[[str], None]) -> None:
            place = f"{folder}/{chat.tenant}-{chat.user}" if by_hand else folder
            model = _model(url, cache_response=True, cache_dir=place)
            await asking(lambda tools: Agent(model=model, tools=[*tools]))(chat, show)

        return ask


def _model(url: str, **options: Any) -> OpenAIChat:
    return OpenAIChat(MODEL, base_url=url, api_key="test-key", max_retries=0, **options)


def _refuse(forbidden: bool, error: type[Exception]) -> None:
    if forbidden:
        raise error("a secret project is named")


def _called(rule: Rule) -> dict[str, Any]:
    def before(run_input: Any) -> None:
        _refuse(rule.forbids(run_input.input_content_string()), InputCheckError)

    def after(run_output: Any) -> None:
        _refuse(rule.forbids(str(run_output.content)), OutputCheckError)

    async def around(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        result = await _result(function_call, arguments)
        _refuse(rule.forbids(str(result)), OutputCheckError)
        return result

    return {"pre_hooks": [before], "post_hooks": [after], "tool_hooks": [around]}


def _awaited(rule: Rule) -> dict[str, Any]:
    async def before(run_input: Any) -> None:
        _refuse(await rule.aforbids(run_input.input_content_string()), InputCheckError)

    async def after(run_output: Any) -> None:
        _refuse(await rule.aforbids(str(run_output.content)), OutputCheckError)

    async def around(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        result = await _result(function_call, arguments)
        _refuse(await rule.aforbids(str(result)), OutputCheckError)
        return result

    return {"pre_hooks": [before], "post_hooks": [after], "tool_hooks": [around]}


async def _result(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    result = function_call(**arguments)
    return await result if hasattr(result, "__await__") else result
