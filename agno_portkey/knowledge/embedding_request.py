"""One request for vectors: sent again where that helps, and its answer checked."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from array import array
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from tenacity.wait import wait_exponential, wait_random

from agno_portkey.calls import IO
from agno_portkey.errors import BadResponse, GatewayError, GatewayRateLimited, GatewayTimeout
from agno_portkey.routing.failures import explain
from agno_portkey.routing.recovery.settings import Recovery, Remedy, remedy

__all__ = ["Answered", "Throttle", "requested"]


@dataclass(frozen=True, slots=True)
class Answered:
    """Vectors in the order of the texts, and the tokens that they took."""

    vectors: list[list[float]]
    tokens: int


class Throttle:
    """When the next request may go out: who is asked for a pause makes one for everybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0

    def rest(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    async def wait(self, io: IO) -> None:
        while (seconds := self._until - time.monotonic()) > 0:
            await io.sleep(seconds)


async def requested(
    model: Any,
    texts: Sequence[str],
    params: Mapping[str, Any],
    io: IO,
    *,
    recovery: Recovery,
    throttle: Throttle,
    sent: Callable[[int], None],
) -> Answered:
    """The vectors of `texts` from `model`'s gateway; a GatewayError where there are none.

    `sent` hears of each request that was sent, with the tokens that its answer says it took.
    """
    began, wait = time.monotonic(), _pauses(recovery)
    for attempt in range(1, recovery.attempts + 1):
        await throttle.wait(io)
        if model.seat is not None and model.seat.brake is not None and model.seat.brake.holds:
            await model.seat.brake.require(io, None)
        if model.seat is not None and model.seat.limits is not None:
            model.seat.limits.require_request(model, params, None)
        for allowance in model.budgets:
            await allowance.require(io, model, None)
        try:
            answer = await _sent(model, {**params, "input": [*texts]}, io, sent)
            return Answered(_checked(answer, len(texts), model.id), _tokens(answer))
        except Exception as raised:
            error = explain(raised, model_id=model.id, base_url=model.gateway_url)
            pause = _pause(error, attempt, wait, recovery)
            if pause is None or time.monotonic() + pause - began > recovery.budget:
                raise error from raised
        if isinstance(error, GatewayRateLimited):
            throttle.rest(pause)
        else:
            await io.sleep(pause)
    raise AssertionError("the last attempt answers or raises")


async def _sent(
    model: Any, params: dict[str, Any], io: IO, sent: Callable[[int], None]
) -> dict[str, Any]:
    took = 0
    try:
        answer = _read(await io.embed(model, params), model.id)
        # Also of one that is refused: it is paid for.
        took = _tokens(answer)
        return answer
    finally:
        sent(took)


def _pauses(recovery: Recovery) -> Any:
    backoff = wait_exponential(multiplier=recovery.wait, max=recovery.max_wait)
    return backoff + wait_random(0, recovery.wait)


def _pause(error: Exception, attempt: int, wait: Any, recovery: Recovery) -> float | None:
    """Seconds to wait before the next attempt; None where there is to be none."""
    if attempt == recovery.attempts or not isinstance(error, GatewayError):
        return None
    # There is nobody else to ask, so that who was too slow is asked again.
    if remedy(error, asked=True) is not Remedy.AGAIN and not isinstance(error, GatewayTimeout):
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= recovery.max_wait else None
    seconds: float = wait(SimpleNamespace(attempt_number=attempt))
    return seconds


def _read(content: bytes, model_id: str) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise _bad("what is no JSON", model_id) from None
    if not isinstance(answer, dict):
        raise _bad("what is no list of vectors", model_id)
    return answer


def _unpacked(said: Any) -> Any:
    """A vector that was asked for in base64: four bytes a number, the lowest first."""
    if not isinstance(said, str):
        return said
    try:
        numbers = array("f", b64decode(said, validate=True))
    except ValueError:
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _checked(answer: dict[str, Any], count: int, model_id: str) -> list[list[float]]:
    """The vectors in the order that was asked for; BadResponse where one is missing, or is none."""
    entries = answer.get("data")
    if not isinstance(entries, list) or len(entries) != count:
        got = len(entries) if isinstance(entries, list) else "no"
        raise _bad(f"{got} vectors in place of {count}", model_id)
    if not all(isinstance(each, dict) for each in entries):
        raise _bad("what is no list of vectors", model_id)
    places = [each.get("index") for each in entries]
    if sorted(p for p in places if isinstance(p, int)) == [*range(count)]:
        entries = [each for _, each in sorted(zip(places, entries, strict=True), key=_place)]
    elif set(places) not in ({None}, {0}):
        raise _bad("vectors whose places are not those of the texts", model_id)
    vectors = [_unpacked(each.get("embedding")) for each in entries]
    if not all(_is_vector(each) for each in vectors):
        raise _bad("vectors that hold what is no number", model_id)
    if len({len(each) for each in vectors if each}) > 1:
        raise _bad("vectors of several lengths", model_id)
    return [each for each in vectors if each is not None]


def _place(pair: tuple[Any, Any]) -> int:
    place: int = pair[0]
    return place


def _is_vector(said: Any) -> bool:
    if not isinstance(said, list) or not said:
        return False
    try:
        return math.isfinite(math.fsum(said))
    except (TypeError, ValueError, OverflowError):
        return False


def _bad(what: str, model_id: str) -> BadResponse:
    return BadResponse(f"the provider answered with {what}", model_id=model_id)


def _tokens(answer: dict[str, Any]) -> int:
    usage = answer.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else 0
    return max(0, tokens) if isinstance(tokens, int) else 0
