"""A plan that waits for a person says how its workflow goes on: a line that can be copied."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from agno.run.base import RunStatus
from gated_flow import STEPS, Scene
from typer.testing import CliRunner

from agno_portkey import Gate, PortkeyModel
from agno_portkey.cli import app
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, SOUND, tell


def copied(text: str) -> dict[str, Any]:
    """The arguments of the call that `text` says to make."""
    line = re.search(r"\.run\(\.\.\., (.*)\)", text)
    assert line is not None, text
    given: dict[str, Any] = eval(f"dict({line[1]})")
    return given


@pytest.mark.parametrize("said_by", ["the run", "the command"])
@pytest.mark.parametrize("user", [None, "o'hara"])
def test_the_line_that_is_told_goes_on(
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    said_by: str,
    user: str | None,
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, gate=Gate(min_score=8, approval=True))
    waits = str(scene.play("run", user_id=user).run.content)
    [left] = scene.charter.books.clearances.waiting()
    assert f"agno-portkey gate approve {left.id}" in waits
    given = ["gate", "approve", left.id, "--db", str(tmp_path / "sessions.db"), "--by", "ann"]
    approved = CliRunner().invoke(app, given).output
    call = copied(waits if said_by == "the run" else approved)
    assert ("user_id" in call) is (user is not None)
    ended = scene.flow.run("Go on", **call)
    assert (ended.status, scene.done) == (RunStatus.completed, STEPS)


def test_the_same_input_in_the_same_session_goes_on_with_what_was_approved(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    # The next run's Planner has another plan, and a worse one.
    tell(portkey_provider, plans=[SOUND, FLAWED])
    scene = Scene(tmp_path, portkey_model, gate=Gate(min_score=8, approval=True))
    assert scene.play("run").run.status == RunStatus.error
    [left] = scene.charter.books.clearances.waiting()
    given = ["gate", "approve", left.id, "--db", str(tmp_path / "sessions.db"), "--by", "ann"]
    assert "ask Flow the same again in the same session" in CliRunner().invoke(app, given).output
    assert scene.play("run").run.status == RunStatus.completed
    assert scene.done == STEPS
