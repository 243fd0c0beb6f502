"""The calls that planted secrets go out with: well, and with errors that quote them all."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.message import Message
from agno.run.agent import RunOutput
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agno_portkey import PortkeyModel, govern, telemetry
from agno_portkey.cache import CachePolicy
from agno_portkey.hooks import AuditHook
from agno_portkey.routing import Recovery, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.secrets import Secret
from agno_portkey.telemetry.audit import AuditLog
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.testing import EmbeddedProvider, Fault, Request
from benchmarks.security.planted import PLACES, SOURCES, Planted

__all__ = ["FORMS", "Stage"]

FORMS = ("run", "arun", "stream", "astream")
_HEADERS = ("authorization", "x-portkey-api-key", "x-portkey-virtual-key", "x-portkey-config")
# What the answer to each kind of call is; those that fail quote all that they were sent.
_STORIES: dict[str, Callable[[str], Fault]] = {
    "refused": lambda said: Fault.status(401, message=said),
    "failed": lambda said: Fault.status(500, message=said),
    "reported": lambda said: Fault.error_chunk(message=said),
    "cut": lambda said: Fault.cut(),
    "html": lambda said: Fault.html(),
}


@dataclass
class Stage:
    """Who plays the stories, and who hears of them; `told` keeps what is shown of them."""

    planted: Planted
    provider: EmbeddedProvider
    gateway: LocalGateway
    folder: Path
    told: Any
    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def play(self) -> None:
        """Play all stories, with all that listens set up."""
        exporter = InMemorySpanExporter()
        spans = SqliteDb(db_file=str(self.folder / "spans.db"))
        log = AuditLog(self.folder / "audit.jsonl", key_file=self.folder / "audit.key")
        ledger = Ledger(str(self.folder / "ledger.db"))
        for story, fault in _STORIES.items():
            self.provider.when(
                lambda asked, story=story: story in asked.last_user,
                lambda asked, fault=fault: fault(_quoted(asked)),
            )
        with telemetry.setup(exporters=[exporter], db=spans) as held:
            for number in range(len(SOURCES)):
                self._play_with(number, [AuditHook(log), ledger])
            held.flush()
        ledger.flush()
        log.close()
        self.told.note("spans", "".join(span.to_json() for span in exporter.get_finished_spans()))

    def sent(self) -> Counter[tuple[str, str]]:
        """How often each secret was really sent."""
        return Counter(
            (source, place)
            for request in self.provider.requests
            for (source, place), value in self.planted.values.items()
            if value in _quoted(request)
        )

    def _play_with(self, number: int, observers: list[Any]) -> None:
        # Each source serves each place once.
        of = {place: SOURCES[(number + at) % len(SOURCES)] for at, place in enumerate(PLACES)}
        keys = {place: self._secret(of[place], place) for place in PLACES[:3]}
        routed = self._routed(of["route"])
        models = [
            PortkeyModel(base_url=self.provider.url, profile="hosted", **keys, **self._common()),
            PortkeyModel(base_url=self.gateway.url, **routed, **self._common()),
        ]
        for which, model in enumerate(models):
            self._play(model, f"{number}-{which}", observers)
        self._fails(keys, of)
        for what, thing in {"a model": models[0], "a routed model": models[1], **keys}.items():
            self.told.thing(what, thing)
        for source in self.planted.sources.values():
            self.told.thing("a source", source)
        self.told.thing("a client", _Around(vars(models[0].get_client())))

    def _common(self) -> dict[str, Any]:
        cache = CachePolicy(scope="public", store=str(self.folder / "cache.db"))
        return {"recovery": Recovery(attempts=1), "cache": cache}

    def _secret(self, source: str, place: str) -> Secret:
        return Secret(self.planted.name(source, place), self.planted.sources[source])

    def _routed(self, source: str) -> dict[str, Any]:
        reference = f"${{{self.planted.name(source, 'route')}}}"
        target = Target(provider="openai", api_key=reference, custom_host=self.provider.url)
        # References are read from the environment in any case.
        secrets = None if source == "environment" else self.planted.sources[source]
        return {"config": target, "secrets": secrets}

    def _play(self, model: PortkeyModel, name: str, observers: list[Any]) -> None:
        db = SqliteDb(db_file=str(self.folder / "agno.db"))
        agent = Agent(name="Helper", model=model, db=db, debug_mode=True)
        agent = govern(agent, observers=observers)
        for turn, story in enumerate(["answered", *_STORIES]):
            form = FORMS[turn % len(FORMS)]
            for each in (*FORMS,) if story in ("answered", "refused") else (form,):
                said = f"{story} {each} {name}"
                self._tried(lambda each=each, said=said: self._run(agent, each, said))
            said = f"{story} once more {name}"
            self._tried(lambda said=said, form=form: _ask(agent.model, form, said))
        self.told.thing("an agent", agent)

    def _fails(self, keys: dict[str, Secret], of: dict[str, str]) -> None:
        """What comes of a gateway that is not there, and of a source that quotes what it holds."""
        gone = PortkeyModel(base_url="http://127.0.0.1:9/v1", profile="hosted", **keys)
        gone.recovery = Recovery(attempts=1)
        for form in FORMS:
            self._tried(lambda form=form: _ask(gone, form, "gone"))
        lying = Secret("LYING", _Lying(self.planted.values[of["api_key"], "api_key"]))
        lied_to = PortkeyModel(base_url=self.provider.url, api_key=lying)
        for form in FORMS:
            self._tried(lambda form=form: _ask(lied_to, form, "lied to"))

    def _run(self, agent: Agent, form: str, said: str) -> None:
        outputs: list[RunOutput] = []
        if form == "run":
            outputs = [agent.run(said)]
        elif form == "arun":
            outputs = [asyncio.run(_awaited(agent, said))]
        else:
            events = (
                list(agent.run(said, stream=True, stream_events=True))
                if form == "stream"
                else asyncio.run(_events(agent, said))
            )
            self.told.note("events", "".join(f"{event!r} {event.to_dict()}" for event in events))
        for output in outputs:
            self.told.note("run outputs", f"{output!r} {output.to_json()}")

    def _tried(self, do: Callable[[], Any]) -> None:
        self.calls += 1
        try:
            do()
        except Exception as error:
            self.errors[type(error).__name__] += 1
            self.told.error(error)


class _Lying:
    """A source that fails with what it holds in its words."""

    environment: str | None = None

    def __init__(self, value: str) -> None:
        self._value = value

    def read(self, name: str) -> str:
        raise OSError(f"can't unlock {self._value}")


class _Around:
    """Something whose variables are looked at, where it can't be copied itself."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held = repr(held)


def _quoted(request: Request) -> str:
    said = [request.headers.get(name, "") for name in _HEADERS]
    try:
        config = json.loads(request.headers.get("x-portkey-config", "null"))
    except ValueError:
        config = None
    return " ".join([*said, str(config)])


def _ask(model: Any, form: str, said: str) -> Any:
    messages = [Message(role="user", content=said)]
    if form == "run":
        return model.response(messages=messages)
    if form == "arun":
        return asyncio.run(model.aresponse(messages=messages))
    if form == "stream":
        return list(model.response_stream(messages=messages))
    return asyncio.run(_deltas(model, messages))


async def _deltas(model: Any, messages: list[Message]) -> list[Any]:
    return [delta async for delta in model.aresponse_stream(messages=messages)]


async def _awaited(agent: Agent, said: str) -> RunOutput:
    output: RunOutput = await agent.arun(said)
    return output


async def _events(agent: Agent, said: str) -> list[Any]:
    return [event async for event in agent.arun(said, stream=True, stream_events=True)]
