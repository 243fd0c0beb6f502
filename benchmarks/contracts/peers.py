"""Who is asked for structured outputs: ours, Agno alone, Instructor and pydantic-ai.

Each is set up as its documentation has it for an object out of a text. Where that leaves a choice,
played is the setting in which most is right with the fewest calls; of Instructor's, which trade one
for the other, both MD_JSON (fewest calls) and JSON_SCHEMA (fewest wrong). `--settings` plays all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.models.portkey import Portkey
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from pydantic import BaseModel

from agno_portkey import PortkeyModel

__all__ = ["Ask", "Player", "Refused", "agno", "ours", "players"]

# From a schema and a prompt to what comes out; raises where nothing does.
Ask = Callable[[type[BaseModel], str], Awaitable[object]]
MODEL = "gpt-4o-mini"
# How often the two others may ask again.
RETRIES = 3


class Refused(Exception):
    """A run of Agno's that ended with status ERROR."""


@dataclass(frozen=True)
class Player:
    """Who is asked, in which setting; `ready` opens what asks the model at an address."""

    name: str
    setting: str
    ready: Callable[[str], AbstractAsyncContextManager[Ask]]


def ours() -> Player:
    @asynccontextmanager
    async def ready(url: str) -> AsyncIterator[Ask]:
        yield _agent(PortkeyModel(base_url=url, api_key="k"))

    return Player("ours", "as it comes", ready)


def agno(*, json_mode: bool = False) -> Player:
    """Agno with its own model for Portkey; `json_mode` puts the schema into the prompt."""

    @asynccontextmanager
    async def ready(url: str) -> AsyncIterator[Ask]:
        model = Portkey(base_url=url, portkey_api_key="k")
        async with model.get_async_client():
            yield _agent(model, use_json_mode=json_mode)

    return Player("Agno alone", f"use_json_mode={json_mode}, its own Portkey model", ready)


def _agent(model: Model, **options: Any) -> Ask:
    async def ask(schema: type[BaseModel], prompt: str) -> object:
        agent = Agent(model=model, output_schema=schema, **options)
        ended: RunOutput = await agent.arun(prompt)
        if ended.status != RunStatus.completed:
            raise Refused(str(ended.content))
        return ended.content

    return ask


def instructor_in(mode: str, *, strict: bool) -> Player:
    """Instructor in a mode; `strict` is Pydantic's, which then takes no "7" for 7."""

    @asynccontextmanager
    async def ready(url: str) -> AsyncIterator[Ask]:
        import instructor
        from openai import AsyncOpenAI

        async def ask(schema: type[BaseModel], prompt: str) -> object:
            return await patched.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": prompt}],
                response_model=schema,
                max_retries=RETRIES,
                strict=strict,
            )

        async with AsyncOpenAI(base_url=url, api_key="k") as client:
            patched = instructor.from_openai(client, mode=instructor.Mode[mode])
            yield ask

    return Player("Instructor", f"{mode} strict={strict}, max_retries={RETRIES}", ready)


def pydantic_ai_in(kind: str) -> Player:
    """pydantic-ai with one of its markers for outputs in text."""

    @asynccontextmanager
    async def ready(url: str) -> AsyncIterator[Ask]:
        import pydantic_ai
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        marker: Any = getattr(pydantic_ai, kind)

        async def ask(schema: type[BaseModel], prompt: str) -> object:
            agent = pydantic_ai.Agent(model, output_type=marker(schema), retries=RETRIES)
            return (await agent.run(prompt)).output

        async with AsyncOpenAI(base_url=url, api_key="k") as client:
            model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
            yield ask

    return Player("pydantic-ai", f"{kind}, retries={RETRIES}", ready)


def players(*, every: bool = False) -> list[Player]:
    """Ours first, then the others in their best settings, or in every one."""
    best = [
        ours(),
        agno(),
        instructor_in("MD_JSON", strict=False),
        instructor_in("JSON_SCHEMA", strict=False),
        pydantic_ai_in("NativeOutput"),
    ]
    rest = [
        agno(json_mode=True),
        instructor_in("JSON", strict=False),
        *(instructor_in(mode, strict=True) for mode in ("MD_JSON", "JSON", "JSON_SCHEMA")),
        pydantic_ai_in("PromptedOutput"),
    ]
    return [*best, *rest] if every else best
