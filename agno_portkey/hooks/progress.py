"""`ProgressHook`: shows in a terminal who is at work."""

from __future__ import annotations

import logging
import sys
from io import StringIO
from typing import Any

from rich.console import Console
from rich.text import Text

from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.hooks.lineage import Begins, Begun, Team, status_of

__all__ = ["ProgressHook"]

_LONGEST_NAME = 60


class ProgressHook(Hook):
    """One object for pre- and post-hooks: a line when an agent or team begins, and when it ends.

    Members are indented below their team, if it has the hook too. It writes to `console`, by
    default to stderr, and where that is no terminal only if `always` is true. Nothing that goes
    wrong in it reaches a run.
    """

    def __init__(self, console: Console | None = None, *, always: bool = False) -> None:
        self._given = console is not None
        self._console = console or Console(stderr=True)
        self._always = always
        self._begins = Begins()

    def before(self, moment: Moment) -> None:
        try:
            if self._shows():
                begun = self._begins.begin(moment)
                self._show(len(begun.teams), moment.name, ("begins", "cyan"))
        except (Exception, SystemExit) as error:
            _passed_over(error)

    def after(self, moment: Moment) -> None:
        try:
            if self._shows():
                self._end(moment)
        except (Exception, SystemExit) as error:
            _passed_over(error)

    def _end(self, moment: Moment) -> None:
        output = moment.run_output
        begun = self._begins.end(moment)
        if moment.is_team:
            # Their post-hooks would have ended them: they failed, or were refused.
            team = Team(str(moment.run_context.run_id), moment.name)
            for member, ended in self._begins.unended(team, output):
                status = status_of(ended) or "unfinished"
                self._show(len(member.teams), member.name, (status, "red"))
        # The host says `running` until the last of its post-hooks is done.
        status = status_of(output) or "running"
        how = ("answered", "green") if status == "running" else (status, "yellow")
        depth = len(begun.teams) if begun is not None else 0
        self._show(depth, moment.name, how, _figures(begun, output))

    def _shows(self) -> bool:
        return self._always or self._console.is_terminal

    def _show(self, depth: int, name: str, how: tuple[str, str], figures: str = "") -> None:
        line = Text("  " * depth, no_wrap=True, overflow="ellipsis", end="\n")
        line.append(_printable(name), "bold").append(" ").append(*how)
        line.append(figures, "dim")
        console = self._console
        if self._given and (console.is_terminal or console.record):
            # It may be drawing something, or keeping what it prints.
            console.print(line)
            return
        # Rich ends the process where a pipe is broken, so it only gets to render the line.
        # Where something is drawn on the terminal, `sys.stderr` writes above that.
        file = console.file if self._given else sys.stderr
        file.write(_rendered(line, console))
        file.flush()


def _rendered(line: Text, console: Console) -> str:
    page = StringIO()
    Console(
        file=page,
        width=console.width,
        force_terminal=console.is_terminal,
        color_system=console.color_system,  # type: ignore[arg-type]
        no_color=console.no_color,
        legacy_windows=False,
    ).print(line)
    return page.getvalue()


def _figures(begun: Begun | None, output: Any) -> str:
    parts = [] if begun is None else [f"{begun.seconds:.2f} s"]
    metrics = getattr(output, "metrics", None)
    if metrics is not None:
        parts.append(f"{metrics.input_tokens or 0}+{metrics.output_tokens or 0} tokens")
    return "  " + ", ".join(parts) if parts else ""


def _printable(name: str) -> str:
    """A name that can't move the cursor, in one line."""
    return "".join(c if c.isprintable() else "?" for c in name[:_LONGEST_NAME])


def _passed_over(error: BaseException) -> None:
    logging.getLogger("agno_portkey").debug("progress: nothing shown: %s", error)
