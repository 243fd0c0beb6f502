"""A stream that breaks off is continued or begun anew, and nothing of it is shown twice."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play
from pydantic import BaseModel
from recovering import TEXT, Make, Place, continued, models_asked, two

from agno_portkey.errors import GatewayDeniedOutput
from agno_portkey.routing.config.parts import GatewayCheck, Guardrail
from agno_portkey.routing.config.routes import Fallback
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, ToolCall


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("after", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 3, None], ids=["letters", "threes", "words"])
@pytest.mark.parametrize("kind", ["cut", "stall", "malformed_chunk", "error_chunk"])
def test_a_broken_stream_is_continued_where_it_broke(
    kind: str,
    size: int | None,
    after: float,
    form: str,
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
) -> None:
    def reply(request: Request) -> Reply:
        return Reply(continued(request), chunk_size=size)

    portkey_provider.when(lambda request: True, reply)
    portkey_provider.fault(getattr(Fault, kind)(after), model="first")
    route = Fallback(targets=[target("first"), target("no"), target("second", prefill=True)])
    ended = play(Agent(model=through(route)), form)
    assert (ended.status, ended.content, ended.text_shown) == (RunStatus.completed, TEXT, TEXT)
    assert models_asked(portkey_provider) == ["first", "second"]
    last = portkey_provider.calls[-1].messages[-1]
    assert last["role"] == "assistant"
    assert last["content"] == last["content"].rstrip()


@pytest.mark.parametrize("form", STREAMED)
def test_a_target_that_starts_over_is_not_shown(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, TEXT)
    portkey_provider.fault(Fault.cut(), model="first")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    ended = play(Agent(model=through(route)), form)
    assert ended.status == RunStatus.error
    assert TEXT.startswith(ended.text_shown)
    assert "began the answer anew" in ended.content
    assert ended.errors[0].additional_data["verdict"]["evidence"]["partial"] == ended.text_shown


@pytest.mark.parametrize("form", STREAMED)
def test_the_partial_text_is_there_for_who_asks_again(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: continued(request))
    portkey_provider.fault(Fault.cut(), model="first")
    portkey_provider.fault(Fault.status(503), times=1, model="second")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    model = through(route, recovery=Recovery(attempts=2, wait=0.01))

    def run(user: str) -> Any:
        return play(Agent(model=model), form, session_id="s", user_id=user)

    broken = run("ann")
    assert broken.status == RunStatus.error
    asked = len(portkey_provider.calls)
    # Nobody else is given ann's text.
    assert run("bob").content == TEXT
    assert portkey_provider.calls[asked].messages[-1]["role"] == "user"
    again = run("ann")
    assert (again.status, again.content, again.text_shown) == (RunStatus.completed, TEXT, TEXT)
    begun = portkey_provider.calls[-1].messages[-1]
    assert (begun["role"], begun["content"]) == ("assistant", broken.text_shown.rstrip())
    # Once only.
    assert run("ann").content == TEXT
    assert portkey_provider.calls[-1].messages[-1]["role"] == "user"


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(
    "later",
    [Fault.status(400), Fault.status(503), Fault.cut(0.0)],
    ids=["refused", "down", "cut at once"],
)
def test_a_partial_text_that_nobody_goes_on_with_is_no_burden(
    later: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: continued(request))
    portkey_provider.fault(Fault.cut(), model="first")
    portkey_provider.fault(Fault.status(503), times=3, model="second")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    model = through(route)
    ids = {"session_id": "s", "user_id": "ann"}
    assert play(Agent(model=model), form, **ids).status == RunStatus.error
    portkey_provider.clear_faults()
    portkey_provider.fault(later, times=None, model="second")
    for _ in range(2):
        ended = play(Agent(model=model), form, **ids)
        assert (ended.status, ended.content, ended.text_shown) == (RunStatus.completed, TEXT, TEXT)


@pytest.mark.parametrize("form", STREAMED)
def test_who_refused_to_continue_is_not_asked_to_again(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    def reply(request: Request) -> str | Fault:
        return Fault.status(400) if request.messages[-1]["role"] == "assistant" else TEXT

    portkey_provider.when(lambda request: True, reply)
    portkey_provider.fault(Fault.cut(), model="first")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    model = through(route)
    broken = play(Agent(model=model), form, user_id="ann")
    assert broken.status == RunStatus.error
    assert "second UpstreamFailed 400" in broken.content
    assert play(Agent(model=model), form, user_id="ann").content == TEXT
    # Whole answers it still gives.
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    assert play(Agent(model=model), form, user_id="ann").content == TEXT


class Answer(BaseModel):
    """What is asked for."""

    text: str


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("fault", [Fault.cut(), Fault.stall(), Fault.malformed_chunk()])
def test_a_structured_output_is_begun_anew(
    fault: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Answer(text=TEXT))
    portkey_provider.fault(fault, model="first")
    ended = play(Agent(model=through(two(target)), output_schema=Answer), form)
    assert (ended.status, ended.content) == (RunStatus.completed, Answer(text=TEXT))
    assert models_asked(portkey_provider) == ["first", "second"]


@pytest.mark.parametrize("form", STREAMED)
def test_a_tool_call_is_begun_anew_and_made_once(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    made: list[str] = []

    def deploy(place: str) -> str:
        """Deploy."""
        made.append(place)
        return "done"

    call = Reply(tool_calls=[ToolCall("deploy", {"place": "staging, and nowhere else"})])
    portkey_provider.when(lambda request: not request.tool_results, call)
    portkey_provider.fault(Fault.cut(0.7), model="first")
    ended = play(Agent(model=through(two(target)), tools=[deploy]), form)
    assert ended.status == RunStatus.completed
    assert made == ["staging, and nowhere else"]
    assert models_asked(portkey_provider) == ["first", "second", "first"]


@pytest.mark.parametrize("form", STREAMED)
def test_thoughts_that_were_shown_are_not_thought_twice(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Reply(TEXT, reasoning="Let me see."))
    # The first event opens the message, the second is the thought.
    portkey_provider.fault(Fault.cut(2 / 12), model="first")
    ended = play(Agent(model=through(two(target))), form)
    assert (ended.status, ended.content) == (RunStatus.completed, TEXT)
    assert ended.output is not None
    assert ended.output.reasoning_content == "Let me see."
    assert models_asked(portkey_provider) == ["first", "second"]


def test_an_answer_at_its_length_limit_is_warned_of(
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    portkey_provider.reply(Reply(TEXT, finish_reason="length"))
    assert ask(through(target("first")), "run")[0].content == TEXT
    assert "the answer of first ends at its length limit: raise max_tokens" in caplog.text


def test_the_gateways_short_answers_of_together_are_warned_of(
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = {"provider": "together-ai", "custom_host": portkey_provider.host}
    there = target("llama", **place)
    through(there, max_tokens=1000)
    through(target("llama", override_params={"max_tokens": 9}, **place))
    assert caplog.text == ""
    through(there)
    assert "together-ai/llama: without max_tokens" in caplog.text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reason", ["content_filter", "error"])
def test_an_answer_that_the_provider_broke_off_is_no_success(
    reason: str, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Reply(TEXT, finish_reason=reason))
    ended = play(Agent(model=through(target("first"))), form)
    assert ended.status == RunStatus.error


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_lost_behind_the_finish_is_not_missed(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(TEXT)
    portkey_provider.fault(Fault.no_done())
    ended = play(Agent(model=through(target("first"))), form)
    assert (ended.status, ended.content) == (RunStatus.completed, TEXT)


@pytest.mark.parametrize("form", STREAMED)
def test_the_gateways_checks_of_an_answer_run_though_it_is_streamed(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    check = GatewayCheck(id="default.contains", parameters={"words": ["seven"], "operator": "none"})
    route = target("first", output_guardrails=[Guardrail(checks=[check])])
    portkey_provider.reply(TEXT)
    ended = play(Agent(model=through(route)), form)
    assert (ended.status, ended.text_shown) == (RunStatus.error, "")
    portkey_provider.reply(TEXT)
    with pytest.raises(GatewayDeniedOutput):
        ask(through(route), form)
    portkey_provider.reply("one two")
    ended = play(Agent(model=through(route)), form)
    assert (ended.content, ended.text_shown) == ("one two", "one two")
    assert [request.stream for request in portkey_provider.calls] == [False] * 3
