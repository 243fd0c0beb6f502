"""The command line: `agno-portkey`."""

from typing import Annotated

import typer

from agno_portkey.cli.late import LateGroup

__all__ = ["app", "main"]

app = typer.Typer(
    cls=LateGroup,
    help="Governed Agno teams through a Portkey gateway.",
    invoke_without_command=True,
    no_args_is_help=True,
    # Joins the lines of a paragraph; the default leaves them as they are broken in a docstring.
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    """Governed Agno teams through a Portkey gateway."""
    if version:
        # Only now: it takes a while to import.
        from importlib import metadata

        typer.echo(metadata.version("agno-portkey"))
        raise typer.Exit


def main() -> None:
    """Entry point of the `agno-portkey` command."""
    app()
