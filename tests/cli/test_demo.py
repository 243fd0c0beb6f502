"""The demo: exit code 0 only if all of it really happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.cli import demo as demo_module
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.testing.story import FLAWED, SOUND, tell


def play(model: PortkeyModel, provider: EmbeddedProvider) -> tuple[bool, str]:
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115
    stage = demo_module._Stage(model, provider, "a test")
    with console.file:
        happened = demo_module._play(console, stage)
    return happened, console.export_text()


def test_the_command_tells_the_whole_story_and_ends_with_zero(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--record", str(tmp_path / "demo.txt")])
    assert result.exit_code == 0, result.output
    shown = (tmp_path / "demo.txt").read_text()
    for words in (
        "gate 'release': REFUSED, score 0 of 1",
        "gate 'release': PASSED, score 0.9 of 1",
        "Release asks Planner",
        "step 2 of the cleared plan",
        "config.targets[0]",
        "cost_center=cc-42",
        "gates: 1 refused, 1 passed",
        "yes the Runner did exactly the steps of the cleared plan",
    ):
        assert words in shown
    assert " NO " not in shown


def test_a_record_that_can_not_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before anything is played.
    monkeypatch.setattr(demo_module, "_stage", None)
    result = CliRunner().invoke(app, ["demo", "--record", str(tmp_path / "gone" / "demo.txt")])
    assert (result.exit_code, result.stderr) == (
        1,
        f"--record: there is no folder {tmp_path}/gone\n",
    )
    monkeypatch.undo()
    monkeypatch.setattr(demo_module, "_play", lambda *_: True)
    result = CliRunner().invoke(app, ["demo", "--record", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.endswith(f"--record: {tmp_path} can't be written: Is a directory\n")


def test_a_team_that_never_gets_a_sound_plan_fails_the_demo(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    happened, shown = play(portkey_model, portkey_provider)
    assert not happened
    assert "The team ended without a result: declined: the Critic holds" in shown
    assert "NO  the team completed" in shown
    assert "NO  the Runner did exactly" in shown


def test_a_plan_that_is_sound_at_once_fails_the_demo(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    happened, shown = play(portkey_model, portkey_provider)
    assert not happened
    assert "NO  the gate refused a plan" in shown


def test_a_runner_that_does_something_else_fails_the_demo(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    other = Reply(tool_calls=(ToolCall("deploy", {"version": "2.1", "target": "production"}),))
    portkey_provider.when("You are the Runner", [other, "Done."])
    tell(portkey_provider)
    happened, shown = play(portkey_model, portkey_provider)
    assert not happened
    assert "tool refused" in shown
    assert "NO  the Runner did exactly" in shown


def test_a_provider_that_fails_fails_the_demo(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    portkey_provider.fault(Fault.status(500), times=None)
    happened, shown = play(portkey_model, portkey_provider)
    assert not happened
    assert "UpstreamFailed" in shown


@pytest.mark.parametrize(
    ("config", "said"),
    [("nowhere.json", "--config"), ("list.json", "config: a mapping is due here")],
)
def test_a_wrong_config_is_said_plainly(
    config: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    result = CliRunner().invoke(app, ["demo", "--config", config])
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_with_a_key_it_goes_to_hosted_portkey_with_the_users_model(
    monkeypatch: pytest.MonkeyPatch, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    """A stand-in for hosted Portkey: the same wire, at the address that PORTKEY_BASE_URL names."""
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-test")
    monkeypatch.setenv("PORTKEY_BASE_URL", portkey_provider.url)
    tell(portkey_provider)
    record = tmp_path / "demo.txt"
    arguments = ["demo", "--model", "@team/gpt", "--config", "pc-1", "--record", str(record)]
    CliRunner().invoke(app, arguments)
    assert "Every call goes through hosted Portkey." in record.read_text()
    assert {call.model for call in portkey_provider.calls} == {"@team/gpt"}
    headers = portkey_provider.calls[0].headers
    assert headers["x-portkey-api-key"] == "pk-test"
    assert headers["x-portkey-config"] == "pc-1"
