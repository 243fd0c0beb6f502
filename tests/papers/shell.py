"""A shell as a reader has one: it is given the commands of a page, one after another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

# Seconds that a command may take on a busy machine.
PATIENCE = 90
_END = "the command has ended with"
# What stays as it is until somebody ends it.
_STAYS = re.compile(r"^(?:agno-portkey serve|make playground)\b")
# What tests run with: keys of whoever runs them, and how `make` was told to run them.
_OURS = ("PORTKEY_", "OPENAI_", "PYTEST_", "COV_", "COVERAGE_", "MAKE", "MFLAGS", "MEASURE", "ARGS")
_UP = "Ctrl-C ends it."


@dataclass(frozen=True)
class Ran:
    """A command as the page has it, how it ended, and what it printed."""

    command: str
    code: int
    said: str


@dataclass
class Shell:
    """One bash in `folder`, whose variables stay from command to command.

    `words` are placeholders of the pages, and what a reader puts there; one that is a function is
    asked when its command is run, with all that ran before it. What is `known` is not run again.
    """

    folder: Path
    words: dict[str, str | Callable[[list[Ran]], str]] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)
    known: dict[str, Ran] | None = None

    def __enter__(self) -> Self:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.wait(PATIENCE)
        self._bash.stdout.close()

    @property
    def environment(self) -> dict[str, str]:
        """That of a reader whose environment is the one of these tests: no key, no run of ours."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        return {**kept, "PATH": path, "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **self.env}

    def play(self, fence: str) -> list[Ran]:
        """Run the commands of a fence; what they were, and how each ended."""
        return [self._run(command) for command in commands(fence)]

    def filled(self, command: str) -> str:
        """The command with everything that a reader has to put in."""
        for word, put in self.words.items():
            if re.search(bound := rf"(?<![\w-]){re.escape(word)}(?![\w-])", command):
                there = put if isinstance(put, str) else put(self.ran)
                command = re.sub(bound, lambda _, there=there: there, command)  # type: ignore[misc]
        return command

    def _run(self, command: str) -> Ran:
        known = {} if self.known is None else self.known
        if (ran := known.get(command)) is None:
            filled = self.filled(command)
            if _STAYS.match(command):
                with staying(filled, self.folder, self.environment) as said:
                    ran = Ran(command, 0, "\n".join(said))
            else:
                ran = self._asked(command, filled)
            known[command] = ran
        self.ran.append(ran)
        return ran

    def _asked(self, command: str, filled: str) -> Ran:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        # In braces, so that what it sets stays; without input, which is ours.
        ends = f"code=$?; echo; echo '{_END}' $code"
        self._bash.stdin.write(f"{{ {filled}\n}} < /dev/null\n{ends}\n")
        self._bash.stdin.flush()
        said: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(_END):
                return Ran(command, int(line.removeprefix(_END)), "".join(said))
            said.append(line)
        raise AssertionError(f"{filled}: the shell has ended: {''.join(said)}")


def commands(fence: str) -> list[str]:
    """The commands of a fence without their comments; of a console those behind its prompt."""
    if fence.startswith("$ "):
        fence = "\n".join(re.findall(r"^\$ (.*)$", fence, re.MULTILINE))
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?:^|\s+)#.*$", "", fence, flags=re.MULTILINE))
    return [line.strip() for line in lines.splitlines() if line.strip()]


@contextmanager
def staying(command: str, folder: Path, env: dict[str, str]) -> Iterator[list[str]]:
    """What a command that stays has said until it was up; Ctrl-C ends it, and it ends well."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A terminal tells all of its group.
        start_new_session=True,
    )
    said: list[str] = []
    assert process.stdout is not None
    with process.stdout:
        try:
            for line in process.stdout:
                said.append(line.strip())
                if line.startswith(_UP):
                    break
            assert said[-1:] == [_UP], said
            yield said
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            rest = process.stdout.read()
            process.wait(PATIENCE)
        assert "Stopped." in rest, rest
