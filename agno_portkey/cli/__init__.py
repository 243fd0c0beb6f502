"""The command line: `agno-portkey`."""

from importlib import metadata
from typing import Annotated

import typer

from agno_portkey.cli import (
    audit,
    batch,
    cache,
    demo,
    doctor,
    gate,
    gateway,
    keys,
    ledger,
    policy,
    routing,
    stop,
    trace,
)

__all__ = ["app", "main"]

app = typer.Typer(
    help="Governed Agno teams through a Portkey gateway.",
    invoke_without_command=True,
    no_args_is_help=True,
    # Joins the lines of a paragraph; the default leaves them as they are broken in a docstring.
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
app.add_typer(audit.app, name="audit")
app.add_typer(batch.app, name="batch")
app.add_typer(cache.app, name="cache")
app.add_typer(gate.app, name="gate")
app.add_typer(gateway.app, name="gateway")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.add_typer(policy.app, name="policy")
app.add_typer(routing.app, name="routing")
app.add_typer(trace.app, name="trace")
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("stop")(stop.stop)
app.command("resume")(stop.resume)
app.command("stops")(stop.stops)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    """Governed Agno teams through a Portkey gateway."""
    if version:
        typer.echo(metadata.version("agno-portkey"))
        raise typer.Exit


def main() -> None:
    """Entry point of the `agno-portkey` command."""
    app()
