"""`agno-portkey demo`: the main job from end to end, and a check that it really happened."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from agno.run.agent import RunContentEvent
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.utils.log import configure_agno_logging
from rich.console import Console
from rich.text import Text

from agno_portkey.cli.display import Display
from agno_portkey.cli.report import fail
from agno_portkey.contracts import Plan, digest
from agno_portkey.documents import private
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.gates import Gate
from agno_portkey.govern import govern
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.config.files import from_yaml
from agno_portkey.routing.config.routes import Route
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

__all__ = ["demo"]


def demo(
    model: Annotated[
        str, typer.Option(help="The model's name, or @provider-slug/model.")
    ] = "gpt-4o-mini",
    config: Annotated[
        str | None, typer.Option(help="A hosted config's id (pc-...), or a YAML or JSON file.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Also write what is shown to this text file.")
    ] = None,
) -> None:
    """A team is refused by its gate, plans again, is cleared, and runs: through a real gateway.

    With PORTKEY_API_KEY set it runs on hosted Portkey with your models; without, it starts the
    local gateway in front of a provider inside this process, and needs no account.
    """
    if record is not None and not record.parent.is_dir():
        fail(f"--record: there is no folder {record.parent}")
    console = Console(
        record=record is not None, highlight=False, width=100 if record is not None else None
    )
    try:
        with _stage(console, model, config) as stage:
            happened = _play(console, stage)
    except AgnoPortkeyError as error:
        fail(error)
    if record is not None:
        _write(record, console.export_text())
    if not happened:
        raise typer.Exit(1)


def _write(record: Path, text: str) -> None:
    try:
        with open(record, "w", encoding="utf-8", opener=private) as file:
            file.write(text)
    except OSError as error:
        fail(f"--record: {record} can't be written: {error.strerror}")


@dataclass
class _Stage:
    """Where the demo plays; `provider` is None on hosted Portkey."""

    model: PortkeyModel
    provider: EmbeddedProvider | None
    where: str


@contextmanager
def _stage(console: Console, model: str, config: str | None) -> Iterator[_Stage]:
    routing = _read_config(config)
    if os.environ.get("PORTKEY_API_KEY"):
        yield _Stage(PortkeyModel(model, config=routing, profile="hosted"), None, "hosted Portkey")
        return
    with ExitStack() as stack:
        provider = stack.enter_context(EmbeddedProvider())
        tell(provider)
        with console.status("Starting the gateway (the first time it is installed) ..."):
            gateway = stack.enter_context(LocalGateway())
        target = {"provider": "openai", "api_key": "demo", "custom_host": provider.url}
        yield _Stage(
            PortkeyModel(
                model,
                base_url=gateway.url,
                config=routing or {"strategy": {"mode": "fallback"}, "targets": [target]},
            ),
            provider,
            f"the Portkey gateway at {gateway.url}, in front of a provider in this process",
        )


def _read_config(config: str | None) -> Route | str | None:
    if config is None or config.startswith("pc-"):
        return config
    if not Path(config).exists():
        raise ConfigurationError(
            f"--config: there is no file {config} (the id of a hosted config begins with pc-)"
        )
    return from_yaml(Path(config))


def _play(console: Console, stage: _Stage) -> bool:
    release, display = Release(), Display(console)
    team = govern(
        release_team(stage.model, release),
        runner="Runner",
        gate=Gate(name="release", min_score=8),
        tags={"cost_center": "cc-42", "environment": "demo"},
        observers=[display],
    )
    console.rule("[bold]A governed team")
    console.print(f"Every call goes through {stage.where}.", soft_wrap=True)
    console.print(f"The request: [bold]{REQUEST}[/]")
    result, plans = _watch(team, display)
    console.print()
    if result.status != RunStatus.completed:
        console.print(Text(f"The team ended without a result: {result.content}", "bold red"))
    console.print(display.summary())
    console.print("Did it really happen?")
    return display.checklist(_facts(stage, display, plans, release, result))


def _watch(team: Any, display: Display) -> tuple[TeamRunOutput, dict[str, Plan]]:
    """Run the team as a stream and show who is asked and who says what; returns all plans."""
    # The host logs a refusal as an error on the console; the display shows it already.
    configure_agno_logging(**_quiet())
    said: dict[str, list[str]] = {}
    plans: dict[str, Plan] = {}
    result = TeamRunOutput(status=RunStatus.error)
    for event in team.run(REQUEST, stream=True, stream_events=True, yield_run_output=True):
        if isinstance(event, TeamRunOutput):
            result = event
        elif event.event == "TeamToolCallStarted":
            task = event.tool.tool_args or {}
            display.asks(team.name, str(task.get("member_id")).title(), str(task.get("task")))
        elif isinstance(event, RunContentEvent) and isinstance(event.content, str):
            said.setdefault(event.agent_name, []).append(event.content)
        elif event.event == "RunCompleted" and event.agent_name in said:
            display.says(event.agent_name, "".join(said.pop(event.agent_name)))
        elif event.event == "RunCompleted" and isinstance(event.content, Plan):
            plans[digest(event.content)] = event.content
        elif event.event == "TeamRunError":
            result = TeamRunOutput(status=RunStatus.error, content=event.content)
    if result.status == RunStatus.completed:
        display.says(team.name, str(result.content))
    return result, plans


def _quiet() -> dict[str, Any]:
    silent = logging.Logger("agno_portkey.demo")
    silent.addHandler(logging.NullHandler())
    return {
        "custom_default_logger": silent,
        "custom_agent_logger": silent,
        "custom_team_logger": silent,
    }


def _facts(
    stage: _Stage,
    display: Display,
    plans: dict[str, Plan],
    release: Release,
    result: TeamRunOutput,
) -> list[tuple[str, bool]]:
    """What the demo claims, each read off from what was recorded."""
    gates = [(i, e.verdict) for i, e in enumerate(display.events) if e.kind == "gate" and e.verdict]
    refused = next(((i, verdict) for i, verdict in gates if not verdict.passed), None)
    passed = next(((i, verdict) for i, verdict in gates if verdict.passed), None)
    early = display.events[: passed[0]] if passed else display.events
    too_early = [e for e in early if e.kind == "tool" or (e.kind == "call" and e.role == "Runner")]
    cleared = passed[1].evidence["plan_digest"] if passed else None
    steps = plans[cleared].steps if cleared in plans else ()
    planned = [
        (step.tool, {given.name: given.value for given in step.inputs})
        for step in steps
        if step.tool
    ]
    calls = display.heard("call")
    facts = [
        ("the gate refused a plan, with reasons", bool(refused and refused[1].reasons)),
        (
            "until it passed, the Runner made no model call and no tool ran",
            bool(passed) and not too_early,
        ),
        (
            "the Planner planned again, and that plan was cleared",
            len(plans) > 1 and bool(passed and refused and passed[0] > refused[0]),
        ),
        (
            "the Runner did exactly the steps of the cleared plan",
            bool(planned) and _same(planned, release.done),
        ),
        ("the team completed", result.status == RunStatus.completed),
        (
            "every call was answered by the gateway",
            bool(calls) and all(e.data.get("provider") or e.data.get("trace_id") for e in calls),
        ),
    ]
    if stage.provider is not None:
        seen = stage.provider.calls
        facts.append(
            (f"the provider saw these {len(calls)} calls, no other", len(seen) == len(calls))
        )
        judged = [i for i, r in enumerate(seen) if r.schema_name == "Judgement"]
        ran = [i for i, r in enumerate(seen) if "You are the Runner" in r.system]
        facts.append(
            (
                "and none of the Runner before the last judgement",
                bool(judged and ran) and min(ran) > max(judged),
            )
        )
    return facts


def _same(
    planned: list[tuple[str, dict[str, Any]]], done: list[tuple[str, dict[str, str]]]
) -> bool:
    return [t for t, _ in planned] == [t for t, _ in done] and all(
        named.items() <= real.items() for (_, named), (_, real) in zip(planned, done, strict=True)
    )
