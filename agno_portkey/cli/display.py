"""Shows a governed run in the terminal as it happens, and sums it up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from agno_portkey.verdict import Event

__all__ = ["Display"]

# Said already by the line itself, or too long to read.
_LEFT_OUT = ("role", "run", "session", "_user")


@dataclass
class _Sums:
    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: list[float] = field(default_factory=list)


class Display:
    """An observer that prints what it hears, and keeps it for the summary."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.events: list[Event] = []
        self._sums: dict[str, _Sums] = defaultdict(_Sums)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        show = getattr(self, f"_show_{event.kind}", None)
        if show is not None:
            show(event)

    def heard(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    def asks(self, leader: str, member: str, task: str) -> None:
        self.console.print()
        self.console.print(
            f"[bold cyan]{escape(leader)}[/] asks [bold]{escape(member)}[/]: "
            f"[italic]{escape(_short(task, 160))}[/]"
        )

    def says(self, who: str, text: str) -> None:
        self.console.print()
        self.console.print(f"[bold cyan]{escape(who)}[/] says: {escape(text)}")

    def _show_call(self, event: Event) -> None:
        data = event.data
        sums = self._sums[event.role or "?"]
        sums.calls += 1
        sums.failed += "error" in data
        sums.input_tokens += data.get("input_tokens") or 0
        sums.output_tokens += data.get("output_tokens") or 0
        sums.seconds.append(data["seconds"])
        tags = {k: v for k, v in (data.get("tags") or {}).items() if k not in _LEFT_OUT}
        route = " > ".join(
            str(part)
            for part in (data.get("provider"), data.get("option_index"), data["model"])
            if part
        )
        self.console.print(
            f"  [dim]call[/] [bold]{escape(event.role or '?')}[/] [dim]by[/] {escape(route)} "
            f"[dim]{data['seconds'] * 1e3:.0f} ms, "
            f"{data.get('input_tokens') or 0}+{data.get('output_tokens') or 0} tokens[/]"
            + (f" [red]{escape(data['error'])}[/]" if "error" in data else "")
        )
        self.console.print(
            "       [dim]" + escape(", ".join(f"{k}={v}" for k, v in tags.items())) + "[/]"
        )

    def _show_attempt(self, event: Event) -> None:
        if "error" in event.data:
            self.console.print(
                f"  [yellow]attempt {event.data['number']}[/] [dim]at[/] "
                f"{escape(str(event.data['target'] or 'the route'))}: "
                f"[red]{escape(event.data['error'])} {event.data['status']}[/]"
            )

    def _show_circuit(self, event: Event) -> None:
        self.console.print(
            f"  [yellow]circuit[/] {escape(event.data['target'])}: "
            f"{event.data['before']} -> [bold]{event.data['state']}[/]"
        )

    def _show_plan(self, event: Event) -> None:
        digest = str(event.data["plan_digest"])[:19]
        self._kept(event, f"Plan, {_count(event.data['steps'], 'step')}, {digest}...")

    def _show_critique(self, event: Event) -> None:
        self._kept(
            event,
            f"Critique, {_count(event.data['issues'], 'issue')}, {event.data['blocking']} blocking",
        )

    def _show_judgement(self, event: Event) -> None:
        self._kept(
            event,
            f"Judgement, {event.data['decision']}, score {event.data['score']:g}: "
            + "; ".join(event.data["reasons"]),
        )

    def _kept(self, event: Event, what: str) -> None:
        self.console.print(
            f"  [green]contract kept[/] [bold]{escape(event.role or '')}[/]: {escape(what)}"
        )

    def _show_gate(self, event: Event) -> None:
        verdict = event.verdict
        if verdict is None:
            return
        score = "" if verdict.score is None else f", score {verdict.score:g} of 1"
        if verdict.passed:
            body, style, title = "The Runner may run this plan, once.", "green", "PASSED"
        else:
            body, style, title = "\n".join(f"- {r}" for r in verdict.reasons), "red", "REFUSED"
        self.console.print(
            Panel(
                escape(body),
                title=f"gate {escape(verdict.source)!r}: {title}{score}",
                title_align="left",
                border_style=style,
                expand=False,
            )
        )

    def _show_tool(self, event: Event) -> None:
        verdict = event.verdict
        if verdict is not None:
            self.console.print(f"  [red]tool refused[/] {escape(verdict.reason)}")
            return
        data = event.data
        self.console.print(
            f"  [magenta]tool[/] [bold]{escape(str(data['tool']))}[/] "
            f"[dim]step {data['step']} of the cleared plan[/]"
        )

    def _show_declined(self, event: Event) -> None:
        if event.verdict is not None:
            self.console.print(f"[red]declined[/]: {escape(event.verdict.reason)}")

    def summary(self) -> Table:
        """Calls, tokens and latency by role, with the gate's decisions below."""
        table = Table(
            title="What it took",
            title_justify="left",
            caption=self._gates(),
            caption_justify="left",
        )
        for column in ("role", "calls", "failed", "tokens in", "tokens out", "ms median", "ms max"):
            table.add_column(column, justify="left" if column == "role" else "right")
        for role, sums in self._sums.items():
            ordered = sorted(sums.seconds)
            table.add_row(
                role,
                str(sums.calls),
                str(sums.failed),
                str(sums.input_tokens),
                str(sums.output_tokens),
                f"{ordered[len(ordered) // 2] * 1e3:.0f}",
                f"{ordered[-1] * 1e3:.0f}",
            )
        every = list(self._sums.values())
        table.add_section()
        table.add_row(
            "all",
            str(sum(s.calls for s in every)),
            str(sum(s.failed for s in every)),
            str(sum(s.input_tokens for s in every)),
            str(sum(s.output_tokens for s in every)),
            "",
            f"{max((max(s.seconds) for s in every), default=0) * 1e3:.0f}",
        )
        return table

    def _gates(self) -> str:
        verdicts = [event.verdict for event in self.heard("gate") if event.verdict]
        passed = sum(verdict.passed for verdict in verdicts)
        return f"gates: {len(verdicts) - passed} refused, {passed} passed"

    def checklist(self, facts: list[tuple[str, Any]]) -> bool:
        """Print each fact with its mark; whether all are true."""
        for what, true in facts:
            mark = "[green]yes[/]" if true else "[bold red]NO[/] "
            self.console.print(f"  {mark} {escape(what)}")
        return all(true for _, true in facts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
