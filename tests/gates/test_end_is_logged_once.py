"""What a gate refuses is logged once, where the team ends on it, with the gate and the reason."""

from __future__ import annotations

import logging

import pytest
from admission_scene import ROUND, Scene, play
from agno.utils import log

from agno_portkey import Gate
from agno_portkey.gates import ruling
from agno_portkey.testing import EmbeddedProvider


@pytest.mark.parametrize("form", ["run", "arun", "stream", "astream"])
def test_the_end_of_a_team_is_one_line(
    portkey_provider: EmbeddedProvider, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(portkey_provider)
    scene.judge(3)
    scene.script(*ROUND)
    with caplog.at_level(logging.INFO):
        assert not play(scene.team(Gate(name="release", max_rounds=3)), form).shipped
    said = [each.getMessage() for each in caplog.records]
    lines = [each for each in said if "its score is 3" in each]
    assert lines == ["Release: declined by release: its score is 3, and 7 is needed"]


def test_a_runner_that_is_run_alone_is_logged_by_the_host(
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    team = Scene(portkey_provider).team()
    [runner] = [each for each in team.members if each.name == "Runner"]
    # Whatever else in this process has made of the host's loggers; what `govern` did is kept.
    fresh = logging.Logger("host", logging.INFO)
    fresh.addHandler(caplog.handler)
    fresh.addFilter(ruling._TOLD_ONCE)
    for name in ("logger", "agent_logger", "team_logger", "workflow_logger"):
        monkeypatch.setattr(log, name, fresh)
    runner.run("Deploy it")
    lines = [each.getMessage() for each in caplog.records]
    assert any("the Runner was not asked by its governed team" in each for each in lines)
