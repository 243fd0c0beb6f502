"""What the pins on the host share: `pin`, a scripted model without HTTP, and four ways to run."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput

import agno_portkey

PACKAGE = Path(agno_portkey.__file__).parent
WAYS = ("run", "arun", "stream", "astream")


def pin(fact: str, *files: str) -> Callable[[Any], Any]:
    """Have the test's failure name the fact of Agno that no longer holds, and our file."""

    def decorate(test: Any) -> Any:
        @functools.wraps(test)
        def sync(*args: Any, **kwargs: Any) -> None:
            with _Named(fact, files):
                test(*args, **kwargs)

        @functools.wraps(test)
        async def asynchronous(*args: Any, **kwargs: Any) -> None:
            with _Named(fact, files):
                await test(*args, **kwargs)

        return asynchronous if inspect.iscoroutinefunction(test) else sync

    return decorate


class _Named:
    def __init__(self, fact: str, files: tuple[str, ...]) -> None:
        self._fact = fact
        self._files = files

    def __enter__(self) -> None:
        gone = [name for name in self._files if not (PACKAGE / name).exists()]
        assert self._files, "a pin names the file that depends on it"
        assert not gone, f"the pin names {gone}, which agno_portkey no longer has"

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            where = ", ".join(f"agno_portkey/{name}" for name in self._files)
            error.add_note(f"Agno no longer does this: {self._fact}. Relied on by: {where}.")


class Log(list[dict[str, Any]]):
    """The arguments of each call; shared with deep copies of the model."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Log:
        return self

    def __copy__(self) -> Log:
        return self


@dataclass
class Scripted(Model):
    """A model that gives one answer a call: a text, a response, a list of deltas, or an error."""

    id: str = "scripted"
    name: str | None = "Scripted"
    provider: str | None = "tests"
    answers: Log = field(default_factory=Log)
    calls: Log = field(default_factory=Log)

    def _take(self, method: str, kwargs: dict[str, Any]) -> list[ModelResponse]:
        prompt = [(message.role, message.content) for message in kwargs["messages"]]
        self.calls.append({**kwargs, "method": method, "prompt": prompt})
        answer: Any = self.answers.pop(0) if self.answers else "done"
        if inspect.isfunction(answer):
            answer = answer(kwargs)
        if isinstance(answer, Exception):
            raise answer
        deltas = answer if isinstance(answer, list) else [answer]
        return [ModelResponse(content=d) if isinstance(d, str) else d for d in deltas]

    def _whole(self, method: str, kwargs: dict[str, Any]) -> ModelResponse:
        (response,) = self._take(method, kwargs)
        return response

    def invoke(self, **kwargs: Any) -> ModelResponse:
        return self._whole("invoke", kwargs)

    async def ainvoke(self, **kwargs: Any) -> ModelResponse:
        return self._whole("ainvoke", kwargs)

    def invoke_stream(self, **kwargs: Any) -> Iterator[ModelResponse]:
        yield from self._take("invoke_stream", kwargs)

    async def ainvoke_stream(self, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        for delta in self._take("ainvoke_stream", kwargs):
            yield delta

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        raise NotImplementedError

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError


def says(*answers: Any, **fields: Any) -> Scripted:
    """A model that gives these answers, and "done" from then on."""
    return Scripted(answers=Log(answers), **fields)


def calling(name: str, **arguments: Any) -> ModelResponse:
    """An answer that calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return ModelResponse(
        tool_calls=[{"id": f"call-{name}", "type": "function", "function": function}]
    )


def asking(member: str, task: str = "do it") -> ModelResponse:
    """A leader's answer that hands a task to a member."""
    return calling("delegate_task_to_member", member_id=member, task=task)


@dataclass
class Outcome:
    """What a run gave back: its last output, and its events if it was streamed."""

    run: Any
    events: list[Any]

    def texts(self) -> list[str]:
        return [e.content for e in self.events if isinstance(getattr(e, "content", None), str)]


async def go(owner: Any, way: str, text: str = "hello", **kwargs: Any) -> Outcome:
    """Run an agent or team in one of the four `WAYS`."""
    if way == "run":
        return Outcome(owner.run(text, **kwargs), [])
    if way == "arun":
        return Outcome(await owner.arun(text, **kwargs), [])
    kwargs |= {"stream": True, "stream_events": True, "yield_run_output": True}
    if way == "stream":
        items = list(owner.run(text, **kwargs))
    else:
        items = [item async for item in owner.arun(text, **kwargs)]
    runs = [item for item in items if isinstance(item, RunOutput | TeamRunOutput)]
    events = [item for item in items if not isinstance(item, RunOutput | TeamRunOutput)]
    return Outcome(runs[-1] if runs else None, events)
