"""Makes a call end in the whole answer or in one clear error, whatever its requests ran into.

Nothing shown yet: the next target answers from the start. Text shown already: a target that
continues a begun answer goes on where it broke off, else the call ends with the partial text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call, Deltas
from agno_portkey.contracts.check import asks_for_json
from agno_portkey.drivers import Owned, beside_loop
from agno_portkey.errors import (
    ContentFiltered,
    GatewayConfigRejected,
    GatewayError,
    UpstreamFailed,
)
from agno_portkey.routing.config.emit import Leaf, Phase
from agno_portkey.routing.failures import truncated
from agno_portkey.routing.recovery.attempt import Attempt, limits_of
from agno_portkey.routing.recovery.course import Course
from agno_portkey.routing.recovery.joining import Joiner, Restarted
from agno_portkey.routing.recovery.on_the_run import name_who_answered, note_failure
from agno_portkey.routing.recovery.partials import digest_of
from agno_portkey.routing.recovery.patience import Patience
from agno_portkey.routing.recovery.plan import Plan, Who, continues
from agno_portkey.routing.recovery.request import Sending, send
from agno_portkey.routing.recovery.settings import declines
from agno_portkey.routing.recovery.telling import Telling

__all__ = ["recovered"]

_MISSED = "Invalid target name found in the query router"


async def recovered(model: Any, call: Call, io: IO) -> Deltas:
    """The deltas of `call`; each character of the answer once."""
    telling = Telling(model, call)
    how: dict[str, Any] = {}
    try:
        rescue = _Rescue(model, call, io, telling)
        while not rescue.done:
            async with Owned(rescue.attempted(await rescue.begin())) as out:
                async for delta in out:
                    yield delta
    except Exception as error:
        how["error"] = type(error).__name__
        raise
    except BaseException:
        how["cancelled"] = True
        raise
    finally:
        telling.ended(**how)


class _Rescue:
    """One call and its attempts."""

    def __init__(self, model: Any, call: Call, io: IO, telling: Telling) -> None:
        self._model = model
        self._call = call
        self._io = io
        self._telling = telling
        self._plan: Plan = model.router.plan(model)
        self._only = self._plan.only(call.target)
        self._phase: Phase = "first_token" if call.stream else "answer"
        self._course = Course(
            self._plan,
            model.router.circuits,
            Who.of(call.run_response),
            model_id=model.id,
            phase=self._phase,
        )
        self._digest: str | None = None
        # Said beside the text: it can be shown once, and not be continued.
        self._thought = False
        self._sounded = False
        # The paths of those who were given the beginning of an answer and would not go on.
        self._declined: set[str] = set()
        self._answered: dict[str, Any] = {}
        # What an earlier call was told of the answer; shown with the first word that follows it.
        self._kept = self._taken_up()
        self._joiner = Joiner(self._kept)
        # Whether the answer is whole.
        self.done = False

    async def begin(self) -> Attempt:
        """The next attempt, when it is due; raises what ends the call."""
        try:
            while (seconds := self._course.next_pause()) is not None:
                await self._io.sleep(seconds)
        except GatewayError as error:
            raise self._end(error) from error
        return await self._begin()

    async def attempted(self, attempt: Attempt) -> Deltas:
        """The deltas of one attempt, without what was shown before it; then it is settled."""
        sending, settled = Sending(), False
        ended: BaseException | None = None
        try:
            sending = self._sending(attempt)
            self._joiner.resume()
            held: list[ModelResponse] = []
            thought = self._thought
            # What is begun anew elsewhere would be no JSON with what was shown before.
            whole = asks_for_json(self._call.response_format) and not self._call.partials
            async with Owned(send(self._model, self._onward(), self._io, sending)) as out:
                async for delta in out:
                    if whole and self._call.stream:
                        held.append(delta)
                        continue
                    yield self._shown(delta, muted=thought)
            for delta in held:
                yield self._shown(delta, muted=thought)
            if tail := self._with_kept(self._joiner.flush(), ended=True):
                yield ModelResponse(content=tail)
        except (GatewayError, Restarted) as error:
            settled = True
            await self._failed(attempt, sending, error)
        except BaseException as error:
            ended = error
            raise
        else:
            settled = True
            await self._succeeded(attempt, sending)
            self.done = True
        finally:
            if not settled:
                self._telling.learnt(attempt, sending)
                self._telling.unsettled(attempt, sending, ended)
                self._leave(attempt)

    def _taken_up(self) -> str:
        """What is kept of an answer to the same question that broke off."""
        partials = self._model.router.partials
        if not partials or Who.of(self._call.run_response).user is None:
            return ""
        if not any(map(self._goes_on, self._plan.leaves)):
            return ""
        return str(partials.take(self._asked()))

    def _goes_on(self, leaf: Leaf) -> bool:
        """Whether `leaf` may be given the beginning of an answer."""
        if self._only is not None and not self._only(leaf):
            return False
        return continues(leaf) and leaf.path not in self._declined

    def _start_over(self) -> None:
        """Forget what was kept: none of it is shown, and nobody goes on with it."""
        self._kept = ""
        self._joiner = Joiner()

    def _asked(self) -> str:
        if self._digest is None:
            who = Who.of(self._call.run_response)
            params = self._model.chat_params(self._call)
            self._digest = digest_of(params, (who.user, who.session))
        return self._digest

    def _onward(self) -> Call:
        """The call, with the beginning of its answer where some of it was shown."""
        if not self._joiner.prefill:
            return self._call
        begun = Message(role="assistant", content=self._joiner.prefill)
        return self._call.with_messages([*self._call.messages, begun])

    async def _begin(self) -> Attempt:
        only = self._goes_on if self._joiner.prefill else self._only
        try:
            attempt: Attempt = await self._ask(
                lambda: self._course.begin(only=only),
                undo=lambda left: beside_loop(partial(self._course.release, left)),
            )
        except GatewayError as error:
            if not self._kept:
                raise self._end(error) from error
            self._start_over()
            return await self._begin()
        self._telling.begins(attempt)
        return attempt

    def _sending(self, attempt: Attempt) -> Sending:
        limits = limits_of(attempt, self._plan, self._phase, cap=self._model.timeout)
        first, between = limits.first_token, limits.between_tokens
        # The gateway's checks of an answer never run on a stream.
        streamed = self._call.stream and not attempt.emitted.output_guardrails
        headers = {}
        if attempt.emitted.header:
            headers["x-portkey-config"] = attempt.emitted.header
        if attempt.tags:
            headers |= self._model.metadata_of(self._call.run_response, attempt.tags)
        answered: dict[str, Any] = {"attempts": attempt.number, **attempt.tags}
        if self._plan.route is not None:
            answered["target"] = None
        return Sending(
            answered=answered,
            headers=headers,
            timeout=limits.client,
            body_timeout=_either(first, between) if streamed else None,
            patience=Patience(first, between) if streamed else None,
            streamed=streamed,
        )

    def _with_kept(self, text: str, *, ended: bool = False) -> str:
        """`text` behind what was kept, if that is still to be shown."""
        if text or ended:
            text, self._kept = self._kept + text, ""
        return text

    def _shown(self, delta: ModelResponse, *, muted: bool) -> ModelResponse:
        if isinstance(delta.content, str) and delta.content:
            delta.content = self._with_kept(self._joiner.feed(delta.content)) or None
        if delta.tool_calls and (tail := self._with_kept(self._joiner.flush(), ended=True)):
            delta.content = (delta.content or "") + tail
        if delta.reasoning_content:
            if muted:
                delta.reasoning_content = None
            self._thought = True
        self._sounded = self._sounded or delta.audio is not None
        return delta

    async def _failed(
        self, attempt: Attempt, sending: Sending, error: GatewayError | Restarted
    ) -> None:
        if isinstance(error, Restarted):
            error = UpstreamFailed(
                "the provider began the answer anew in place of continuing it",
                status_code=400,
                model_id=self._model.id,
            )
        continuing = bool(self._joiner.prefill)
        if isinstance(error, GatewayConfigRejected) and _MISSED in error.message:
            # The gateway finds no target for a condition where we told it that it is open.
            error = self._course.shut(attempt, error)
        taken = self._taken(attempt, sending)
        if continuing and declines(error):
            self._declined |= {leaf.path for leaf in attempt.emitted.live}
        if self._kept:
            self._start_over()
        only = self._goes_on if self._joiner.prefill else self._only
        changes = await self._ask(
            lambda: self._course.failed(
                attempt, error, sending.answered, taken=taken, continuing=continuing, only=only
            )
        )
        self._answered = sending.answered
        self._telling.learnt(attempt, sending)
        self._telling.attempt(attempt, sending, error)
        self._telling.circuits(changes)
        if self._sounded:
            raise self._end(error) from error

    def _taken(self, attempt: Attempt, sending: Sending) -> Sequence[Leaf]:
        """Who must have been asked, where a condition chose and nobody answered."""
        live = attempt.emitted.live
        if len(live) == 1 or "option_index" in sending.answered:
            return ()
        params = self._model.chat_params(self._call)
        if sending.streamed:
            params["stream"] = True
        tags = self._model.sent_tags(self._call.run_response, attempt.tags)
        return self._plan.taken(live, tags, params)

    def _end(self, error: GatewayError) -> Exception:
        """What the call ends with; text that was shown is kept for who asks the same again."""
        self._course.sum_up(error)
        note_failure(self._call.run_response, self._answered, error)
        partial = "" if self._kept else self._joiner.shown
        if not partial and not self._sounded:
            return error
        if self._is_worth_keeping(error):
            self._model.router.partials.keep(self._asked(), partial)
        who = self._answered.get("model") or self._model.id
        return truncated(who, error.message, partial)

    def _is_worth_keeping(self, error: GatewayError) -> bool:
        """Whether the same user may ask again and have the shown text continued."""
        if Who.of(self._call.run_response).user is None or isinstance(error, ContentFiltered):
            return False
        return bool(self._joiner.prefill) and any(map(self._goes_on, self._plan.leaves))

    async def _succeeded(self, attempt: Attempt, sending: Sending) -> None:
        index = sending.answered.get("option_index")
        changes = await self._ask(lambda: self._course.succeeded(attempt, index))
        self._telling.attempt(attempt, sending, None)
        self._telling.circuits(changes)
        leaf = attempt.leaf(index)
        if leaf is not None and self._plan.route is not None:
            sending.answered["target"] = leaf.name
        if sending.usage is not None:
            self._call.spent.append(sending.usage)
        name_who_answered(self._call.run_response, self._model, sending)
        self._telling.learnt(attempt, sending)

    def _leave(self, attempt: Attempt) -> None:
        circuits = self._model.router.circuits
        if circuits.blocking:
            self._io.later(self._course.release, attempt)
        else:
            self._course.release(attempt)

    async def _ask(
        self, question: Callable[[], Any], *, undo: Callable[[Any], Any] | None = None
    ) -> Any:
        """Ask the circuits, off the event loop where they are kept in Redis.

        `undo` takes back the answer that a cancelled caller does not wait for.
        """
        if self._model.router.circuits.blocking:
            return await self._io.run(question, undo=undo)
        return question()


def _either(first: float | None, between: float | None) -> float:
    """What one read of a stream may take: `Patience` ends most of them before."""
    day = 86_400.0
    return max(first or day, between or day) + 1.0
