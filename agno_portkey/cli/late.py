"""Commands that are imported when one of them is asked for: `--help` names them without that."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["LateGroup"]

# Module, name in there, and what `--help` says of it, which is its own first paragraph.
_COMMANDS = {
    "demo": (
        *("demo", "demo"),
        "A team is refused by its gate, plans again, is cleared, and runs: through a real gateway.",
    ),
    "doctor": (
        *("doctor", "doctor"),
        "Check this set-up: versions, variables, gateway, routing, keys, circuits, and its safety.",
    ),
    "serve": (
        *("serve", "serve"),
        "Serve chat, gates and dashboard of a team, with a gateway of its own where there is none.",
    ),
    "stop": (
        *("stop", "stop"),
        "Refuse every new model and tool call of a swarm, in all processes, within a second.",
    ),
    "resume": (
        "stop",
        "resume",
        "Let a stopped swarm go on; --all takes back every stop there is.",
    ),
    "stops": (
        *("stop", "stops"),
        "List what is stopped, and which swarms ask this database whether they are.",
    ),
    "alerts": (
        *("alerts", "app"),
        "Rules for Prometheus, and whether thresholds and a receiver are right.",
    ),
    "audit": (
        *("audit", "app"),
        "The audit log: whether it is as it was written, what is in it, what comes now.",
    ),
    "batch": (
        *("batch", "app"),
        "Many inputs of an agent through the provider's Batch API: slower, and cheaper.",
    ),
    "cache": (
        *("cache", "app"),
        "Answers that are kept: what they are, how far likeness is trusted, what to forget.",
    ),
    "gate": (
        *("gate", "app"),
        "Run suites as gates, decide on open ones, and show what gates have decided.",
    ),
    "gateway": ("gateway", "app", "Install, start and check the local gateway."),
    "keys": ("keys", "app", "Check the names of keys, and rotate them."),
    "ledger": ("ledger", "app", "What was spent, by whom, on what."),
    "policy": ("policy", "app", "Check and show a policy."),
    "routing": ("routing", "app", "Check and show a routing config."),
    "trace": ("trace", "app", "The traces of an Agno database."),
}


class LateGroup(TyperGroup):
    """A group of the commands of the table above, in its order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What `--help` and completion need of a command; `resolve_command` has it whole."""
        if cmd_name not in _COMMANDS:
            return None
        return TyperCommand(cmd_name, help=_COMMANDS[cmd_name][2])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, None if found is None or name is None else self.commands[name], rest


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each imported when it is taken out."""

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._held:
            self._held[name] = _imported(name)
        return self._held[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._held[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError("commands are not taken away")

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


def _imported(name: str) -> Any:
    # Not for `--help`: it imports Agno.
    from agno_portkey.cli.access import guarded

    module, attribute, _ = _COMMANDS[name]
    found = getattr(import_module(f"agno_portkey.cli.{module}"), attribute)
    # Joins the lines of a paragraph; the default leaves them as they are broken in a docstring.
    holder = typer.Typer(rich_markup_mode="markdown")
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    # With a callback it is a group, also of one command.
    holder.callback()(_nothing)
    return guarded(typer.main.get_group(holder).commands[name], name)


def _nothing() -> None: ...
