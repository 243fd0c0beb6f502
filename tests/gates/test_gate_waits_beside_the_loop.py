"""Protected tools and the Runner's model wait for the gate's books beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from admission_scene import Desk
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.tools.function import Function

from agno_portkey.calls import Call
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates import Charter, Gate, Seat, interlock, protect
from agno_portkey.gates.books import Books
from agno_portkey.gates.clearance import Clearances
from agno_portkey.modes import Mode
from agno_portkey.pipeline import compose
from agno_portkey.verdict import Event

KINDS = ["coroutine", "generator"]


class Slow(Clearances):
    """Clearances in a database; who calls what of them is told, and `holds` has one wait."""

    def __init__(self, database: str) -> None:
        super().__init__(database)
        self.calls: list[tuple[str, threading.Thread]] = []
        self.began, self.goes_on = threading.Event(), threading.Event()
        self.left = threading.Event()
        self.holds = ""

    def _told(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append((name, threading.current_thread()))
        done = call()
        if self.holds == name:
            self.began.set()
            assert self.goes_on.wait(10)
        return done

    def take_step(self, *args: Any) -> Any:
        return self._told("take", lambda: super(Slow, self).take_step(*args))

    def finish_step(self, *args: Any) -> Any:
        return self._told("finish", lambda: super(Slow, self).finish_step(*args))

    def release_step(self, *args: Any) -> Any:
        self.left.set()
        return self._told("release", lambda: super(Slow, self).release_step(*args))

    def held_by(self, *args: Any) -> Any:
        return self._told("look up", lambda: super(Slow, self).held_by(*args))

    @property
    def told(self) -> list[str]:
        return [name for name, _ in self.calls]


class Scene:
    """A run that is cleared for two steps, and the tool of the first one."""

    def __init__(self, path: Path) -> None:
        self.clearances = Slow(str(path / "agno.db"))
        self.charter = Charter(
            Gate(),
            swarm="Release",
            tools=frozenset({"run_tests", "deploy"}),
            books=Books(clearances=self.clearances),
        )
        self.desk = Desk.at(self.charter, "team").judged()
        self.desk.admit()
        self.clearances.calls.clear()
        self.did: list[str] = []
        self.error: Exception | None = None

    @property
    def kept(self) -> Any:
        return self.clearances.get(str(self.desk.run.clearance and self.desk.run.clearance.id))

    def _do(self, suite: str) -> str:
        self.did.append(suite)
        if self.error is not None:
            raise self.error
        return "green"

    def begun(self, kind: str, *, by: str = "team-r", suite: str = "smoke") -> Any:
        """What the host is given for a call: what it awaits, or what it iterates."""

        async def run_tests(suite: str) -> str:
            return self._do(suite)

        async def pieces(suite: str) -> AsyncIterator[str]:
            yield self._do(suite)
            yield " as well"

        tool: Any = run_tests if kind == "coroutine" else pieces
        function = protect(Function.from_callable(tool, name="run_tests"), self.charter)
        run = self.desk.run
        context = SimpleNamespace(run_id=by, session_id=run.who.session_id, user_id=run.who.user_id)
        entrypoint: Any = function.entrypoint
        return entrypoint(suite=suite, _agno_run_context=context)

    async def call(self, kind: str, **told: str) -> str:
        begun = self.begun(kind, **told)
        if kind == "coroutine":
            return str(await begun)
        pieces = [piece async for piece in begun]
        return str(pieces[0])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_taken_and_done_beside_the_loop(kind: str, scene: Scene) -> None:
    assert asyncio.run(scene.call(kind)) == "green"
    assert scene.clearances.told == ["take", "finish"]
    assert threading.main_thread() not in [thread for _, thread in scene.clearances.calls]
    assert (scene.kept.taken, scene.kept.done) == ({1}, {1})


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_failed_is_left_beside_the_loop_and_taken_again(
    kind: str, scene: Scene
) -> None:
    scene.error = OSError("no disk")
    with pytest.raises(OSError, match="no disk"):
        asyncio.run(scene.call(kind))
    assert scene.clearances.told == ["take", "release"]
    assert threading.main_thread() not in [thread for _, thread in scene.clearances.calls]
    assert scene.kept.taken == set()
    scene.error = None
    assert asyncio.run(scene.call(kind)) == "green"
    assert scene.kept.done == {1}


def test_a_stream_that_is_closed_half_way_leaves_its_step(scene: Scene) -> None:
    async def play() -> str:
        pieces = scene.begun("generator")
        first = await anext(pieces)
        await pieces.aclose()
        return str(first)

    assert asyncio.run(play()) == "green"
    assert scene.clearances.told == ["take", "release"]
    assert threading.main_thread() not in [thread for _, thread in scene.clearances.calls]
    assert scene.kept.taken == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_nobody_here_knows_is_looked_up_beside_the_loop(kind: str, scene: Scene) -> None:
    with pytest.raises(ToolRefused, match="not part of a governed team run"):
        asyncio.run(scene.call(kind, by="another"))
    assert scene.clearances.told == ["look up"]
    assert threading.main_thread() not in [thread for _, thread in scene.clearances.calls]
    assert scene.did == []


@pytest.mark.parametrize("kind", KINDS)
def test_others_go_on_while_it_waits_for_the_database(kind: str, scene: Scene) -> None:
    scene.clearances.holds = "take"

    async def play() -> str:
        waits = asyncio.create_task(scene.call(kind))
        # Only the loop frees it.
        await asyncio.to_thread(scene.clearances.began.wait, 10)
        assert scene.did == []
        scene.clearances.goes_on.set()
        return await waits

    assert asyncio.run(play()) == "green"


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_who_is_cancelled_while_a_step_is_taken_has_not_taken_it(
    kind: str, ends: bool, scene: Scene
) -> None:
    scene.clearances.holds = "take"

    async def play() -> None:
        waits = asyncio.create_task(scene.call(kind))
        await asyncio.to_thread(scene.clearances.began.wait, 10)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        scene.clearances.goes_on.set()
        if not ends:
            assert await asyncio.to_thread(scene.clearances.left.wait, 10)

    asyncio.run(play())
    assert scene.clearances.told == ["take", "release"]
    # A loop that ends takes nothing more beside it.
    called_by = [thread for _, thread in scene.clearances.calls]
    assert ends or threading.main_thread() not in called_by
    assert scene.kept.taken == set()
    assert scene.did == []
    assert scene.desk.run.steps is not None
    assert scene.desk.run.steps.taken == set()
    scene.clearances.holds = ""
    assert asyncio.run(scene.call(kind)) == "green"


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_cancelled_while_a_step_is_noted_has_it_told_as_done(
    kind: str, scene: Scene
) -> None:
    heard: list[Event] = []
    scene.charter.observers = (*scene.charter.observers, heard.append)
    scene.clearances.holds = "finish"

    async def play() -> None:
        waits = asyncio.create_task(scene.call(kind))
        await asyncio.to_thread(scene.clearances.began.wait, 10)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        scene.clearances.goes_on.set()

    asyncio.run(play())
    assert scene.did == ["smoke"]
    assert scene.kept.done == {1}
    told = [each for each in heard if each.kind == "tool"]
    assert [(each.verdict, each.data["step"]) for each in told] == [(None, 1)]


def test_of_two_calls_at_once_one_has_the_step(scene: Scene) -> None:
    scene.clearances.holds = "take"

    async def play() -> list[Any]:
        first = asyncio.create_task(scene.call("coroutine"))
        await asyncio.to_thread(scene.clearances.began.wait, 10)
        second = await asyncio.gather(scene.call("coroutine"), return_exceptions=True)
        scene.clearances.goes_on.set()
        return [await first, *second]

    first, second = asyncio.run(play())
    assert first == "green"
    assert "done or under way" in str(second)
    assert scene.did == ["smoke"]


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_run_that_the_runners_model_does_not_know_is_looked_up_beside_the_loop(
    mode: Mode, tmp_path: Path
) -> None:
    clearances = Slow(str(tmp_path / "agno.db"))
    charter = Charter(Gate(), books=Books(clearances=clearances), mode=mode)
    lock = interlock(Seat("runner", "Runner", "Release", charter))

    async def model(call: Call) -> AsyncIterator[ModelResponse]:
        yield ModelResponse(content="Done.")

    async def play() -> list[str | None]:
        run = SimpleNamespace(run_id="another", session_id="s", user_id="u")
        call = Call([], Message(role="assistant"), run_response=run)
        async with compose([lock], AsyncIO(), model)(call) as out:
            return [delta.content async for delta in out]

    if mode == "observe":
        assert asyncio.run(play()) == ["Done."]
    else:
        with pytest.raises(GateClosed, match="not part of a governed team run"):
            asyncio.run(play())
    assert clearances.told == ["look up"]
    assert threading.main_thread() not in [thread for _, thread in clearances.calls]
