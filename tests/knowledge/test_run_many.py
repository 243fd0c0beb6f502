"""Many runs: in order, none for another, a few at once, and gone on with after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.team import Team
from pydantic import BaseModel

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError, OutputBlocked
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.knowledge import Many, RunFailed, arun_many, run_many
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault

INPUTS = [f"question {number}" for number in range(12)]
Makes = Callable[..., PortkeyModel]


@pytest.fixture
def model(portkey_provider: EmbeddedProvider) -> Makes:
    portkey_provider.when(lambda request: True, lambda request: f"to {request.last_user}")

    def made(**options: Any) -> PortkeyModel:
        once = Recovery(attempts=1)
        return PortkeyModel(base_url=portkey_provider.url, api_key="k", recovery=once, **options)

    return made


@pytest.fixture(params=["sync", "async"])
def many(request: pytest.FixtureRequest) -> Callable[..., Many]:
    if request.param == "sync":
        return run_many
    return lambda *given, **options: asyncio.run(arun_many(*given, **options))


def said(found: Many) -> list[str | None]:
    return [None if output is None else output.content for output in found]


def test_outputs_come_in_the_order_of_inputs(
    many: Callable[..., Many], model: Makes, portkey_provider: EmbeddedProvider
) -> None:
    shown: list[tuple[int, int]] = []
    found = many(
        Agent(model=model()), INPUTS, progress=lambda done, total: shown.append((done, total))
    )
    assert said(found) == [f"to {text}" for text in INPUTS]
    assert found.require() == found.outputs
    assert sorted(shown) == [(done, 12) for done in range(1, 13)]
    # No run finds another's words in its session.
    assert all(len(call.messages) == 1 for call in portkey_provider.calls)
    assert len({output.session_id for output in found}) == 12
    assert said(many(Agent(model=model()), [])) == []


def test_a_team_runs_many_times_too(many: Callable[..., Many], model: Makes) -> None:
    team = Team(name="Desk", members=[Agent(name="Writer", model=model())], model=model())
    assert said(many(team, INPUTS[:3])) == [f"to {text}" for text in INPUTS[:3]]


def test_no_more_are_under_way_than_are_wanted(
    many: Callable[..., Many], model: Makes, portkey_provider: EmbeddedProvider
) -> None:
    at_once, most, lock = [0], [0], threading.Lock()

    def answer(request: Any) -> str:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.02)
        with lock:
            at_once[0] -= 1
        return "Well"

    portkey_provider.reset()
    portkey_provider.when(lambda request: True, answer)
    many(Agent(model=model()), INPUTS, concurrency=3)
    assert most[0] == 3


@guard
def no_beans(passage: Passage) -> Block | None:
    beans = passage.direction == "output" and "question 3" in passage.text
    return Block("beans") if beans else None


def test_what_fails_is_no_obstacle_and_says_why(
    many: Callable[..., Many], model: Makes, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(400), times=None, text="question 7")
    found = many(Agent(model=model(guards=[no_beans])), INPUTS)
    assert [*found.errors] == [3, 7]
    assert isinstance(found.errors[3], OutputBlocked)
    failed = found.errors[7]
    assert isinstance(failed, RunFailed)
    assert failed.output.status == RunStatus.error
    assert said(found) == [
        None if place in (3, 7) else f"to {text}" for place, text in enumerate(INPUTS)
    ]
    with pytest.raises(OutputBlocked):
        found.require()


class Raises:
    name = id = "raises"

    def run(self, text: str, **options: Any) -> Any:
        raise ZeroDivisionError

    async def arun(self, text: str, **options: Any) -> Any:
        raise ZeroDivisionError


def test_what_is_raised_is_kept(many: Callable[..., Many]) -> None:
    found = many(Raises(), ["a", "b"])
    assert [type(error) for error in found.errors.values()] == [ZeroDivisionError] * 2


class Fact(BaseModel):
    value: int


def test_what_is_in_the_journal_is_not_run_again(
    many: Callable[..., Many], model: Makes, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    journal = tmp_path / "runs.jsonl"
    portkey_provider.fault(Fault.status(400), times=1, text="question 7")
    first = many(Agent(name="A", model=model()), INPUTS, journal=journal)
    assert [*first.errors] == [7]
    asked = len(portkey_provider.calls)
    again = many(Agent(name="A", model=model()), INPUTS, journal=journal)
    assert (again.resumed, again.errors) == (11, {})
    assert said(again) == [f"to {text}" for text in INPUTS]
    assert len(portkey_provider.calls) == asked + 1
    assert journal.stat().st_mode & 0o077 == 0
    # Another agent's runs, and those of other inputs or options, are others.
    for agent, inputs, options in (
        ("B", INPUTS, {}),
        ("A", INPUTS[::-1], {}),
        ("A", INPUTS, {"user_id": "ann"}),
    ):
        other = many(Agent(name=agent, model=model()), inputs, journal=journal, **options)
        assert other.resumed == 0


def test_objects_come_back_as_objects(
    many: Callable[..., Many], model: Makes, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    portkey_provider.reset()
    portkey_provider.when(lambda request: True, '{"value": 7}')
    for resumed in (0, 2):
        agent = Agent(name="A", model=model(), output_schema=Fact)
        found = many(agent, INPUTS[:2], journal=tmp_path / "runs.jsonl")
        assert said(found) == [Fact(value=7)] * 2
        assert found.resumed == resumed


@pytest.mark.parametrize("spoil", [b'{"key": "cut off', b"\xff\xfe\n", b"[]\n", b'{"key": 1}\n'])
def test_a_line_that_can_not_be_read_is_a_run_to_be_made(
    spoil: bytes, many: Callable[..., Many], model: Makes, tmp_path: Path
) -> None:
    journal = tmp_path / "runs.jsonl"
    assert many(Agent(name="A", model=model()), INPUTS[:1], journal=journal).resumed == 0
    with journal.open("ab") as file:
        file.write(spoil)
    assert many(Agent(name="A", model=model()), INPUTS[:2], journal=journal).resumed == 1
    assert many(Agent(name="A", model=model()), INPUTS[:2], journal=journal).resumed == 2


@pytest.mark.parametrize("begun", [b'{"key": "cut off', b'{"ke'])
def test_a_kill_at_the_first_line_is_no_obstacle(
    begun: bytes, model: Makes, tmp_path: Path
) -> None:
    journal = tmp_path / "runs.jsonl"
    journal.write_bytes(begun)
    agent = Agent(name="A", model=model())
    assert [run_many(agent, INPUTS[:2], journal=journal).resumed for _ in range(2)] == [0, 2]


def test_two_at_one_journal_are_one_too_many(
    many: Callable[..., Many], model: Makes, tmp_path: Path
) -> None:
    journal = tmp_path / "runs.jsonl"

    class Second:
        name = id = "second"

        def run(self, text: str, **options: Any) -> Any:
            return run_many(Agent(model=model()), ["a"], journal=journal)

        async def arun(self, text: str, **options: Any) -> Any:
            return self.run(text)

    found = many(Second(), ["a"], journal=journal)
    assert isinstance(found.errors[0], ConfigurationError)
    assert "another process" in str(found.errors[0])


_KILLED = dedent(
    """
    import sys
    from agno.agent import Agent
    from agno_portkey import PortkeyModel
    from agno_portkey.knowledge import run_many

    agent = Agent(name="A", model=PortkeyModel(base_url=sys.argv[1], api_key="k"))
    inputs = [f"question {number}" for number in range(12)]
    run_many(agent, inputs, journal=sys.argv[2], concurrency=1)
    """
)


def test_after_a_kill_the_rest_is_run(
    many: Callable[..., Many], model: Makes, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    journal = tmp_path / "runs.jsonl"
    reached = threading.Event()

    def answer(request: Any) -> str:
        if request.last_user == "question 5" and not reached.is_set():
            reached.set()
            time.sleep(60)
        return f"to {request.last_user}"

    portkey_provider.reset()
    portkey_provider.when(lambda request: True, answer)
    command = [sys.executable, "-c", _KILLED, portkey_provider.url, str(journal)]
    with subprocess.Popen(command, env={**os.environ, "AGNO_TELEMETRY": "false"}) as killed:
        assert reached.wait(60)
        killed.send_signal(signal.SIGKILL)
    found = many(Agent(name="A", model=model()), INPUTS, journal=journal)
    assert found.resumed == 5
    assert said(found) == [f"to {text}" for text in INPUTS]


@pytest.mark.parametrize(
    ("inputs", "options", "named"),
    [
        ("a text", {}, "inputs"),
        (["a"], {"concurrency": 0}, "concurrency"),
        (["a"], {"stream": True}, "stream"),
        (["a"], {"journal": "/"}, "journal"),
        ([object()], {"journal": "runs.jsonl"}, "journal"),
    ],
)
def test_bad_settings_are_named(
    inputs: Any,
    options: dict[str, Any],
    named: str,
    many: Callable[..., Many],
    model: Makes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=named):
        many(Agent(model=model()), inputs, **options)


def test_where_no_file_can_be_held_alone_a_journal_is_refused(
    model: Makes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    agent = Agent(model=model())
    assert run_many(agent, INPUTS[:2]).require()
    with pytest.raises(ConfigurationError, match="can't hold a file alone"):
        run_many(agent, INPUTS[:2], journal=tmp_path / "journal")


def test_another_prompt_or_model_is_another_run(model: Makes, tmp_path: Path) -> None:
    def resumed(**options: Any) -> int:
        given = {"name": "a", "id": "a", "model": model(), "instructions": "one", **options}
        return run_many(Agent(**given), ["q"], journal=tmp_path / "journal").resumed

    assert [resumed(), resumed()] == [0, 1]
    for other in (
        {"instructions": ["two"]},
        {"system_message": "three"},
        {"model": model(id="gpt-4o")},
    ):
        assert [resumed(**other), resumed(**other)] == [0, 1]
    assert resumed() == 1


@pytest.mark.parametrize("text", [b"print('mine')\n", b"\0", b'{"journal": 1}\n'])
def test_a_file_of_somebody_else_is_left_as_it_is(
    text: bytes, model: Makes, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_bytes(text)
    with pytest.raises(ConfigurationError, match="not the journal"):
        run_many(Agent(model=model()), ["y"], journal=file)
    assert file.read_bytes() == text


def test_what_is_printed_of_many_runs_is_short(model: Makes) -> None:
    many = run_many(Agent(model=model()), INPUTS[:3])
    assert repr(many) == "Many(3 runs, 0 failed, 0 resumed)"
    assert len(many) == 3
