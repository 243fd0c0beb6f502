"""`agno-portkey alerts`: rules for Prometheus, and whether thresholds and a receiver are right."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.report import fail
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.routing.config.parts import PartError
from agno_portkey.secrets import EnvironmentSecrets, Secret
from agno_portkey.telemetry.alerts import Thresholds, rules
from agno_portkey.telemetry.alerts.embedded import check_receiver
from agno_portkey.telemetry.alerts.kinds import kinds, shown
from agno_portkey.telemetry.alerts.message import message
from agno_portkey.telemetry.alerts.rules import duration
from agno_portkey.telemetry.alerts.sending import Refused, post
from agno_portkey.telemetry.alerts.states import Alert
from agno_portkey.verdict import failure_told

__all__ = ["app"]

app = typer.Typer(
    help="Rules for Prometheus, and whether thresholds and a receiver are right.",
    no_args_is_help=True,
)

_FILE = "Thresholds in YAML."
_TIMEOUT = 10.0


@app.command("rules")
def print_rules(
    file: Annotated[Path | None, typer.Option("--file", help=_FILE)] = None,
    latency: Annotated[float | None, typer.Option(help="Seconds, p95 by model.")] = None,
    errors: Annotated[float | None, typer.Option(help="Share of failed requests, 0-1.")] = None,
    cache_hits: Annotated[float | None, typer.Option(help="Share of hits, 0-1.")] = None,
    gate_passes: Annotated[float | None, typer.Option(help="Share of passes, 0-1.")] = None,
    spending: Annotated[float | None, typer.Option(help="US dollars an hour.")] = None,
    day_budget: Annotated[float | None, typer.Option(help="US dollars a day.")] = None,
) -> None:
    """Print rules for Prometheus: of FILE, or with the defaults, and with what options say.

    `agno-portkey alerts rules > rules.yml`; name that file in Prometheus' `rule_files`.
    """
    given: dict[str, tuple[str, float | None]] = {
        "latency": ("above", latency),
        "errors": ("above", errors),
        "cache_hits": ("below", cache_hits),
        "gate_passes": ("below", gate_passes),
        "spending": ("per_hour", spending),
        "day_budget": ("usd", day_budget),
    }
    try:
        thresholds = Thresholds() if file is None else Thresholds.from_yaml(file)
        typer.echo(rules(_with(thresholds, given)), nl=False)
    except ConfigurationError as error:
        fail(error)


@app.command()
def check(file: Annotated[Path, typer.Argument(help=_FILE)]) -> None:
    """List every problem of FILE, or show the alerts that there are with it."""
    console = Console()
    try:
        thresholds = Thresholds.from_yaml(file)
    except ConfigurationError as error:
        table = Table("where", title=f"Problems of {file}", title_justify="left")
        table.add_column("why, and what to do", overflow="fold")
        for where, why in _problems(error):
            table.add_row(Text(where), Text(why))
        console.print(table)
        raise typer.Exit(1) from None
    table = Table("alert", "limit", "window", "lasts", title=str(file), title_justify="left")
    for kind in kinds(thresholds):
        limit = f"{'<' if kind.is_low else '>'} {shown(kind.limit, kind.unit)}" if kind.unit else ""
        window = duration(kind.window) if kind.window else ""
        table.add_row(kind.part, limit, window, duration(kind.lasts))
    console.print(table)


@app.command("test")
def send_test(
    webhook: Annotated[str, typer.Option("--webhook", help="The address of the receiver.")],
    bearer_from: Annotated[
        str | None,
        typer.Option(help="The environment variable with the token that the receiver asks for."),
    ] = None,
) -> None:
    """Send one alert, which says that it is a test, to see that a receiver takes it.

    It is sent once, as firing and with the label `test`. Ends with 1 where it is not taken.
    """
    headers: dict[str, str | Secret] = {}
    try:
        if bearer_from is not None:
            token = EnvironmentSecrets().read(bearer_from)
            headers["Authorization"] = f"Bearer {token}"
        check_receiver(webhook, headers)
        asyncio.run(post(webhook.strip(), headers, _sample(), _TIMEOUT))
    except AgnoPortkeyError as error:
        fail(error)
    except Refused as error:
        fail(f"The receiver has not taken it: {error}.")
    except Exception as error:
        fail(f"The receiver was not reached ({failure_told(error)}): see to its address.")
    typer.echo("The receiver has taken it.")


def _with(thresholds: Thresholds, given: dict[str, tuple[str, float | None]]) -> Thresholds:
    """`thresholds` with the figures that options give."""
    fields: dict[str, Any] = {}
    for part, (name, figure) in given.items():
        before = getattr(thresholds, part)
        if figure is not None:
            own = {} if before is None else before.model_dump(exclude_unset=True)
            fields[part] = {**own, name: figure}
    kept = {name: getattr(thresholds, name) for name in type(thresholds).model_fields}
    return Thresholds(**{**kept, **fields})


def _problems(error: ConfigurationError) -> list[tuple[str, str]]:
    if isinstance(error, PartError):
        return [(".".join(map(str, path)), why) for path, why in error.problems]
    return [("", str(error))]


def _sample() -> dict[str, Any]:
    """The message of an alert that is none."""
    kind = next(kinds(Thresholds()))
    alert = Alert(kind, "a-model-for-a-test", 1.5 * kind.limit, datetime.now(UTC))
    return message([alert], receiver="agno-portkey", labels={"test": "true"}, url="")
