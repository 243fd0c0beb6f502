"""A stop is felt before each call and request of a model, and each call of a tool."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.base import RunStatus
from agno.tools import tool
from agno.tools.function import Function, FunctionCall
from braked import braked
from four_forms import FORMS, STREAMED, ask, play
from stopping_store import Kept

from agno_portkey.calls import Call
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import InputBlocked, Stopped, ToolRefused
from agno_portkey.model import PortkeyModel
from agno_portkey.pipeline import compose
from agno_portkey.routing import Recovery
from agno_portkey.stopping import Brake, StopSwitch, aguard_tool, guard_tool, stop_layer, stoppable
from agno_portkey.testing import EmbeddedProvider, Reply
from agno_portkey.testing.faults import Fault
from agno_portkey.testing.replies import ToolCall
from agno_portkey.verdict import Event


class Scene:
    def __init__(self, model: PortkeyModel, **brake: Any) -> None:
        self.switch = StopSwitch(InMemoryDb(), max_age=30, timeout=30)
        self.heard: list[Event] = []
        self.brake = Brake(
            self.switch, ("Release",), "Runner", observers=(self.heard.append,), **brake
        )
        self.model = braked(model, self.brake)


@pytest.fixture
def scene(portkey_model: PortkeyModel) -> Scene:
    return Scene(portkey_model)


@pytest.mark.parametrize("form", FORMS)
def test_a_stopped_swarm_sends_nothing_and_goes_on_after(
    form: str, scene: Scene, portkey_provider: EmbeddedProvider
) -> None:
    agent = Agent(model=scene.model)
    assert play(agent, form).status == RunStatus.completed
    assert len(portkey_provider.requests) == 1
    scene.switch.stop("Release", reason="enough")
    ended = play(agent, form)
    assert ended.status == RunStatus.error
    assert "the swarm Release is stopped" in str(ended.content)
    assert "enough" in str(ended.content)
    with pytest.raises(Stopped) as refused:
        ask(scene.model, form)
    assert isinstance(refused.value, InputBlocked)
    assert refused.value.verdict.evidence["reason"] == "enough"
    assert len(portkey_provider.requests) == 1
    scene.switch.resume("Release")
    assert play(agent, form).status == RunStatus.completed
    assert len(portkey_provider.requests) == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_state_that_can_not_be_read_sends_nothing(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    store = Kept()
    store.error = OSError("disk on fire")
    brake = Brake(StopSwitch(store, timeout=30), ("Release",))
    with pytest.raises(Stopped, match="the stop state can't be read: disk on fire"):
        ask(braked(portkey_model, brake), form)
    assert portkey_provider.requests == []


@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_tries_again_is_refused_its_next_request(
    form: str, scene: Scene, portkey_provider: EmbeddedProvider
) -> None:
    def fail(request: Any) -> Fault:
        scene.switch.stop("Release")
        return Fault.status(500)

    scene.model.recovery = Recovery(attempts=3, wait=0.01)
    portkey_provider.when(lambda request: True, fail)
    with pytest.raises(Stopped):
        ask(scene.model, form)
    assert len(portkey_provider.requests) == 1


def test_a_stopped_call_does_not_get_to_the_layers_below(scene: Scene) -> None:
    asked = []

    async def below(call: Call) -> AsyncIterator[ModelResponse]:
        asked.append(call)
        yield ModelResponse(content="said")

    call = Call([], Message(role="assistant"))
    layer = stop_layer(scene.brake)
    assert [delta.content for delta in drive(compose([layer], SyncIO(), below)(call))] == ["said"]
    scene.switch.stop("Release")
    with pytest.raises(Stopped):
        list(drive(compose([layer], SyncIO(), below)(call)))
    assert asked == [call]


@pytest.mark.parametrize("form", STREAMED)
def test_a_stream_that_is_under_way_goes_on_to_its_end(
    form: str, scene: Scene, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("one two three four")
    shown: list[str] = []

    def note(delta: Any) -> None:
        if isinstance(delta.content, str):
            shown.append(delta.content)
            scene.switch.stop("Release")

    agent = Agent(model=scene.model)
    if form == "stream":
        for event in agent.run("Hi", stream=True):
            note(event)
    else:

        async def collect() -> None:
            async for event in agent.arun("Hi", stream=True):
                note(event)

        asyncio.run(collect())
    assert len(shown) > 1
    assert "".join(shown) == "one two three four"


# Tools


class Done:
    """Tools of each kind that count how often they ran."""

    def __init__(self) -> None:
        self.ran = 0

    def plain(self, place: str) -> str:
        """Ship it."""
        self.ran += 1
        return f"shipped to {place}"

    async def awaited(self, place: str) -> str:
        """Ship it."""
        self.ran += 1
        return f"shipped to {place}"

    async def streamed(self, place: str) -> AsyncIterator[str]:
        """Ship it."""
        self.ran += 1
        yield f"shipped to {place}"


KINDS = ("plain", "awaited", "streamed")
# A coroutine can't be run without a loop, by the host itself.
CELLS = [(form, kind) for form in FORMS for kind in KINDS if form[0] == "a" or kind == "plain"]


def _calls(provider: EmbeddedProvider, kind: str) -> None:
    provider.reply(_called(kind))
    provider.reply("Over.")


def _called(kind: str) -> Reply:
    return Reply(tool_calls=[ToolCall(kind, {"place": "prod"})])


@pytest.mark.parametrize(("form", "kind"), CELLS)
def test_a_tool_runs_while_the_swarm_may(
    form: str, kind: str, scene: Scene, portkey_provider: EmbeddedProvider
) -> None:
    done = Done()
    _calls(portkey_provider, kind)
    assert play(Agent(model=scene.model, tools=[getattr(done, kind)]), form).content == "Over."
    assert done.ran == 1
    assert portkey_provider.requests[-1].tool_results == ["shipped to prod"]


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize(("form", "kind"), CELLS)
def test_a_stop_between_the_model_and_its_tool_is_in_time(
    form: str, kind: str, hooked: bool, scene: Scene, portkey_provider: EmbeddedProvider
) -> None:
    done, hooks = Done(), []

    def hook(function_name: str, function_call: Any, arguments: dict[str, Any]) -> Any:
        hooks.append(function_name)
        return function_call(**arguments)

    def stopping(request: Any) -> Reply:
        scene.switch.stop("Release", reason="enough")
        return _called(kind)

    portkey_provider.reply(stopping)
    agent = Agent(
        model=scene.model, tools=[getattr(done, kind)], tool_hooks=[hook] if hooked else None
    )
    assert play(agent, form).status == RunStatus.error
    assert (done.ran, hooks) == (0, [])
    assert len(portkey_provider.requests) == 1
    assert [event.data.get("tool") for event in scene.heard][:1] == [kind]
    # What was refused then runs again.
    scene.switch.resume("Release")
    _calls(portkey_provider, kind)
    assert play(agent, form).content == "Over."
    assert done.ran == 1


def _function(done: Done, kind: str) -> Function:
    function = Function.from_callable(getattr(done, kind))
    function.cache_results = True
    return function


def _run(function: Function) -> Any:
    call = FunctionCall(function=function, arguments={"place": "prod"})

    async def awaited() -> Any:
        result = await call.aexecute()
        if hasattr(result.result, "__aiter__"):
            return [item async for item in result.result]
        return result.result

    return asyncio.run(awaited())


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_with_a_brake_of_its_own_asks_whoever_runs_it(kind: str, scene: Scene) -> None:
    done = Done()
    function = _function(done, kind)
    assert stoppable(scene.brake, function) is function
    inside = function.entrypoint
    assert stoppable(scene.brake, function).entrypoint is inside
    assert not function.cache_results
    assert "shipped to prod" in _run(function)
    scene.switch.stop("Release")
    with pytest.raises(ToolRefused, match=f"{kind} was refused: the swarm Release is stopped"):
        _run(function)
    assert done.ran == 1
    scene.switch.resume("Release")
    _run(function)
    assert done.ran == 2


def test_a_tool_without_an_entrypoint_is_left_alone(scene: Scene) -> None:
    function = Function(name="elsewhere")
    assert stoppable(scene.brake, function).entrypoint is None


def test_a_tool_keeps_what_it_is(scene: Scene) -> None:
    @tool
    def ship(place: str) -> str:
        """Ship it."""
        return place

    before = ship.entrypoint
    stoppable(scene.brake, ship)
    assert ship.entrypoint is not None
    assert ship.entrypoint.__name__ == before.__name__
    assert ship.entrypoint.__wrapped__ is before


def test_a_refused_call_leaves_its_function_as_it_was(scene: Scene) -> None:
    function = _function(Done(), "plain")
    scene.switch.stop("Release")
    for guard in (guard_tool, lambda *a: asyncio.run(aguard_tool(*a))):
        call = FunctionCall(function=function, arguments={"place": "prod"})
        guard(scene.brake, call)
        assert call.function is not function
        assert call.function.name == "plain"
        with pytest.raises(ToolRefused):
            call.execute()
    assert function.cache_results


# Modes


@pytest.mark.parametrize("form", FORMS)
def test_to_observe_is_to_tell_and_let_through(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    scene, done = Scene(portkey_model, mode="observe"), Done()
    scene.switch.stop("Release")
    _calls(portkey_provider, "plain")
    ended = play(Agent(model=scene.model, tools=[stoppable_of(scene, done)]), form)
    assert ended.content == "Over."
    assert done.ran == 1
    assert {event.kind for event in scene.heard} == {"stop"}
    assert {event.data["mode"] for event in scene.heard} == {"observe"}
    first = scene.heard[0]
    assert (first.role, first.swarm, first.run_id is not None) == ("Runner", "Release", True)
    assert first.verdict is not None
    assert not first.verdict.passed


def stoppable_of(scene: Scene, done: Done) -> Function:
    return stoppable(scene.brake, Function.from_callable(done.plain))


@pytest.mark.parametrize("form", FORMS)
def test_off_does_not_look(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    store, heard = Kept(), []
    store.error = OSError("disk on fire")
    brake = Brake(StopSwitch(store), ("Release",), mode="off", observers=(heard.append,))
    done = Done()
    function = stoppable(brake, Function.from_callable(done.plain))
    _calls(portkey_provider, "plain")
    ended = play(Agent(model=braked(portkey_model, brake), tools=[function]), form)
    assert ended.content == "Over."
    assert (store.reads, heard, done.ran) == (0, [], 1)


def test_the_environment_has_the_last_word(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.switch.stop("Release")
    assert scene.brake.refusal() is not None
    for mode, refused in (("off", False), ("observe", False), ("enforce", True), ("x", True)):
        monkeypatch.setenv("AGNO_PORTKEY_STOP_MODE", mode)
        assert (scene.brake.refusal() is not None) is refused


def test_a_brake_is_shared_by_copies(scene: Scene) -> None:
    assert copy.deepcopy([scene.brake])[0] is scene.brake
