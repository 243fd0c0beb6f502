"""What goes wrong amid a stream, and what is told of what was shown by then."""

from __future__ import annotations

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from failing import WORDS, is_friendly, place, raised, through_gateway
from four_forms import STREAMED, play

from agno_portkey.errors import (
    BadResponse,
    ContextOverflow,
    GatewayError,
    GatewayTimeout,
    UpstreamFailed,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall

pytestmark = pytest.mark.usefixtures("asking_once")


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.cut(), id="cut"),
        pytest.param(Fault.cut(clean=True), id="cut with a proper end"),
        pytest.param(Fault.malformed_chunk(), id="malformed chunk"),
        pytest.param(Fault.stall(), id="stall"),
        pytest.param(Fault.error_chunk(), id="error in the stream"),
    ],
)
def test_a_stream_that_breaks_after_text_was_shown_is_truncated(
    fault: Fault,
    form: str,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.reply(WORDS)
    portkey_provider.fault(fault, times=None)
    again = Recovery(attempts=3)
    model = through_gateway(portkey_gateway, place(portkey_provider), timeout=0.5, recovery=again)

    ended = play(Agent(model=model), form)

    assert ended.text_shown.startswith("one ")
    assert not ended.text_shown.endswith("six")
    assert ended.status == RunStatus.error
    assert ended.errors[0].error_type == "output_check_error"
    assert "not whole" in ended.content
    assert "discard it" in ended.content
    is_friendly(ended.content)
    # A retry would put the second answer behind the beginning of the first.
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault.cut(0.0), BadResponse, id="cut"),
        pytest.param(Fault.cut(0.0, clean=True), BadResponse, id="cut with a proper end"),
        pytest.param(Fault.malformed_chunk(0.0), BadResponse, id="malformed chunk"),
        pytest.param(Fault.stall(0.0), GatewayTimeout, id="stall"),
        pytest.param(Fault.error_chunk(0.0), UpstreamFailed, id="error in the stream"),
    ],
)
def test_a_stream_that_breaks_before_anything_was_shown_can_be_tried_again(
    fault: Fault,
    error: type[GatewayError],
    form: str,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.when(lambda request: True, WORDS)
    portkey_provider.fault(fault, times=None)
    model = through_gateway(portkey_gateway, place(portkey_provider), timeout=0.5)
    assert type(raised(model, form)) is error
    ended = play(Agent(model=model), form)
    assert (ended.status, ended.text_shown) == (RunStatus.error, "")

    portkey_provider.clear_faults()
    portkey_provider.fault(fault, times=1)
    again = PortkeyModel(base_url=portkey_gateway.url, config=model.config, timeout=0.5, retries=1)
    ended = play(Agent(model=again), form)
    if error is GatewayTimeout:
        # Who is silent is left, not asked again.
        assert ended.status == RunStatus.error
    else:
        assert (ended.status, ended.content) == (RunStatus.completed, WORDS.text)


@pytest.mark.parametrize("form", STREAMED)
def test_a_tool_call_whose_stream_broke_off_is_not_made(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    done: list[str] = []

    def deploy(target: str) -> str:
        """Deploy."""
        done.append(target)
        return "ok"

    call = ToolCall("deploy", {"target": "staging"})
    portkey_provider.reply(Reply(tool_calls=(call,)))
    portkey_provider.fault(Fault.cut(0.99, clean=True), times=1)
    model = through_gateway(portkey_gateway, place(portkey_provider))
    ended = play(Agent(model=model, tools=[deploy]), form)
    assert ended.status == RunStatus.error
    assert done == []

    # Nothing was shown, so it may be asked again; the halves of two calls are not put together.
    portkey_provider.reply(Reply(tool_calls=(call,)))
    portkey_provider.fault(Fault.cut(0.99, clean=True), times=1)
    portkey_provider.reply(Reply(tool_calls=(call,)))
    portkey_provider.reply("It is there.")
    twice = Recovery(attempts=2, wait=0.01)
    again = through_gateway(portkey_gateway, place(portkey_provider), recovery=twice)
    ended = play(Agent(model=again, tools=[deploy]), form)
    assert (ended.status, ended.content) == (RunStatus.completed, "It is there.")
    assert done == ["staging"]


@pytest.mark.parametrize("form", STREAMED)
def test_a_stream_without_its_last_mark_is_whole_once_it_named_its_end(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(WORDS)
    portkey_provider.fault(Fault.no_done())
    ended = play(Agent(model=portkey_model), form)
    assert (ended.status, ended.content) == (RunStatus.completed, WORDS.text)


def test_an_overflow_that_comes_within_a_stream_is_called_so(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    code = "context_length_exceeded"
    portkey_provider.fault(Fault.error_chunk(0.0, message="too much", code=code))
    assert type(raised(portkey_model, "stream")) is ContextOverflow
