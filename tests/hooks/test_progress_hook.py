"""ProgressHook: who is at work, in a terminal; and nothing of it reaches a run."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent
from agno.run import RunContext
from agno.run.agent import RunInput, RunOutput
from agno.run.base import RunStatus
from desk import FORMS, Refuses, desk, play, tell
from fastapi import BackgroundTasks
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.live import Live

from agno_portkey import PortkeyModel
from agno_portkey.hooks import AuditHook, ProgressHook
from agno_portkey.testing import EmbeddedProvider


class Screen:
    """A console and what is on it, figures left out."""

    def __init__(self, **options: Any) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, width=100, **options)
        self.progress = ProgressHook(self.console, always=True)

    @property
    def lines(self) -> list[str]:
        return re.sub(r"  \d+\.\d\d s, \d+\+\d+ tokens$", " ...", self.text, flags=re.M).split(
            "\n"
        )[:-1]

    @property
    def text(self) -> str:
        return self.file.getvalue()


DESK = ["Desk begins", "  Writer begins", "  Writer answered ...", "Desk answered ..."]


@pytest.mark.parametrize("form", FORMS)
def test_it_shows_who_begins_and_who_ends(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    screen = Screen()
    play(desk(portkey_model, [screen.progress]), form)
    assert screen.lines == DESK


def test_it_goes_together_with_an_audit(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    screen, file = Screen(), tmp_path / "audit.jsonl"
    desk(portkey_model, [AuditHook(file), screen.progress]).run("Hi")
    assert screen.lines == DESK
    parents = [json.loads(line)["parent_run_id"] for line in file.read_text().splitlines()]
    assert [parent is None for parent in parents] == [True, False, False, True]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_refused_member_is_ended_by_its_team(
    where: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    screen = Screen()
    play(desk(portkey_model, [screen.progress], **{where: [Refuses()]}), form)
    how = "unfinished" if form in ("stream", "astream") else "error"
    assert screen.lines == [*DESK[:2], f"  Writer {how}", DESK[3]]


def test_it_goes_on_when_the_form_changes_and_agents_share_it(portkey_model: PortkeyModel) -> None:
    screen = Screen()
    hooks = {"pre_hooks": [screen.progress], "post_hooks": [screen.progress]}
    agents = [Agent(name=name, model=portkey_model, **hooks) for name in "AB"]
    for form in ("arun", "run", "astream", "stream"):
        for agent in agents:
            play(agent.deep_copy(), form)
    assert screen.lines == [line for _ in FORMS for n in "AB" for line in single(n)]


def single(name: str) -> list[str]:
    return [f"{name} begins", f"{name} answered ..."]


def test_it_is_not_moved_to_the_background(portkey_model: PortkeyModel) -> None:
    screen = Screen()
    agent = Agent(
        name="A", model=portkey_model, pre_hooks=[screen.progress], post_hooks=[screen.progress]
    )
    agent._run_hooks_in_background = True
    waiting = BackgroundTasks()
    for form in FORMS:
        play(agent, form, background_tasks=waiting)
    assert waiting.tasks == []
    assert screen.lines == single("A") * 4


# Where it shows


def test_where_there_is_no_terminal_it_is_quiet(
    portkey_model: PortkeyModel, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Screen()
    for progress in (ProgressHook(), ProgressHook(given.console)):
        Agent(name="A", model=portkey_model, pre_hooks=[progress], post_hooks=[progress]).run("Hi")
    assert capsys.readouterr().err == ""
    assert given.text == ""


def test_it_writes_to_stderr_if_asked(
    portkey_model: PortkeyModel, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ProgressHook(always=True)
    agent = Agent(name="A", model=portkey_model, pre_hooks=[progress], post_hooks=[progress])
    agent.run("Hi")
    shown = capsys.readouterr()
    assert shown.err.startswith("A begins\nA answered ")
    assert "A begins" not in shown.out


def test_in_a_terminal_it_is_in_colour(portkey_model: PortkeyModel) -> None:
    screen = Screen(force_terminal=True, color_system="standard")
    screen.progress = ProgressHook(screen.console)
    Agent(name="A", model=portkey_model, pre_hooks=[screen.progress]).run("Hi")
    assert screen.text == "\x1b[1mA\x1b[0m \x1b[36mbegins\x1b[0m\n"


def test_a_console_that_records_has_its_lines(portkey_model: PortkeyModel) -> None:
    screen = Screen(record=True)
    Agent(name="A", model=portkey_model, pre_hooks=[screen.progress]).run("Hi")
    assert screen.console.export_text() == "A begins\n"


def test_it_writes_above_what_is_drawn_on_the_terminal(
    portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's `print_response` draws with `Live`, which takes `sys.stderr` over."""
    terminal = io.StringIO()
    drawn = Console(file=terminal, force_terminal=True, width=80, color_system=None)
    progress = ProgressHook(always=True)
    with Live("drawn", console=drawn, auto_refresh=False, transient=True):
        Agent(name="A", model=portkey_model, pre_hooks=[progress]).run("Hi")
    assert "A begins\n" in terminal.getvalue()


# What goes wrong in it


class Fails(io.StringIO):
    """A file that can't be written to, with an error of the test's choice."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    def write(self, text: str) -> int:
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "terminal"),
    [
        (OSError("gone"), False),
        (OSError("gone"), True),
        (ValueError("closed"), False),
        (ValueError("closed"), True),
        # What Rich makes of a broken pipe; it points the stdout of a process at nothing as well.
        (BrokenPipeError(), False),
        (SystemExit(1), True),
    ],
)
def test_a_console_that_fails_is_passed_over(
    error: BaseException, terminal: bool, portkey_model: PortkeyModel
) -> None:
    file = Fails(error)
    progress = ProgressHook(Console(file=file, force_terminal=terminal), always=True)
    agent = Agent(name="A", model=portkey_model, pre_hooks=[progress], post_hooks=[progress])
    for form in FORMS:
        assert play(agent, form).status == RunStatus.completed
    assert file.asked >= 2


def test_what_it_is_told_in_error_is_passed_over() -> None:
    progress = Screen().progress
    progress.check(run_input=object())
    progress.check(run_output=object())


BROKEN_PIPE = """
import os, sys
from agno.run import RunContext
from agno.run.agent import RunInput
from types import SimpleNamespace
from agno_portkey.hooks import ProgressHook
progress = ProgressHook(always=True)
owner = SimpleNamespace(name="A", id="a", model=None)
sys.stdin.read(1)
for _ in range(3):
    progress.check(
        run_input=RunInput(input_content="Hi"),
        run_context=RunContext(run_id="r", session_id="s"),
        agent=owner,
    )
os.write(1, b"still here")
os._exit(0)
"""


def test_a_broken_pipe_ends_nothing() -> None:
    """Rich by itself would end the process, and point its stdout at nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", BROKEN_PIPE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stderr.close()
    process.stdin.write(b"x")
    process.stdin.close()
    assert process.stdout is not None
    assert process.stdout.read() == b"still here"
    assert process.wait(60) == 0
    process.stdout.close()


def begin(screen: Screen, name: str, **context: Any) -> None:
    screen.progress.check(
        run_input=RunInput(input_content="Hi"),
        run_context=RunContext(**{"run_id": "r", "session_id": "s", **context}),
        agent=SimpleNamespace(name=name, id="id", model=None),
    )


@given(name=st.text(st.characters(codec=None), min_size=1, max_size=80))
def test_no_name_can_break_its_line(name: str) -> None:
    screen = Screen()
    begin(screen, name)
    [line] = screen.text.split("\n")[:-1]
    assert line.isprintable()
    assert line.endswith((" begins", "…"))


@pytest.mark.parametrize("name", ["[bold]B[/]", "[/]", ":smile:"])
def test_a_name_is_no_markup(name: str) -> None:
    screen = Screen()
    begin(screen, name)
    assert screen.lines == [f"{name} begins"]


def test_a_run_that_was_not_seen_to_begin_has_no_length() -> None:
    screen = Screen()
    screen.progress.check(
        run_output=RunOutput(run_id="r", status=RunStatus.cancelled),
        run_context=RunContext(run_id="r", session_id="s"),
        agent=SimpleNamespace(name="A", id="a", model=None),
    )
    assert screen.lines == ["A cancelled"]
