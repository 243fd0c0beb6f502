"""The README's code runs, and what it prints of the demo is what the demo prints."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from typer.testing import CliRunner

from agno_portkey import Judgement, PortkeyModel
from agno_portkey.cli import app
from agno_portkey.testing import EmbeddedProvider

PATH = Path(__file__).parents[1] / "README.md"
README = PATH.read_text(encoding="utf-8")
FENCES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for number, fence in enumerate(FENCES):
        exec(compile(fence, f"README fence {number}", "exec"), names)
    return names


def test_every_fence_runs_and_governs_the_team(namespace: dict[str, Any]) -> None:
    assert len(FENCES) >= 4
    assert namespace["runner"].model.seat.part == "runner"
    assert namespace["team"].model.tags == {"cost_center": "cc-42"}


def test_its_test_passes(
    namespace: dict[str, Any], portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    namespace["test_a_rate_limit_is_waited_for"](portkey_provider, portkey_model)


def test_its_script_runs(namespace: dict[str, Any]) -> None:
    said = []

    def play(model: PortkeyModel) -> None:
        said.append(Agent(model=model, instructions="You are the Writer").run("Hi").content)
        said.append(Agent(model=model, output_schema=Judgement).run("Judge").content.score)

    namespace["on_the_embedded_provider"](play)
    assert said == ["First answer.", 9]


def test_its_key_is_rotated(
    namespace: dict[str, Any], portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    portkey_provider.admin.enforced = True
    rotation = namespace["search_key"]("manager", tmp_path, base_url=portkey_provider.url)
    model = namespace["search_model"](rotation, base_url=portkey_provider.url)
    rotation.rotate()
    assert Agent(model=model).run("Hi").content == "You said: Hi"
    rotation.rotate(wait=False)
    rotation.revoke(now=True)
    # The model holds the old key yet, and asks again once that is refused.
    assert Agent(model=model).run("Hi").content == "You said: Hi"
    assert portkey_provider.admin.live() == [rotation.status().current.name]
    rotation.maker._client.close()


def test_its_recording_is_what_the_demo_prints(tmp_path: Path) -> None:
    record = tmp_path / "demo.txt"
    assert CliRunner().invoke(app, ["demo", "--record", str(record)]).exit_code == 0
    printed = README.split("<!-- demo -->")[1].split("<!-- /demo -->")[0].strip().strip("`")
    assert _steady(printed) == _steady(record.read_text(encoding="utf-8"))


def _steady(text: str) -> list[str]:
    """The words of a recording without ports, times and the table's rulings."""
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    text = re.sub(r"\d+ ms", "N ms", text)
    rows = (re.sub(r"[─━┏┓┳┡┩╇└┘┴├┤┼╭╮╰╯]+", " ", row) for row in text.splitlines())
    # The last two columns of the table are times.
    rows = (re.sub(r"(│[^│]*){2}│$", "│", row.rstrip()) for row in rows)
    return [word for row in rows for word in row.split()]


def record() -> None:
    """Write the demo's recording into the README: `python tests/test_readme.py`."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        assert CliRunner().invoke(app, ["demo", "--record", file.name]).exit_code == 0
        rows = Path(file.name).read_text(encoding="utf-8").rstrip().splitlines()
    before, rest = README.split("<!-- demo -->")
    _, after = rest.split("<!-- /demo -->")
    shown = "\n".join(["", "```", *(row.rstrip() for row in rows), "```", ""])
    PATH.write_text(f"{before}<!-- demo -->{shown}<!-- /demo -->{after}", encoding="utf-8")


if __name__ == "__main__":
    record()
