"""A person's no holds in a workflow too, and how the plan is approved is said to be copied."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from agno.run.base import RunStatus
from gated_flow import STEPS, Scene
from typer.testing import CliRunner

from agno_portkey import Gate, PortkeyModel
from agno_portkey.cli import app
from agno_portkey.gates.approving import revoke
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import SOUND, tell


@pytest.mark.parametrize("form", ["run", "astream"])
def test_asked_again_it_waits_in_that_persons_name(
    form: str,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tell(portkey_provider, plans=[SOUND] * 3)
    scene = Scene(tmp_path, portkey_model, gate=Gate(min_score=8, approval=True))
    scene.play("run")
    [left] = scene.charter.books.clearances.waiting()
    revoke(scene.charter.books, left.id, by="ann", reason="not on a Friday")

    ended = scene.play(form).run
    assert (ended.status, scene.done) == (RunStatus.error, [])
    said = str(ended.content)
    assert re.search(r"ann said no to this very plan on 20.* \(not on a Friday\)", said)
    copied = re.search(r"agno-portkey (gate approve .*?), then run the workflow", said)
    assert copied is not None, said
    assert CliRunner().invoke(app, shlex.split(copied[1])).exit_code == 0
    assert scene.play(form).run.status == RunStatus.completed
    assert scene.done == STEPS
