"""`agno-portkey keys status|due|rotate|revoke`: keys that are rotated without downtime."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from agno_portkey.cli.keys_tables import (
    Steps,
    print_due,
    print_plan,
    print_rotated,
    print_status,
    warn,
)
from agno_portkey.cli.objects import named
from agno_portkey.cli.plain import read_plain
from agno_portkey.cli.report import fail
from agno_portkey.errors import (
    AgnoPortkeyError,
    ConfigurationError,
    RevocationPending,
    RotationUnderWay,
)
from agno_portkey.security.rotation import KeyStatus, Rotated, Rotation
from agno_portkey.security.rotation.config import KeysFile

__all__ = ["add_to"]

T = TypeVar("T")

# Something is due; what was to be done failed; another is at it; an old key could not be deleted.
_DUE, _FAILED, _UNDER_WAY, _PENDING = 1, 1, 3, 4
# Whether something is due can't be told.
_UNKNOWN = 2

File = Annotated[
    Path,
    typer.Option(
        "--file", help="Which keys there are.", envvar="AGNO_PORTKEY_KEYS_FILE", show_envvar=True
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names of keys; all of them if left out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (status, due, rotate, revoke):
        app.command()(command)


def status(names: Names = None, file: File = Path("keys.yaml"), as_json: AsJson = False) -> None:
    """How each key is: what is in use, how old, why it is due, what is still to be deleted."""
    with _told():
        found = _statuses(file, names)
        if as_json:
            _print_json([each.to_dict() for each in found])
        else:
            print_status(found)


def due(names: Names = None, file: File = Path("keys.yaml"), as_json: AsJson = False) -> None:
    """Which keys are to be rotated, and why; exit code 1 if there is one, 2 if nobody can say."""
    with _told(_UNKNOWN):
        found = [each for each in _statuses(file, names) if each.due]
        if as_json:
            _print_json([each.to_dict() for each in found])
        else:
            print_due(found)
        if found:
            raise typer.Exit(_DUE)


def rotate(
    names: Annotated[list[str] | None, typer.Argument(help="Names of keys, or --due.")] = None,
    file: File = Path("keys.yaml"),
    only_due: Annotated[bool, typer.Option("--due", help="Those that are due, and no others.")] = (
        False
    ),
    current: Annotated[
        str | None,
        typer.Option(help="The id of what the source names now, where that was changed by hand."),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(help="Wait until the old key may go, and delete it; else `revoke` does."),
    ] = True,
    leaked: Annotated[
        bool,
        typer.Option("--leaked", help="Others know it: delete the old key without waiting."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Rotate keys: a new one is made, tried out and put in place, then the old one is deleted.

    Give names, or --due. A rotation that was interrupted is gone on with. With --leaked, or where a
    leak was noticed, the old key is deleted as soon as the new one is in place.

    Exit codes: 1 if a key was not rotated, 3 if another process is at it, 4 if an old key could
    not be deleted yet.
    """
    if not names and not only_due:
        fail("Nothing to rotate: give names of keys, or --due.", 2)
    if current is not None and len(names or ()) != 1:
        fail("--current is of one key: give its name.", 2)
    with _told(), _rotations(file, names) as held:
        chosen = [each for each in held if not only_due or each.due()]
        if dry_run:
            print_plan([each.status() for each in chosen], "rotate", as_json=as_json)
            return
        _done(
            chosen,
            lambda each: _rotated(each, current, wait, leaked, as_json),
            as_json=as_json,
            nothing="No key is due.",
        )


def revoke(
    names: Names = None,
    file: File = Path("keys.yaml"),
    now: Annotated[
        bool, typer.Option("--now", help="Also what callers may still use: after a leak.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete old keys whose time has come; never the one in use.

    Exit codes: 3 if another process is at a key, 4 if one could not be deleted.
    """
    with _told(), _rotations(file, names) as held:
        chosen = [each for each in held if each.status().pending or names]
        if dry_run:
            print_plan([each.status() for each in chosen], "revoke", as_json=as_json)
            return
        on_step = None if as_json else Steps()
        _done(
            chosen,
            lambda each: each.revoke(now=now, on_step=on_step),
            as_json=as_json,
            nothing="There is nothing to delete.",
        )


def _rotated(
    rotation: Rotation, current: str | None, wait: bool, leaked: bool, quiet: bool
) -> Rotated:
    on_step = None if quiet else Steps()
    done = rotation.rotate(current=current, wait=wait, leaked=leaked, on_step=on_step)
    if done.resumed and rotation.due():
        # What was interrupted is over; what came since is another rotation.
        done = rotation.rotate(wait=wait, on_step=on_step)
    return done


def _done(
    chosen: list[Rotation], do: Callable[[Rotation], Rotated], *, as_json: bool, nothing: str
) -> None:
    """Do it for each key, whatever becomes of the others; ends with the worst exit code."""
    told: list[dict[str, Any]] = []
    codes = [0]
    for rotation in chosen:
        try:
            done = do(rotation)
        except AgnoPortkeyError as error:
            codes.append(_code(error))
            told.append({"key": rotation.name, "error": type(error).__name__, "said": str(error)})
            if not as_json:
                warn(error)
        else:
            told.append(done.to_dict())
            if not as_json:
                print_rotated(done)
    if as_json:
        _print_json(told)
    elif not chosen:
        typer.echo(nothing)
    # 1 before the others: a key that was not rotated is worse than one that is not gone yet.
    if worst := min((code for code in codes if code), default=0):
        raise typer.Exit(worst)


def _code(error: AgnoPortkeyError) -> int:
    if isinstance(error, RotationUnderWay):
        return _UNDER_WAY
    return _PENDING if isinstance(error, RevocationPending) else _FAILED


def _read(file: Path) -> KeysFile:
    return KeysFile.parse(read_plain(file), where=str(file))


def _statuses(file: Path, names: list[str] | None) -> list[KeyStatus]:
    return _named_of(file, _read(file).statuses(file.parent), names)


@contextmanager
def _rotations(file: Path, names: list[str] | None) -> Iterator[list[Rotation]]:
    keys = _read(file)
    with keys.rotations(file.parent, resolve=lambda spec: named(spec, "new_key")) as held:
        yield _named_of(file, held, names)


def _named_of(file: Path, held: dict[str, T], names: list[str] | None) -> list[T]:
    """Those of these names, each once; all if there are none."""
    for name in names or ():
        if name not in held:
            raise ConfigurationError(f"{name}: {file} has no such key, but {', '.join(held)}")
    return [held[name] for name in dict.fromkeys(names or held)]


def _print_json(told: list[dict[str, Any]]) -> None:
    typer.echo(json.dumps(told, indent=2))


@contextmanager
def _told(code: int = _FAILED) -> Iterator[None]:
    """What ends a command, in one line on stderr."""
    try:
        yield
    except AgnoPortkeyError as error:
        fail(error, code)
    except KeyboardInterrupt:
        typer.echo("Interrupted; the same command goes on with it.", file=sys.stderr)
        raise typer.Exit(130) from None
