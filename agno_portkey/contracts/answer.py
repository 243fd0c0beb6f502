"""One answer as it comes in, its text kept back until it is known to be an object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agno.metrics import MessageMetrics
from agno.models.response import ModelResponse

from agno_portkey.contracts.partial import KEY, Filling
from agno_portkey.contracts.repair import Attempt
from agno_portkey.contracts.rescue import Rescued
from agno_portkey.contracts.schemas import Misfit, Schema
from agno_portkey.errors import ContractError, GatewayError, TruncatedStream

__all__ = ["Answer"]

_WHO = ("model", "target", "arm")


class Answer:
    """One answer; `filling` reads what is there of its object, where that is to be told."""

    def __init__(self, schema: Schema, filling: Filling | None = None, *, attempt: int = 1) -> None:
        self._schema = schema
        self._attempt = attempt
        self._filling = filling
        self._text: list[str] = []
        self._known: dict[str, Any] | None = None
        self._held: list[ModelResponse] = []
        self._told = False
        self.usage = MessageMetrics()
        self.calls_tools = False

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def refused(self) -> bool:
        """Whether the model says, in the field that is for it, that it will not answer."""
        return bool(self.portkey.get("refused"))

    @property
    def who(self) -> dict[str, Any]:
        """The model, target and arm of who answered, as far as they are known."""
        known = self.portkey
        return {name: known[name] for name in _WHO if known.get(name) is not None}

    @property
    def portkey(self) -> dict[str, Any]:
        """What is known of who answered."""
        return (self._known or {}).get("portkey") or {}

    def take(self, delta: ModelResponse) -> ModelResponse | None:
        """Keep all of `delta` until it is known to be of an answer; a partial object to tell."""
        text = self.note(delta)
        delta.content = delta.response_usage = None
        if not delta.tool_calls:
            delta.provider_data = None
        self._held.append(delta)
        data = self._filling.feed(text) if text and self._filling else None
        return self._partial(data) if data is not None else None

    def rest(self) -> Iterator[ModelResponse]:
        """What came beside the text, with the count of tokens."""
        yield from self._held
        yield from self.cost()

    def cost(self) -> Iterator[ModelResponse]:
        """The count of tokens alone: of an answer that is rejected nothing else goes on."""
        if self.usage != MessageMetrics():
            yield ModelResponse(response_usage=self.usage)

    def note(self, delta: ModelResponse) -> str:
        """Note what `delta` says, and give its text."""
        text = delta.content if isinstance(delta.content, str) else ""
        self._text.append(text)
        self.calls_tools = self.calls_tools or bool(delta.tool_calls)
        self._known = delta.provider_data or self._known
        if delta.response_usage is not None:
            self.usage += delta.response_usage
        return text

    def failed(self, error: ContractError | GatewayError | TruncatedStream) -> Attempt:
        """This answer as an attempt that `error` says is none."""
        cause = error.__cause__
        problems = cause.problems if isinstance(cause, Misfit) else ()
        failure = None if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"
        return Attempt(self.text, problems, self.usage, self.who, failure)

    def whole(self, found: Rescued) -> ModelResponse:
        """The object as the host reads it, with what is known of the answer."""
        text = found.text if found.rung != "given" or found.edits else self.text
        # The host takes what stands before this mark for a model's thoughts, in JSON as well.
        text = text.replace("</think>", r"<\/think>")
        return ModelResponse(content=text, provider_data=self._known)

    def retracted(self) -> ModelResponse | None:
        """What takes a partial object back from the host's record of the run."""
        if not self._told:
            return None
        return ModelResponse(tool_calls=[], provider_data={"portkey": self.portkey})

    def _partial(self, data: Any) -> ModelResponse:
        self._told = True
        told = {"schema": self._schema.name, "data": data, "attempt": self._attempt}
        # The host passes nothing on that has no content, tool calls or the like.
        known = {"portkey": {**self.portkey, KEY: told}}
        return ModelResponse(tool_calls=[], provider_data=known)
