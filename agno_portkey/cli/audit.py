"""`agno-portkey audit`: whether a log is as it was written, what is in it, and what comes now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TimeElapsedColumn

from agno_portkey.cli.audit_tables import print_problems, print_report, row
from agno_portkey.cli.audit_text import Format, follow, newest, write_records
from agno_portkey.cli.report import fail
from agno_portkey.cli.times import Since, Until, time_of
from agno_portkey.cli.width import ENDLESS, output
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError

if TYPE_CHECKING:
    from agno_portkey.telemetry.audit import Reading

__all__ = ["app"]

app = typer.Typer(
    help="The audit log: whether it is as it was written, what is in it, what comes now.",
    no_args_is_help=True,
)

# A log that is not as it was written; a command that could not do what it was to; a file without
# any seal, which may be a plain one, or a log that somebody has taken all of them from.
_WRONG, _BROKEN, _UNSEALED = 1, 2, 3


class Shown(StrEnum):
    table = "table"
    json = "json"


Log = Annotated[Path, typer.Argument(help="The file of the log.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="The file with the key; else AGNO_PORTKEY_AUDIT_KEY, else the user's own key file."
    ),
]
PublicKey = Annotated[
    Path | None, typer.Option(help="The file with the public key of a log that is signed.")
]
Kept = Annotated[
    Path | None,
    typer.Option(help="The folder or file of the checkpoints; by default beside the log."),
]


@app.command()
def verify(
    path: Log,
    key_file: KeyFile = None,
    public_key: PublicKey = None,
    checkpoints: Kept = None,
    form: Annotated[Shown, typer.Option("--format", help="A table, or JSON.")] = Shown.table,
) -> None:
    """Read all of a log: say which lines are not as they were written, and why.

    Ends with 0 if all are, with 1 if one is not or some were cut off, with 2 if that can't be told:
    without a key or a log, and with 3 if no line has a seal, as in a plain file. That the clock was
    set back, or that a kill left a part of a line, is said, and nothing that was done to the log.
    """
    with _reading(path, key_file, public_key, checkpoints) as reading:
        report = reading.run()
    if form is Shown.json:
        typer.echo(json.dumps({"ok": report.ok, **asdict(report)}, indent=2, default=str))
    else:
        print_report(report, reading.checkpoint_file)
    if not report.ok:
        raise typer.Exit(_WRONG)


@app.command()
def export(
    path: Log,
    to: Annotated[Path, typer.Option("--to", help="The file that is written.")],
    form: Annotated[
        Format, typer.Option("--format", help="A record a line, or a table.")
    ] = Format.jsonl,
    since: Since = None,
    until: Until = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Records of this kind alone, such as gate; several.")
    ] = None,
    key_file: KeyFile = None,
    public_key: PublicKey = None,
    checkpoints: Kept = None,
) -> None:
    """Write records into another file, and verify the log on the way.

    Lines that are not as they were written are left out and told, and the command ends with 1; with
    2 if nothing can be written; with 3 if no line has a seal. Times are those at which the log took
    the record.
    """
    first, last = (
        None if at is None else at.astimezone(UTC) for at in map(time_of, (since, until))
    )
    with _reading(path, key_file, public_key, checkpoints) as reading:
        if to.resolve() in (path.resolve(), reading.checkpoint_file.resolve()):
            raise ConfigurationError(f"--to: {to} is what the log is kept in; name another file")
        if to.exists() and not to.is_file():
            raise ConfigurationError(f"--to: {to} is no file; name one, it is put in its place")
        count = write_records(reading, to, form, first, last, set(kind or ()))
    report = reading.report
    typer.echo(f"{count} of {report.lines} records are in {to}.")
    if not report.ok:
        print_problems(report)
        raise typer.Exit(_WRONG)


@app.command()
def tail(
    path: Log,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many lines.")] = 10,
) -> None:
    """Show the newest records, the last one below; nothing is verified, and no key is needed.

    Into a file or another program they are written in full.
    """
    console = output()
    width = console.width if console.width < ENDLESS else None
    with _told():
        found, end = newest(path, number)
        for line in found:
            console.print(row(line, width), soft_wrap=True)
        try:
            for line in follow(path, end) if follow_ else ():
                console.print(row(line, width), soft_wrap=True)
        except KeyboardInterrupt:
            return


@contextmanager
def _reading(
    path: Path, key_file: Path | None, public_key: Path | None, checkpoints: Path | None
) -> Iterator[Reading]:
    """A log that a block reads, with a bar of its bytes on a terminal; its errors are told."""
    columns: tuple[Any, ...] = (
        *Progress.get_default_columns()[:2],
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with _told():
        from agno_portkey.telemetry.audit import Reading, find_key

        _look_at(path, checkpoints)
        key = find_key(key_file=key_file, public_key=_public(public_key))
        console = Console(stderr=True)
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as bar:
            task = bar.add_task("verified", total=None)
            yield Reading(
                path,
                key,
                checkpoints,
                moved=lambda done, size: bar.update(task, completed=done, total=size),
            )


def _look_at(path: Path, checkpoints: Path | None) -> None:
    """Refuse what needs no key to be told: that there is no log, or no seal in any of its lines."""
    from agno_portkey.telemetry.audit.checkpoints import Checkpoints
    from agno_portkey.telemetry.audit.lines import unsealed

    path = path.expanduser().absolute()
    if Checkpoints(path, checkpoints).path.exists():
        return  # They tell of a log that was sealed, whatever is left of it.
    if not path.exists():
        raise ConfigurationError(f"there is no {path}")
    if count := unsealed(path):
        lines = "its line was" if count == 1 else f"its {count} lines were"
        fail(
            f"{path}: {lines} never sealed (a plain file): there is nothing to verify; for a "
            "sealed log give an AuditLog. If an AuditLog wrote it, somebody has taken all seals "
            "and checkpoints away.",
            _UNSEALED,
        )


def _public(path: Path | None) -> str | None:
    from agno_portkey.telemetry.audit.keys import is_key

    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"--public-key: {path} is no key: PEM or base64 is") from None
    except OSError as error:
        if is_key(str(path)):
            raise ConfigurationError(
                "--public-key: this is a key, and the path of a file is needed: write the key into "
                "a file, and name that"
            ) from None
        raise ConfigurationError(f"--public-key: {path} can't be read ({error.strerror})") from None


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (AgnoPortkeyError, OSError, UnicodeDecodeError) as error:
        fail(error, _BROKEN)
