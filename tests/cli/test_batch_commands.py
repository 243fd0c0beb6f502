"""`agno-portkey batch`: submitted, looked at, cancelled and fetched from the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.testing import EmbeddedProvider, Fault

AGENT = dedent(
    """
    import os
    from agno.agent import Agent
    from pydantic import BaseModel
    from agno_portkey import PortkeyModel
    from agno_portkey.guardrails import Block, guard
    from agno_portkey.routing.recovery.settings import Recovery

    class Point(BaseModel):
        n: int

    @guard
    def no_beans(passage):
        return Block("beans") if "beans" in passage.text else None

    model = PortkeyModel(
        base_url=os.environ["PROVIDER"], api_key="k", guards=[no_beans],
        recovery=Recovery(attempts=1, wait=0.001, max_wait=0.01),
    )
    agent = Agent(name="Writer", model=model, telemetry=False)
    shaped = Agent(name="Writer", model=model, telemetry=False, output_schema=Point)
    """
)


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portkey_provider: EmbeddedProvider
) -> Path:
    (tmp_path / "desk.py").write_text(AGENT)
    (tmp_path / "inputs.jsonl").write_text(
        '"one"\n\n{"id": "b", "input": "two"}\n{"id": "c", "input": "beans"}\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVIDER", portkey_provider.url)
    return tmp_path


def batch(*arguments: str, code: int = 0) -> str:
    ended = CliRunner().invoke(app, ["batch", *arguments], terminal_width=300)
    assert ended.exit_code == code, ended.output
    return ended.output


def printed(*arguments: str, code: int = 0) -> str:
    """What goes to stdout alone."""
    ended = CliRunner().invoke(app, ["batch", *arguments], terminal_width=300)
    assert ended.exit_code == code, ended.output
    return ended.stdout


SUBMIT = ["submit", "desk.py", "inputs.jsonl", "--journal", "job"]
FETCH = ["fetch", "desk.py", "inputs.jsonl", "--journal", "job", "--out", "out.jsonl"]


def results(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_it_is_submitted_looked_at_and_fetched(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    said = batch(*SUBMIT)
    assert "3 inputs, 1 refused" in said
    [name] = portkey_provider.batches.held
    assert name in said
    assert batch(*SUBMIT) == said
    assert len(portkey_provider.batches.held) == 1
    asked = len(portkey_provider.requests)
    assert ": submitted, 3 inputs" in batch("status", "job", code=3)
    assert len(portkey_provider.requests) == asked
    assert "validating" in batch("status", "job", "--agent", "desk.py", code=3)
    assert "pending: 2" in batch(*FETCH, code=3)
    assert [line["id"] for line in results(folder)] == ["c"]
    portkey_provider.batches.by_hand = False
    told = json.loads(batch("status", "job", "--agent", "desk.py", "--json"))
    assert (told["state"], told["over"], told["inputs"]) == ("completed", True, 3)
    assert told["parts"][0]["completed"] == 2
    told = json.loads(batch(*FETCH, "--json", code=1))
    assert (told["outputs"], told["errors"], told["pending"]) == (2, {"InputBlocked": 1}, 0)
    assert results(folder) == [
        {"id": 0, "output": "You said: one"},
        {"id": "b", "output": "You said: two"},
        {"id": "c", "error": "InputBlocked", "message": "beans"},
    ]
    # What was masked is there again.
    assert os.stat("out.jsonl").st_mode & 0o777 == 0o600


def test_it_waits_and_ends_with_0_if_all_are_there(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    (folder / "inputs.jsonl").write_text('"one"\n"two"\n')
    portkey_provider.when(lambda r: True, {"n": 4})
    batch("submit", "desk.py:shaped", "inputs.jsonl", "--journal", "job", "--max-lines", "1")
    fetch = ["fetch", "desk.py:shaped", *FETCH[2:]]
    assert "2 outputs" in batch(*fetch, "--wait", "--every", "0.01")
    assert results(folder) == [{"id": 0, "output": {"n": 4}}, {"id": 1, "output": {"n": 4}}]
    assert len(portkey_provider.batches.held) == 2


def test_failed_lines_are_asked_again_where_that_is_said(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    (folder / "inputs.jsonl").write_text('"one"\n"two"\n')
    batch(*SUBMIT)
    portkey_provider.fault(Fault.status(500), times=1, text="two")
    assert "failed: 1 UpstreamFailed" in batch(*FETCH, code=1)
    assert results(folder)[1]["error"] == "UpstreamFailed"
    assert "asked again: 1" in batch(*FETCH, "--retry")
    assert results(folder)[1] == {"id": 1, "output": "You said: two"}
    # And paid for once.
    assert "asked again" not in batch(*FETCH, "--retry")
    assert len(portkey_provider.calls) == 1


def test_it_is_cancelled(folder: Path, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.batches.by_hand = True
    batch(*SUBMIT)
    assert "cancelling" in batch("cancel", "desk.py", "--journal", "job")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("secret words\n", "line 1 is no JSON in UTF-8"),
        ('"a"\n{"id": 1}\n', "line 2 is neither"),
        ('{"id": 1, "input": 5}\n', "line 1 is neither"),
        ('{"id": null, "input": "secret words"}\n', "line 1 is neither"),
        ('""\n', "line 1 is neither"),
        (
            '{"id": "x", "input": "a"}\n{"id": "x", "input": "b"}\n',
            "line 2 has the id 'x', which line 1",
        ),
        ('"a"\n\n{"id": "0", "input": "b"}\n', "line 3 has the id '0', which line 1"),
        ('{"id": "\\u001b[31m", "input": "a"}\n' * 2, "line 2 has the id"),
    ],
)
def test_wrong_inputs_are_named_and_not_quoted(text: str, words: str, folder: Path) -> None:
    (folder / "inputs.jsonl").write_text(text)
    said = batch(*SUBMIT, code=2)
    assert words in said
    assert "secret" not in said
    assert "\x1b" not in said
    assert not (folder / "job").exists()


def test_inputs_in_another_encoding_are_named_and_not_quoted(folder: Path) -> None:
    (folder / "inputs.jsonl").write_bytes('"one"\n"Jürgen"\n'.encode("latin-1"))
    said = batch(*SUBMIT, code=2)
    assert "line 2 is no JSON in UTF-8" in said
    assert "rgen" not in said
    (folder / "inputs.jsonl").write_bytes(b"[" * 100_000)
    assert "line 1 is no JSON" in batch(*SUBMIT, code=2)


def test_inputs_of_windows_are_read(folder: Path, portkey_provider: EmbeddedProvider) -> None:
    (folder / "inputs.jsonl").write_bytes('"one"\r\n\r\n"Jürgen"\r\n'.encode("utf-8-sig"))
    batch(*SUBMIT)
    batch(*FETCH)
    assert [line["output"] for line in results(folder)] == ["You said: one", "You said: Jürgen"]


KNOWN_BY = ["inputs.jsonl", "job", "job.retried", "desk.py"]


@pytest.mark.parametrize("out", [*KNOWN_BY, "./job", "link"])
@pytest.mark.parametrize("who", ["desk.py", "desk:agent"])
def test_results_do_not_replace_what_the_job_is_known_by(
    out: str, who: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "desk", raising=False)
    (folder / "link").symlink_to("job")
    batch(*SUBMIT)
    (folder / "job.retried").write_bytes(b"")
    monkeypatch.delitem(sys.modules, "desk", raising=False)
    before = [(folder / name).read_bytes() for name in KNOWN_BY]
    assert "--out" in batch("fetch", who, *FETCH[2:-1], out, code=2)
    assert [(folder / name).read_bytes() for name in KNOWN_BY] == before


def test_inputs_that_a_guard_failed_on_are_told(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    (folder / "down").touch()
    failing = 'if "two" in passage.text and os.path.exists("down"): raise RuntimeError("no")'
    text = AGENT.replace("    return Block", f"    {failing}\n    return Block")
    (folder / "desk.py").write_text(text)
    assert "no_beans failed" in batch(*SUBMIT, code=2)
    assert "1 not sent since a guard failed" in batch("status", "job", code=3)
    assert json.loads(printed("status", "job", "--json", code=3))["undecided"] == 1
    (folder / "down").unlink()
    assert "guard failed" not in batch(*SUBMIT)
    batch(*FETCH, code=1)
    assert [line.get("output") for line in results(folder)] == [
        "You said: one",
        "You said: two",
        None,
    ]


def test_what_a_provider_says_moves_no_terminal(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    said = "no \x1b[31m\x07\u202e way"
    portkey_provider.fault(Fault.status(401, message=said), times=None, route="POST /files")
    told = batch(*SUBMIT, code=2)
    assert " way" in told
    assert not any(each in told for each in "\x1b\x07\u202e")
    portkey_provider.clear_faults()
    portkey_provider.batches.by_hand = True
    batch(*SUBMIT)
    [held] = portkey_provider.batches.held.values()
    held["status"] = said
    told = batch("status", "job", "--agent", "desk.py", code=3)
    assert "way" in told
    assert not any(each in told for each in "\x1b\x07\u202e")


def test_results_that_cannot_be_written_leave_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch(*SUBMIT)
    (folder / "out.jsonl").write_text("before")
    (folder / "out.jsonl.part").write_text("somebody else's")
    there = sorted(os.listdir(folder))

    def full(self: Path, *arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "No space" in batch(*FETCH, code=2)
    monkeypatch.undo()
    assert sorted(os.listdir(folder)) == there
    assert (folder / "out.jsonl").read_text() == "before"
    assert (folder / "out.jsonl.part").read_text() == "somebody else's"


def test_what_cannot_be_done_is_told_in_a_line(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    assert "no such_name" in batch("submit", "desk.py:such_name", *SUBMIT[2:], code=2)
    assert "submit the batch first" in batch("status", "job", code=2)
    assert "submit the batch first" in batch(*FETCH, code=2)
    assert "nowhere" in batch("submit", "desk.py", "nowhere", "--journal", "job", code=2)
    portkey_provider.fault(Fault.status(401), times=None)
    said = batch(*SUBMIT, code=2)
    assert "refused the key" in said
    assert len(said.strip().splitlines()) == 1
    assert not (folder / "out.jsonl").exists()


def test_a_state_that_nobody_was_asked_about_is_told_to_be_one(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    """The journal knows no more than the last submit did."""
    portkey_provider.batches.by_hand = True
    batch(*SUBMIT)
    [name] = portkey_provider.batches.held
    portkey_provider.batches.advance(name, lines=1)
    told = batch("status", "job", code=3)
    assert "the provider was not asked" in told
    assert "--agent" in told
    [row] = [line for line in told.splitlines() if name in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [name, "submitted", "2", "-", "-"]
    # On stderr, since JSON is on stdout.
    assert json.loads(printed("status", "job", "--json", code=3))["parts"][0]["status"] is None
    told = batch("status", "job", "--agent", "desk.py", code=3)
    assert "not asked" not in told
    [row] = [line for line in told.splitlines() if name in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [name, "in_progress", "2", "1", "0"]
    assert [*map(str.strip, told.splitlines()[2].split("┃")[1:-1])] == [
        "batch",
        "status",
        "lines",
        "completed",
        "failed",
    ]


def test_a_second_batch_of_the_same_lines_is_told(
    folder: Path, portkey_provider: EmbeddedProvider
) -> None:
    (folder / "inputs.jsonl").write_text('"one"\n')
    portkey_provider.fault(Fault.reset(), times=1, route="POST /batches")
    assert "submit again later" in batch(*SUBMIT, code=2)
    assert "may have a second batch" in batch(*SUBMIT)
    # It is in the status for as long as it may be so.
    assert "may have a second batch" in batch("status", "job", "--agent", "desk.py")
    [lost, _] = [r.body for r in portkey_provider.requests if r.route == "POST /batches"]
    assert "other batches" not in batch(*FETCH)
    with httpx.Client(base_url=portkey_provider.url) as client:
        client.post("/batches", json=lost).raise_for_status()
    _, other = portkey_provider.batches.held
    assert f"other batches of the same lines: {other}" in batch(*FETCH)
    assert json.loads(batch(*FETCH, "--json"))["doubles"] == [other]


def shown(*arguments: str) -> tuple[str, str]:
    """What a command prints on stdout, and shows on a terminal at stderr."""
    main, sub = pty.openpty()
    seen = bytearray()

    def read() -> None:
        # An error is the end of whoever was at the other side.
        with suppress(OSError):
            while chunk := os.read(main, 4096):
                seen.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-c", "from agno_portkey.cli import main; main()", "batch"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    try:
        ended = subprocess.run(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=sub,
            env=environment,
            check=True,
            timeout=50,
        )
    finally:
        os.close(sub)
        reader.join()
    os.close(main)
    return ended.stdout.decode(), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


def test_a_terminal_shows_how_far_it_is(folder: Path) -> None:
    (folder / "inputs.jsonl").write_text('"one"\n"two"\n')
    told, bar = shown(*SUBMIT)
    assert "made ready" in bar
    assert "2/2" in bar
    assert told.startswith("Job ")
    told, bar = shown(*FETCH, "--wait")
    for each in ("answered", "looked at", "2/2"):
        assert each in bar
    assert told.startswith("2 outputs")
    # What is no terminal is shown nothing: not an empty line.
    assert batch(*FETCH) == told


def test_the_test_in_the_guide_passes(
    portkey_provider: EmbeddedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[2] / "docs/guide/batches.md").read_text(encoding="utf-8")
    fences = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    [fence] = [each for each in fences if "def test_the_night_comes_back" in each]
    names: dict[str, Any] = {}
    exec(compile(fence, "the guide", "exec"), names)
    names["test_the_night_comes_back"](portkey_provider, tmp_path, monkeypatch)
