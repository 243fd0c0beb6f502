"""The jury: one Judge, asked as often as it takes for its verdict to hold.

It stands in the Judge's model, where a question can be asked again without the leader, other
members or the host having a say in it. Every sample is the same question, in an envelope of its
own; none sees what another said, who wrote the plan, or how often was asked before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from agno.models.message import Message
from agno.models.response import ModelResponse
from pydantic import ConfigDict

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.contracts import Decision, Judgement
from agno_portkey.contracts.check import asks_for_json, schema_of, validate
from agno_portkey.drivers import Owned
from agno_portkey.errors import ContractError
from agno_portkey.gates.charter import Charter
from agno_portkey.gates.checks.judgement import Broken
from agno_portkey.runs import Run

__all__ = ["jury", "middle"]


def jury(charter: Charter) -> Layer:
    """The layer that asks the Judge again until each gate's `sampling` has enough.

    A sample that fails to come, or is none, ends the call with its error: the plan is not judged.
    One that is none counts as a refusal of it all the same, so that a Judge which only answers
    where it approves does not pass it. What is answered is one of the samples, the one nearest to
    their mean; all are evidence.
    """

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        station = charter.runs.find(call.run_id)
        shown = station.run.shown.get(str(call.run_id)) if station is not None else None
        sampled = charter.samples and charter.mode_of(station.run if station else None) != "off"
        if station is None or shown is None or not sampled:
            async with inner(call) as out:
                async for delta in out:
                    yield delta
            return
        async with Owned(_polled(charter, station.run, shown, call, io, inner)) as polled:
            async for delta in polled:
                yield delta

    return layer


async def _polled(
    charter: Charter, run: Run, shown: str, call: Call, io: IO, inner: Next
) -> Deltas:
    """Samples of what the Judge says of the plan `shown`, until there are enough."""
    if charter.has_all(run, shown):
        # Asked again, it is not to go on until it pleases.
        said = middle(run.samples_of(shown))
        yield ModelResponse(role="assistant", content=said.model_dump_json())
        return
    with suppress(Exception):  # what can't be read closes the gate, which says so
        await charter.read_thresholds(run, io)
    drawn: list[_Sample] = []
    while not drawn or charter.wants_more(run, shown, [s.judgement for s in drawn]):
        try:
            async with inner(_fresh(call, first=not drawn)) as out:
                answer = [delta async for delta in out]
        except BaseException as error:
            # What was said before counts, whatever became of this one.
            run.poll(shown, [*(s.judgement for s in drawn), *_broken(error)])
            raise
        judgement = _judgement(answer, call.response_format)
        if judgement is None or isinstance(judgement, Broken):
            # It looks something up first, was not asked for a judgement, or gave none.
            run.poll(shown, [*(s.judgement for s in drawn), *([judgement] if judgement else [])])
            for delta in (*answer, *_taken(drawn)):
                yield delta
            return
        drawn.append(_Sample(judgement, answer))
    run.poll(shown, [sample.judgement for sample in drawn])
    for delta in _told(drawn):
        yield delta


class _Plain(Judgement):
    """A judgement, whatever its author's own schema has beside it."""

    model_config = ConfigDict(extra="ignore")


class _Sample(NamedTuple):
    judgement: Judgement
    answer: list[ModelResponse]


def _told(drawn: Sequence[_Sample]) -> Iterator[ModelResponse]:
    """The answer that stands for all, and what the others took."""
    chosen = middle([sample.judgement for sample in drawn])
    told = next(sample for sample in drawn if sample.judgement is chosen)
    yield from told.answer
    yield from _taken(sample for sample in drawn if sample is not told)


def _taken(samples: Iterable[_Sample]) -> Iterator[ModelResponse]:
    """What `samples` took, which the host is to count."""
    for sample in samples:
        for delta in sample.answer:
            if delta.response_usage is not None:
                yield ModelResponse(response_usage=delta.response_usage)


def middle(said: Sequence[Judgement]) -> Judgement:
    """The judgement that stands for all: of the commonest decision, the one nearest to the mean.

    Where two decisions are as common, the less favourable one.
    """
    decisions = [one.decision for one in said]
    order = (Decision.REJECT, Decision.REVISE, Decision.APPROVE)
    commonest = max(order, key=decisions.count)
    mean = sum(one.score for one in said) / len(said)
    alike = [one for one in said if one.decision is commonest]
    return min(alike, key=lambda one: (abs(one.score - mean), one.score))


def _fresh(call: Call, *, first: bool) -> Call:
    """The same question, which no cache may answer; the host's message is filled in once."""
    message = call.assistant_message if first else Message(role="assistant")
    # The spent tokens are shared: they are counted for the run wherever the call fails.
    return replace(call, assistant_message=message, fresh=True)


def _broken(error: BaseException) -> list[Broken]:
    """What an error says of a sample: only an answer that is no judgement is held against a plan.

    What became of the call is the provider's, or the caller's, and says nothing of it.
    """
    return [Broken.of(error.verdict.reason)] if isinstance(error, ContractError) else []


def _judgement(answer: Sequence[ModelResponse], asked: object) -> Judgement | None:
    """The judgement in an answer to what was `asked` for; none where there is to be none.

    A `Broken` one where there is to be one, and no contract has held the answer to it.
    """
    schema = schema_of(asked)
    if any(delta.tool_calls for delta in answer) or not asks_for_json(asked):
        return None
    text = "".join(delta.content for delta in answer if isinstance(delta.content, str))
    try:
        if schema is None:
            # In JSON mode the host does not say which: it may be one with fields of its own.
            return Judgement.model_validate(validate(_Plain, text).model_dump())
        return validate(schema, text) if issubclass(schema, Judgement) else None
    except ContractError as error:
        return Broken.of(error.verdict.reason)
