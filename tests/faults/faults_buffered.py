"""Answers of which a part is of no use: structured outputs and tool calls that break off."""

from __future__ import annotations

from dataclasses import replace

from faults_case import OFF, Arm, Case, Played, at_primary, once
from faults_judge import DUPLICATE, TRUNCATED
from faults_stage import Stage
from pydantic import BaseModel

from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, ToolCall

__all__ = ["BUFFERED"]


class Report(BaseModel):
    """A structured answer."""

    city: str
    degrees: int
    outlook: str


REPORT = Report(city="Oslo", degrees=3, outlook="snow until the evening")
ARGUMENTS = {"city": "Oslo", "unit": "degrees Celsius"}


def _reporting(fault: Fault) -> Arm:
    def arm(provider: EmbeddedProvider) -> None:
        at_primary(fault)(provider)
        provider.when(lambda request: True, Reply(REPORT.model_dump_json(), chunk_size=4))

    return arm


def _calling(fault: Fault) -> Arm:
    """The call of the tool has the fault, the answer after it has none."""

    def before_the_tool(request: Request) -> bool:
        return all(message["role"] != "tool" for message in request.messages)

    def arm(provider: EmbeddedProvider) -> None:
        at_primary(fault, times=1)(provider)
        call = Reply(tool_calls=(ToolCall("weather", ARGUMENTS),), chunk_size=4)
        provider.when(before_the_tool, call)

    return arm


def with_a_tool(case: Case, stage: Stage, form: str) -> Played:
    """One run of an agent with a tool, which is to be called just once."""
    done: list[dict[str, str]] = []

    def weather(city: str, unit: str) -> str:
        """The weather of a city."""
        done.append({"city": city, "unit": unit})
        return "3, snow"

    stage.agent["tools"] = [weather]
    played = once(case, stage, form)
    if played.good and done != [ARGUMENTS]:
        return replace(played, verdict=DUPLICATE if len(done) > 1 else TRUNCATED)
    return played


BUFFERED = (
    *(
        Case(
            None,
            f"structured output, {name}",
            _reporting(fault),
            expected=REPORT,
            agent={"output_schema": Report},
        )
        for name, (_, fault) in OFF.items()
    ),
    *(
        Case(None, f"tool call, {name}", _calling(fault), play=with_a_tool)
        for name, (_, fault) in OFF.items()
    ),
)
