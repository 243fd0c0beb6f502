"""Ours: an Agno agent under `govern`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from agno.agent import Agent
from agno.models.message import Message
from agno.run.agent import RunContentEvent, RunErrorEvent, RunOutput
from agno.run.base import RunStatus

from agno_portkey import Block, Guard, Passage, PortkeyModel, govern
from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.guardrails import PIIGuardrail
from agno_portkey.guardrails.pii import Analyzer
from benchmarks.peers.asked import MODEL, PATIENCE, Ask, Chat, Rule

__all__ = ["Ours", "Refused", "asking", "plain_agent"]

_ENTITIES = {
    "e-mail": "EMAIL_ADDRESS",
    "card": "CREDIT_CARD",
    "phone": "PHONE_NUMBER",
    "IP address": "IP_ADDRESS",
    "IBAN": "IBAN_CODE",
    "URL": "URL",
}


class Refused(Exception):
    """A run that ended with status ERROR."""


class Ours:
    name = "agno-portkey"
    packages: Sequence[str] = ("agno-portkey", "agno")
    claims = frozenset(_ENTITIES)
    setting: ClassVar[Mapping[str, str]] = {
        "A": "govern(pii=PIIGuardrail('mask', entities=[the six types]))",
        "B": f"govern(guards=[a Guard with timeout={PATIENCE}])",
        "E": "PortkeyModel with Recovery, and a CircuitBreaker in the outage",
        "F": "CachePolicy(), whose scope is the user; there is nothing to add by hand",
    }

    def personal(self, url: str) -> Ask:
        return asking(lambda tools: govern(plain_agent(url, tools), pii=_masking()))

    def ruled(self, url: str, rule: Rule) -> Ask:
        guard = _AwaitedRule(rule) if rule.awaited else _CalledRule(rule)
        return asking(lambda tools: govern(plain_agent(url, tools), guards=[guard]))

    def cached(self, url: str, *, by_hand: bool) -> Ask:
        policy = CachePolicy(store=Cache(":memory:"))
        return asking(lambda tools: plain_agent(url, tools, cache=policy))


class _CalledRule(Guard):
    timeout = PATIENCE

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if self.rule.forbids(passage.text) else None


class _AwaitedRule(Guard):
    timeout = PATIENCE

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    async def inspect(self, passage: Passage) -> Block | None:
        return (
            Block("a secret project is named") if await self.rule.aforbids(passage.text) else None
        )


@cache
def _analyzer() -> Analyzer:
    return Analyzer(entities=[*_ENTITIES.values()])


def _masking() -> PIIGuardrail:
    return PIIGuardrail("mask", analyzer=_analyzer())


def plain_agent(url: str, tools: Sequence[Callable[..., Any]], **options: Any) -> Agent:
    model = PortkeyModel(MODEL, base_url=url, api_key="test-key", **options)
    return Agent(model=model, tools=[*tools])


def asking(make: Callable[[Sequence[Callable[..., Any]]], Agent]) -> Ask:
    """How an Agno agent that is made with some tools is asked."""

    async def ask(chat: Chat, show: Callable[[str], None]) -> None:
        agent = make([_lookup(chat.tool)] if chat.tool else [])
        turns = [*chat.history, ("user", chat.question)]
        given = [Message(role=role, content=text) for role, text in turns]
        options = {"user_id": chat.user, "metadata": {"agno_portkey.tenant": chat.tenant}}
        message = given if chat.history else chat.question
        if not chat.stream:
            run: RunOutput = await agent.arun(message, **options)
            if run.status != RunStatus.completed:
                raise Refused(str(run.content))
            show(str(run.content))
            return
        async for event in agent.arun(message, stream=True, stream_events=True, **options):
            if isinstance(event, RunErrorEvent):
                raise Refused(str(event.content))
            if isinstance(event, RunContentEvent) and isinstance(event.content, str):
                show(event.content)

    return ask


def _lookup(tool: Callable[[str], str]) -> Callable[[str], str]:
    def lookup(query: str) -> str:
        """Look something up."""
        return tool(query)

    return lookup
