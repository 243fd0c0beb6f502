"""The command line: `agno-portkey`."""

import typer

from agno_portkey.cli import demo, gateway

__all__ = ["app", "main"]

app = typer.Typer(
    help="Governed Agno teams through a Portkey gateway.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.add_typer(gateway.app, name="gateway")
app.command("demo")(demo.demo)


def main() -> None:
    """Entry point of the `agno-portkey` command."""
    app()
