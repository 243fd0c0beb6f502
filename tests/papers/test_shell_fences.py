"""Each command in a fence of the pages is run by a shell, as it stands there, and does its work.

What a reader would put in place of a word is put there (`words`), and ports are free ones. What pip
would bring is not fetched (`--dry-run`; the test of the wheel installs it); `make test` is of one
file, and `make check` says what it would do, since both run these tests.
"""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from pages import PAGES, ROOT, called, fences, of
from reader_files import APP, BADLY, CACHED, DESK, INPUTS, POLICY, RELEASED, SUITE
from shell import Ran, Shell, commands, staying
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from webhook_receiver import Receiver

from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, SOUND, tell

SERVE = "agno-portkey serve --port 0"
# What each command prints, as a pattern; its beginning stands for all that begin so.
SAYS = {
    "make demo": "the Runner did exactly the steps of the cleared plan",
    "make playground": r"Chat +http://127.0.0.1:\d+/portkey/chat",
    "make test": r"\d+ passed",
    "make check": r"ruff format[^\0]*mypy[^\0]*coverage report[^\0]*mkdocs build[^\0]*tests/e2e",
    "make help": r"playground +the demo's team in a browser",
    "pip install": "Would install agno-portkey",
    "jupyter lab": "01_first_call.ipynb",
    "curl -X POST http://127.0.0.1:7777/swarm/stop": '"swarm": ?"Release"',
    "curl -N http://127.0.0.1:7777/teams/release/runs": "Release 2.1 is live on staging",
    "curl -N -X POST": '"source": ?"agno_portkey"',
    "agno-portkey serve": r"Dashboard +http://127.0.0.1:\d+/portkey/",
    "agno-portkey alerts check": r"latency +│ > 2.00 s[^\0]*day_budget +│ > 2.00 USD",
    "agno-portkey alerts rules": "^$",
    "agno-portkey alerts test": "The receiver has taken it",
    "agno-portkey batch submit": "2 inputs",
    "agno-portkey batch status": "completed",
    "agno-portkey batch fetch": "2 outputs in results.jsonl; failed: none",
    "agno-portkey cache report": "Desk",
    "agno-portkey cache list": "one +public +Desk",
    "agno-portkey cache forget": "It would be forgotten: 1 of[^\0]*Nothing has changed",
    "agno-portkey cache log": "Nothing was ever forgotten",
    "agno-portkey gate waiting": "to approve[^\0]*to override",
    "agno-portkey gate approve": "is granted until",
    "agno-portkey gate revoke": "is revoked",
    "agno-portkey gate key": "^$",
    "export $(cat clearance.env)": "^$",
    "agno-portkey gate export": r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$",
    "agno-portkey gate history": "waiting +0.90",
    "agno-portkey gate report": "What changed[^\0]*Planner",
    "agno-portkey gate check": "Recorded as release: pass[^\0]*greets",
    "agno-portkey ledger report": "cc-42",
    "agno-portkey stop ": "Release is stopped",
    "agno-portkey stops": "wrong prices",
    "agno-portkey resume": "Release may go on",
    "agno-portkey trace show": "invoke_agent Release",
}

# What was run in the checkout: two pages have the same commands.
KNOWN: dict[str, Ran] = {}

# Pages, and where their commands are run


def checkout(folder: Path, stack: ExitStack) -> Shell:
    """The folder that a clone makes."""
    words = {
        "make test": "make test ARGS=tests/test_verdict.py",
        "make check": "make --dry-run check",
        "make playground": "make playground ARGS='--port 0'",
        "pip install": "pip install --dry-run --no-deps",
        "PATH/TO/THIS/CHECKOUT": str(ROOT),
        # Another's program: the folder that it is to open is there.
        "jupyter lab": "ls",
    }
    return Shell(ROOT, {**words}, known=KNOWN)


def alerting(folder: Path, stack: ExitStack) -> Shell:
    [thresholds, *_] = fences(ROOT / "docs/guide/alerts.md", "yaml")
    (folder / "thresholds.yaml").write_text(thresholds, "utf-8")
    url = stack.enter_context(Receiver()).url
    return Shell(folder, {"https://hooks.example/alerts": url}, {"HOOK_TOKEN": "token"})


def desk(folder: Path, stack: ExitStack) -> Shell:
    (folder / "desk.py").write_text(DESK, "utf-8")
    (folder / "inputs.jsonl").write_text(INPUTS, "utf-8")
    return Shell(folder, env={"PROVIDER": stack.enter_context(EmbeddedProvider()).url})


def cached(folder: Path, stack: ExitStack) -> Shell:
    shell = Shell(folder, env={"AGNO_PORTKEY_CACHE_URL": str(folder / "answers.db")})
    subprocess.run([sys.executable, "-c", CACHED], check=True, env=shell.environment)
    return shell


@cache
def history() -> Path:
    """A folder with a database of a team whose plans wait for a person."""
    folder = Path(tempfile.mkdtemp(prefix="agno-portkey-papers-"))
    atexit.register(shutil.rmtree, folder)
    with EmbeddedProvider() as provider:
        provider.when(lambda asked: asked.schema_name == "Plan" and BADLY in asked.system, FLAWED)
        tell(provider, plans=[SOUND])
        shell = Shell(folder, env={"PROVIDER": provider.url})
        run = [sys.executable, "-c", RELEASED]
        subprocess.run(run, check=True, cwd=folder, env=shell.environment)
    return folder


def released(folder: Path, stack: ExitStack) -> Shell:
    shutil.copytree(history(), folder, dirs_exist_ok=True)
    return Shell(folder)


def waiting(folder: Path, stack: ExitStack) -> Shell:
    """Each time that an ID is asked for, one that its command is for."""
    shell = released(folder, stack)
    shell.env["PROVIDER"] = stack.enter_context(EmbeddedProvider()).url
    (folder / "desk.py").write_text(DESK, "utf-8")
    (folder / "evals.py").write_text(SUITE, "utf-8")

    def id_for(ran: list[Ran]) -> str:
        said = next(each.said for each in ran if "gate waiting" in each.command)
        passed = re.findall(r"to approve +agno-portkey gate approve (\S+)", said)
        refused = re.findall(r"to override +agno-portkey gate approve (\S+)", said)
        # Approved, overridden, revoked; and the first one is exported.
        given = [passed[0], refused[0], passed[1], passed[0]]
        return str(given[sum(" ID " in each.command for each in ran)])

    shell.words["ID"] = id_for
    return shell


def played(folder: Path, stack: ExitStack) -> Shell:
    (folder / "app.py").write_text(APP, "utf-8")
    (folder / "policy.yaml").write_text(POLICY, "utf-8")
    shell = Shell(folder, {"agno-portkey serve": SERVE, "SESSION": "session", **curl()})
    said = stack.enter_context(staying(f"{SERVE} --db own.db", folder, shell.environment))
    run_id = re.compile(r'"run_id": ?"([\w-]+)"')
    shell.words["http://127.0.0.1:7777"] = address(said)
    shell.words["RUN_ID"] = lambda ran: run_id.findall(ran[-1].said)[0]
    return shell


def guarded(folder: Path, stack: ExitStack) -> Shell:
    """A server that takes the tokens of the page."""
    page = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT)).parse(
        ROOT / "docs/guide/access.md"
    )
    for example in page.examples():
        example.evaluate()
    tokens = {
        "AGNO_PORTKEY_JWT_KEY": page.namespace["public"],
        "AGNO_PORTKEY_JWT_AUDIENCE": "release-os",
    }
    shell = Shell(folder, {**curl()}, {"TOKEN": page.namespace["bearer"], **tokens})
    said = stack.enter_context(staying(SERVE, folder, shell.environment))
    shell.words["http://127.0.0.1:7777"] = address(said)
    return shell


def curl() -> dict[str, str]:
    """Curl, or what does for it."""
    if shutil.which("curl"):
        return {}
    return {"curl": f"{sys.executable} {Path(__file__).with_name('own_curl.py')}"}


def address(said: list[str]) -> str:
    [chat] = [line.split()[-1] for line in said if line.startswith("Chat")]
    return chat.removesuffix("/portkey/chat")


PLACES: dict[str, Callable[[Path, ExitStack], Shell]] = {
    "README.md": checkout,
    "CONTRIBUTING.md": checkout,
    "cookbook/README.md": checkout,
    "docs/getting-started.md": checkout,
    "docs/guide/access.md": guarded,
    "docs/guide/alerts.md": alerting,
    "docs/guide/batches.md": desk,
    "docs/guide/caching.md": cached,
    "docs/guide/gates.md": waiting,
    "docs/guide/ledger.md": released,
    "docs/guide/playground.md": played,
    "docs/guide/stop.md": released,
    "docs/guide/telemetry.md": released,
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", of("bash", "console"), ids=called)
def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    def play(example: Example) -> None:
        for ran in shell.play(example.parsed):
            assert ran.code == 0, f"{ran.command}: {ran.said}"
            assert re.search(said_by(ran.command), ran.said, re.MULTILINE), ran

    parsers = [CodeBlockParser(language, play) for language in ("bash", "console")]
    with ExitStack() as stack:
        shell = stack.enter_context(PLACES[called(page)](tmp_path, stack))
        for example in Sybil(parsers=parsers, path=str(ROOT)).parse(page).examples():
            example.evaluate()
        assert len(shell.ran) == sum(
            len(commands(each)) for each in fences(page, "bash", "console")
        )


def said_by(command: str) -> str:
    """What a command prints: every one of the pages has its pattern."""
    [pattern] = [said for start, said in SAYS.items() if command.startswith(start)]
    return pattern


def test_a_command_that_fails_is_told_and_variables_stay(tmp_path: Path) -> None:
    fence = "export A=1   # kept\nfalse\necho $A \\\n    WORD\n"
    with Shell(tmp_path, {"WORD": lambda ran: f"after {len(ran)}"}) as shell:
        set_, failed, said = shell.play(fence)
    assert (set_.code, failed.code, said.code) == (0, 1, 0)
    assert (failed.command, said.said.strip()) == ("false", "1 after 2")


def test_no_command_stands_in_a_fence_that_is_not_run() -> None:
    for page in PAGES:
        for text in fences(page, "", "yaml", "promql"):
            assert not re.search(r"^(?:\$ )?(?:agno-portkey|make|pip|curl) ", text, re.MULTILINE)
