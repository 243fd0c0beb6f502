"""Requests as the embedded provider saw them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agno_portkey.testing.faults import Answer, error_answer
from agno_portkey.testing.steps import Finished
from agno_portkey.testing.wire import Exchange, Outcome

__all__ = ["Request", "refused", "text_of"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Request:
    """One request as the provider saw it.

    `path` has no query; `headers` have lower-case names; `body` is the parsed JSON, or the raw
    bytes where it is none; `at` is monotonic seconds.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any
    at: float
    query: str = ""
    _outcome: Outcome = field(default_factory=Outcome, repr=False, compare=False)

    @classmethod
    def of(cls, exchange: Exchange) -> Request:
        """The request of an exchange on the wire."""
        path, _, query = exchange.target.partition("?")
        body, at = _parsed(exchange.body), exchange.at
        return cls(exchange.method, path, exchange.headers, body, at, query, exchange.outcome)

    @property
    def finished(self) -> Finished:
        """`open`, or how it ended: `complete`, `cut` or `client_gone`."""
        return self._outcome.finished

    def wait(self, timeout: float = 5.0) -> Finished:
        """Block until the exchange has ended, at most `timeout` seconds; returns `finished`."""
        return self._outcome.wait(timeout)

    @property
    def route(self) -> str:
        """Method and path without the `/v1` in front, as in `POST /chat/completions`."""
        return f"{self.method} {self.path.removeprefix('/v1').rstrip('/')}"

    @property
    def model(self) -> str | None:
        return self._field("model", str)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self._field("messages", list) or []

    @property
    def system(self) -> str:
        """The text of all system and developer messages."""
        return "\n".join(self._texts("system", "developer"))

    @property
    def last_user(self) -> str:
        """The text of the last user message."""
        return next(iter(self._texts("user")[::-1]), "")

    @property
    def said(self) -> list[str]:
        """The texts of all messages, or those that are to be embedded."""
        asked = self.body.get("input", []) if isinstance(self.body, dict) else []
        texts = [asked] if isinstance(asked, str) else asked
        roles = ("system", "developer", "user", "assistant", "tool")
        return [*self._texts(*roles), *(text for text in texts if isinstance(text, str))]

    @property
    def tools(self) -> list[str]:
        """The names of the offered tools."""
        offered = self._field("tools", list) or []
        return [tool.get("function", tool).get("name", "") for tool in offered]

    @property
    def tool_results(self) -> list[str]:
        """The text of each tool message."""
        return self._texts("tool")

    @property
    def response_format(self) -> dict[str, Any] | None:
        return self._field("response_format", dict)

    @property
    def schema_name(self) -> str | None:
        """The name of the JSON schema that the answer is to fit."""
        name = (self.response_format or {}).get("json_schema", {}).get("name")
        return name if isinstance(name, str) else None

    @property
    def stream(self) -> bool:
        return bool(self._field("stream", bool))

    def _field(self, name: str, kind: type[_T]) -> _T | None:
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, kind) else None

    def _texts(self, *roles: str) -> list[str]:
        return [text_of(message) for message in self.messages if message.get("role") in roles]


def refused(request: Request, required: str) -> Answer | None:
    """The error for a body that lacks what its route requires."""
    if not isinstance(request.body, dict):
        return error_answer(400, "We could not parse the JSON body of your request.")
    if not isinstance(request.model, str):
        return error_answer(400, "You must provide a model parameter.", param="model")
    given = request.body.get(required)
    plain = isinstance(given, str) and required == "input"
    objects = isinstance(given, list) and all(isinstance(each, dict) for each in given)
    if plain or (given and isinstance(given, list) and (required == "input" or objects)):
        return None
    return error_answer(400, f"Missing or invalid parameter: '{required}'.", param=required)


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, that of its parts joined."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body
