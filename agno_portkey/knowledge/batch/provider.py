"""Files and batches at the provider, through the gateway; what fails is sent again where it helps.

The gateway's own way to results (`/batches/{id}/output`) goes to the provider's usual address,
whatever `custom_host` says: they are read as the files that they are.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from copy import copy
from typing import Any

import httpx

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import BadResponse, GatewayError, GatewayRateLimited, GatewayTimeout
from agno_portkey.knowledge.batch.lines import ENDPOINT
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.error_bodies import tidied
from agno_portkey.routing.failures import explain
from agno_portkey.routing.recovery.settings import Remedy, remedy

__all__ = ["JOB", "Provider"]

# Under which a batch's metadata name its job.
JOB = "agno_portkey_job"
_PAGE, _PAGES = 100, 1_000
# How often it is looked for a batch of which nobody knows whether it was made.
_LOOKS = 8

Headers = Callable[[], dict[str, Any]]
Ask = Callable[[Any], Any]


class Provider:
    """Who keeps the files and batches of `model`; raises a GatewayError, or Stopped."""

    def __init__(self, model: PortkeyModel, headers: Headers) -> None:
        self._model, self._headers = model, headers
        self._recovery = model.router.plan(model).recovery

    async def upload(self, name: str, content: bytes, io: IO) -> str:
        """Send a file of requests, and return its id."""
        given = {"file": (name, content, "application/jsonl"), "purpose": "batch"}
        file = await self._asked(lambda c: c.files.create(**given, **self._extra()), io)
        return self._named(file, "a file")

    async def create(self, file: str, job: str, part: int, io: IO) -> str:
        """Have the requests of `file` answered, once.

        A second request is sent only where an answer to the first one says that nothing was made.
        Where none says so, its batch is looked for several times, within the budget of the model's
        `Recovery`; if it is not there then, the error says to submit again later.
        """
        given = {
            "input_file_id": file,
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {JOB: job, "agno_portkey_part": str(part)},
        }
        for attempt in range(1, self._recovery.attempts + 1):
            # Whoever says that nothing was made is believed, and looked after.
            if attempt > 1 and (found := await self.found(file, io)) is not None:
                return found
            try:
                batch = await self._once(lambda c: c.batches.create(**given, **self._extra()), io)
                return self._named(batch, "a batch")
            except GatewayError as error:
                if not _made_nothing(error):
                    return await self._looked_for(file, error, io)
                pause = self._pause(error, attempt)
                if pause is None:
                    raise
                await io.sleep(pause)
        raise AssertionError("the last attempt answers or raises")

    async def _looked_for(self, file: str, lost: GatewayError, io: IO) -> str:
        """The batch of `file`, which may be there only after a while; raises `lost` if it isn't."""
        recovery, began = self._recovery, time.monotonic()
        for look in range(_LOOKS):
            if (found := await self.found(file, io)) is not None:
                return found
            pause = float(min(recovery.wait * 2**look, recovery.max_wait))
            if time.monotonic() + pause - began > recovery.budget:
                break
            await io.sleep(pause)
        told = copy(lost)
        told.message = (
            f"{lost.message}; whether the batch of {file} was made is not known, and it is not "
            "among the provider's yet: submit again later, which looks for it first"
        )
        told.args = (told.message,)
        raise told from lost

    async def found(self, file: str, io: IO) -> str | None:
        """The batch of `file`, if there is one; the last one of several."""
        async with aclosing(self._listed(io)) as listed:
            async for batch in listed:
                if getattr(batch, "input_file_id", None) == file:
                    return self._named(batch, "a batch")
        return None

    async def all_of(self, files: Collection[str], io: IO) -> dict[str, list[str]]:
        """All batches of `files`, by file."""
        found: dict[str, list[str]] = {file: [] for file in files}
        if files:
            async for batch in self._listed(io):
                file = getattr(batch, "input_file_id", None)
                if isinstance(file, str) and file in found:
                    found[file].append(self._named(batch, "a batch"))
        return found

    async def _listed(self, io: IO) -> AsyncGenerator[Any]:
        given: dict[str, Any] = {"limit": _PAGE}
        for _ in range(_PAGES):
            page = await self._asked(
                lambda c: c.batches.list(**given, **self._extra()), io, stops=False
            )
            listed = getattr(page, "data", None)
            if not isinstance(listed, list):
                raise self._bad("no list of batches")
            for batch in listed:
                yield batch
            if not listed or getattr(page, "has_more", None) is False:
                return
            after = self._named(listed[-1], "a batch")
            if given.get("after") == after:
                break
            given["after"] = after
        raise self._bad("a list of batches without an end")

    async def batch(self, name: str, file: str | None, io: IO) -> Any:
        """The batch of that id, as it is now: to look is no call that a stop holds back."""
        batch = await self._asked(
            lambda c: c.batches.retrieve(name, **self._extra()), io, stops=False
        )
        if getattr(batch, "id", None) != name or not isinstance(batch.status, str):
            raise self._bad("another batch than was asked for")
        if file is not None and batch.input_file_id not in (None, file):
            raise self._bad("the batch of another file")
        return batch

    async def cancel(self, name: str, io: IO) -> None:
        """Have nothing more of a batch answered; a stop is no reason not to."""
        await self._asked(lambda c: c.batches.cancel(name, **self._extra()), io, stops=False)

    async def content(self, file: str, io: IO) -> bytes:
        """What is in a file."""
        answer = await self._asked(lambda c: c.files.content(file, **self._extra()), io)
        body = getattr(answer, "content", None)
        if not isinstance(body, bytes):
            raise self._bad("no file")
        return body

    def strange(self, name: str, status: str) -> BadResponse:
        """The error for a batch in a status that is none."""
        return self._bad(f"{tidied(status)!r} as the status of {name}: look at the batch there")

    def _extra(self) -> dict[str, Any]:
        return {"extra_headers": self._headers()}

    async def _asked(self, ask: Ask, io: IO, *, stops: bool = True) -> Any:
        """The answer to a request that may be sent again."""
        for attempt in range(1, self._recovery.attempts + 1):
            try:
                return await self._once(ask, io, stops=stops)
            except GatewayError as error:
                pause = self._pause(error, attempt)
                if pause is None:
                    raise
                await io.sleep(pause)
        raise AssertionError("the last attempt answers or raises")

    async def _once(self, ask: Ask, io: IO, *, stops: bool = True) -> Any:
        model = self._model
        brake = model.seat.brake if model.seat is not None else None
        if stops and brake is not None and brake.holds:
            await brake.require(io, None)
        try:
            if isinstance(io, AsyncIO):
                return await ask(model.get_async_client())
            return ask(model.get_client())
        except Exception as raised:
            error = explain(raised, model_id=model.id, base_url=model.gateway_url)
            if error is raised:
                raise
            raise error from raised

    def _pause(self, error: GatewayError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt; None where there is to be none."""
        recovery = self._recovery
        # There is nobody else to ask, so that who was too slow is asked again.
        again = remedy(error, asked=True) is Remedy.AGAIN or isinstance(error, GatewayTimeout)
        if attempt == recovery.attempts or not again:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= recovery.max_wait else None
        return float(min(recovery.wait * 2 ** (attempt - 1), recovery.max_wait))

    def _named(self, answer: Any, what: str) -> str:
        name = getattr(answer, "id", None)
        if not isinstance(name, str) or not name:
            raise self._bad(f"no name of {what}")
        return name

    def _bad(self, what: str) -> BadResponse:
        return BadResponse(f"the provider answered with {what}", model_id=self._model.id)


def _made_nothing(error: GatewayError) -> bool:
    """Whether `error` says that the request was not taken, or never came to anybody."""
    if isinstance(error, GatewayRateLimited):
        return True
    if isinstance(error, GatewayTimeout):
        return False
    if 400 <= error.status_code < 500 or error.status_code == 503:
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
            return True
        cause = cause.__cause__
    return False
