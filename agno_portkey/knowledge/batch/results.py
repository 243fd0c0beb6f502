"""What a batch that is over says of each of its lines, told by their ids and never by place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai

from agno_portkey.calls import IO
from agno_portkey.errors import (
    BadResponse,
    ContractError,
    GatewayError,
    GatewayRateLimited,
    GatewayTimeout,
    UpstreamFailed,
)
from agno_portkey.knowledge.batch.provider import Provider
from agno_portkey.routing.error_bodies import tidied
from agno_portkey.routing.failures import explain, reported
from agno_portkey.routing.recovery.settings import Remedy, remedy

__all__ = ["OVER", "UNDER_WAY", "Found", "found_in", "is_to_be_asked_again"]

OVER = ("completed", "failed", "expired", "cancelled")
UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
# Files are read again so often where they hold fewer lines than the batch says it has done.
_READS = 3
# So many tokens wait at the provider that it takes no more now.
_FULL = "token_limit_exceeded"
_WHY = {
    "failed": "the provider refused the file of the batch",
    "expired": "the batch expired before this line was answered",
    "cancelled": "the batch was cancelled before this line was answered",
    "completed": "the batch is over, and says nothing of this line",
}


@dataclass
class Found:
    """The lines of one batch: the bodies of answers and the errors of others, by `custom_id`.

    `foreign` counts lines of no id of the batch, or that can't be read.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    foreign: int = 0


async def found_in(
    batch: Any, ids: Iterable[str], provider: Provider, io: IO, *, model_id: str
) -> Found:
    """What `batch`, which is over, says of `ids`, in the order of its file.

    Each is an answer or an error afterwards. BadResponse where answers can't be read.
    """
    reading = _Reading(ids, model_id)
    counts = getattr(batch, "request_counts", None)
    for slot, count in (("output_file_id", "completed"), ("error_file_id", "failed")):
        due = getattr(counts, count, None)
        due = due if isinstance(due, int) else 0
        if isinstance(name := getattr(batch, slot, None), str) and name:
            for line in await _lines(provider, name, due, io):
                reading.take(line)
        elif slot == "output_file_id" and due > 0:
            # They are paid for.
            raise BadResponse(
                f"the batch {batch.id} says that {due} lines are answered, and names no file of "
                "them: fetch again later, or look at the batch at the provider",
                model_id=model_id,
            )
    return reading.ended(batch)


async def _lines(provider: Provider, name: str, due: int, io: IO) -> list[Any]:
    """The lines of a file, read again where it may have been cut off on its way."""
    reads: list[list[Any]] = []
    while not reads or (len(reads) < _READS and _readable(reads[-1]) < due):
        reads.append([*_parsed(await provider.content(name, io))])
    return max(reads, key=_readable)


def _readable(lines: list[Any]) -> int:
    return sum(line is not None for line in lines)


def _parsed(content: bytes) -> Iterator[Any]:
    """Each line as a mapping; None for one that is no JSON object."""
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        yield said if isinstance(said, dict) else None


class _Reading:
    def __init__(self, ids: Iterable[str], model_id: str) -> None:
        self._ids, self._model_id = dict.fromkeys(ids), model_id
        self._found = Found()
        self._seen: dict[str, Mapping[str, Any]] = {}

    def take(self, line: Mapping[str, Any] | None) -> None:
        name = line.get("custom_id") if line is not None else None
        if line is None or not isinstance(name, str) or name not in self._ids:
            self._found.foreign += 1
            return
        found = self._found
        if (seen := self._seen.setdefault(name, line)) is not line:
            if _same(seen, line):
                return
            found.answers.pop(name, None)
            found.errors[name] = self._bad("more than one answer to this line")
            return
        try:
            said = self._said(line)
        except (ValueError, RecursionError):
            said = self._bad("what can't be told again")
        if isinstance(said, Exception):
            found.errors[name] = said
        else:
            found.answers[name] = said

    def _said(self, line: Mapping[str, Any]) -> Any:
        """The body of the line's answer, or its error."""
        error, response = line.get("error"), line.get("response")
        # Some say of what went well that its error is an empty one.
        if isinstance(error, dict) and any(
            each not in (None, "", {}, []) for each in error.values()
        ):
            return self._reported(error)
        if not isinstance(response, dict):
            return self._bad("neither an answer nor an error")
        status, body = response.get("status_code"), response.get("body")
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
            return self._bad("a line without a status")
        if status == 200 and isinstance(body, dict):
            return body
        return self._failed(status, body) if status >= 400 else self._bad("no answer")

    def _reported(self, error: dict[str, Any]) -> Exception:
        if error.get("code") == "batch_expired":
            return GatewayTimeout(_WHY["expired"], model_id=self._model_id)
        if error.get("code") == "batch_cancelled":
            return UpstreamFailed(_WHY["cancelled"], model_id=self._model_id)
        return reported(error, model_id=self._model_id)

    def _failed(self, status: int, body: Any) -> Exception:
        """What an ordinary call would have raised for that answer."""
        request = httpx.Request("POST", "http://batch")
        # The gateway passes answers on as the provider's; here the batch does.
        headers = {"x-portkey-provider": "batch"}
        # In ASCII: half a character, which JSON can hold, has no bytes of its own.
        said = json.dumps(body).encode()
        response = httpx.Response(status, content=said, headers=headers, request=request)
        raised = openai.APIStatusError(f"status {status}", response=response, body=body)
        return explain(raised, model_id=self._model_id, base_url="the provider")

    def _bad(self, what: str) -> BadResponse:
        return BadResponse(f"the batch holds {what}", model_id=self._model_id)

    def ended(self, batch: Any) -> Found:
        """What was found, with an error for each line that nothing is said of."""
        found = self._found
        for number, name in enumerate(self._ids, 1):
            if name not in found.answers and name not in found.errors:
                found.errors[name] = self._unsaid(batch, number)
        return found

    def _unsaid(self, batch: Any, number: int) -> GatewayError:
        why = _WHY.get(batch.status, _WHY["completed"])
        if batch.status == "expired":
            return GatewayTimeout(why, model_id=self._model_id)
        told = getattr(getattr(batch, "errors", None), "data", None)
        if batch.status != "failed" or not isinstance(told, list) or not told:
            return UpstreamFailed(why, model_id=self._model_id)
        said = f"{why}: {'; '.join([*dict.fromkeys(map(_message, told))][:3])}"
        if any(getattr(each, "code", None) == _FULL for each in told):
            return GatewayRateLimited(said, model_id=self._model_id)
        faulty = [line for each in told if isinstance(line := getattr(each, "line", None), int)]
        if faulty and number not in faulty:
            # It went down with others.
            return UpstreamFailed(said, model_id=self._model_id)
        return UpstreamFailed(said, status_code=400, model_id=self._model_id)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    try:
        return one == other
    except RecursionError:
        return False


def _message(error: Any) -> str:
    return tidied(str(getattr(error, "message", None) or "no reason"))


def is_to_be_asked_again(error: Exception) -> bool:
    """Whether another call for a line may end well: no guard refused it, and it was not invalid."""
    if isinstance(error, ContractError):
        return True
    if not isinstance(error, GatewayError):
        return False
    return remedy(error, asked=True) in (Remedy.AGAIN, Remedy.LEAVE)
