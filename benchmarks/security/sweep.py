"""The planted-secret sweep: a random secret per source, searched for in all that is written.

One secret for each source (environment, file, keyring, encrypted file) and each place (`api_key`,
`portkey_api_key`, `virtual_key`, the targets of a route) goes through agents in all four forms,
well and with errors that quote keys, with traces, audit log, ledger, cache and database set up and
all logs at DEBUG. Then each is searched for, whole and in pieces of 12 characters, plain, reversed,
in base64, in hex and URL-quoted: in every file, in what went to stdout and stderr, in logs with the
variables of tracebacks, in what objects look like as text, JSON and pickle, and in the command
lines of this process and of the gateway. Exits with 1 if one is found.

    python benchmarks/security/sweep.py
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import pickle
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"
_ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(_ROOT))

from rich.console import Console
from rich.table import Table
from rich.traceback import Traceback

from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider
from benchmarks.security.planted import PLACES, SOURCES, Leak, plant, search
from benchmarks.security.swept_calls import Stage

__all__ = ["Swept", "main", "sweep"]


@dataclass
class Swept:
    """What came of a sweep."""

    leaks: list[Leak] = field(default_factory=list)
    secrets: int = 0
    calls: int = 0
    # Of those that the provider saw: how often each secret was really sent.
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    places: int = 0
    size: int = 0
    forms: int = 0


def main() -> int:
    with LocalGateway() as gateway, tempfile.TemporaryDirectory() as folder:
        swept = sweep(Path(folder), gateway, os.environ)
    show(swept)
    return 1 if swept.leaks else 0


def sweep(folder: Path, gateway: LocalGateway, environ: MutableMapping[str, str]) -> Swept:
    """Play all stories with planted secrets and search what was written below `folder`."""
    vault, searched = folder / "vault", folder / "searched"
    searched.mkdir(mode=0o700)
    planted = plant(vault, searched, environ)
    swept = Swept(secrets=len(planted.values))
    try:
        with _everything_written(searched) as told, EmbeddedProvider() as provider:
            stage = Stage(planted, provider, gateway, searched, told)
            stage.play()
            swept.calls, swept.errors, swept.sent = stage.calls, stage.errors, stage.sent()
        told.processes({"this process": os.getpid(), "the gateway": gateway.pid})
        written = [*_files(searched), *told.all()]
        swept.places = len(written)
        swept.leaks, swept.size, swept.forms = search(planted, iter(written))
    finally:
        for name in planted.variables:
            del environ[name]
    return swept


def show(swept: Swept) -> None:
    """Print how often each secret was sent, and where it was found."""
    table = Table("source", *PLACES, title="requests that a planted secret went out with")
    for source in SOURCES:
        table.add_row(source, *(str(swept.sent[source, place]) for place in PLACES))
    console = Console()
    console.print(table)
    for leak in swept.leaks:
        found = f"{leak.place} from {leak.source}, {leak.form}: {leak.where}"
        console.print(f"[bold red]FOUND[/] {found}")
    console.print(
        f"planted: {swept.secrets} secrets, {swept.calls} calls, {sum(swept.errors.values())} of "
        f"them failed; searched: {swept.places} places, {swept.size / 1e6:.1f} MB, for "
        f"{swept.forms} pieces; found: {len(swept.leaks)}",
        highlight=False,
    )


class _Told:
    """What is written elsewhere than into files, by where."""

    def __init__(self) -> None:
        self._said: dict[str, list[bytes]] = {}

    def note(self, where: str, what: str | bytes) -> None:
        data = what if isinstance(what, bytes) else what.encode("utf-8", "replace")
        self._said.setdefault(where, []).append(data)

    def error(self, error: BaseException) -> None:
        """Keep a traceback with all its variables, in the forms in which it is shown."""
        self.note("errors", f"{error} {error!r} {error.args!r} {vars(error)!r}")
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        self.note("traceback with locals", "".join(shown.format()))
        # As rich shows them, without what it draws round them, which takes long.
        limits: dict[str, Any] = {"locals_max_length": 100, "locals_max_string": 1000}
        trace = Traceback.extract(
            type(error), error, error.__traceback__, show_locals=True, **limits
        )
        for stack in trace.stacks:
            said = [str(node) for frame in stack.frames for node in (frame.locals or {}).values()]
            self.note("rich traceback with locals", "\n".join([stack.exc_value, *said]))

    def thing(self, what: str, thing: Any) -> None:
        """Keep what an object looks like in each form that it can be written in."""
        twin = thing
        with contextlib.suppress(TypeError):  # some hold locks
            twin = copy.deepcopy(thing)
        held = getattr(thing, "__dict__", {})
        self.note(f"repr of {what}", f"{thing!r} {thing!s} {held!r} {twin!r} {vars(twin)!r}")
        with contextlib.suppress(Exception):
            self.note(f"pickle of {what}", pickle.dumps(thing))
        for name in ("to_dict", "to_json"):
            if callable(made := getattr(thing, name, None)):
                self.note(f"{name} of {what}", json.dumps(made(), default=repr))

    def processes(self, pids: dict[str, int]) -> None:
        for what, pid in pids.items():
            with contextlib.suppress(OSError):
                self.note(f"command line of {what}", Path(f"/proc/{pid}/cmdline").read_bytes())
            if pid != os.getpid():
                with contextlib.suppress(OSError):
                    self.note(f"environment of {what}", Path(f"/proc/{pid}/environ").read_bytes())

    def all(self) -> Iterator[tuple[str, bytes]]:
        for where, said in self._said.items():
            yield where, b"\n".join(said)


class _Shouting(logging.Formatter):
    """Shows a record with all that can be shown of it, the variables of its traceback too."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.name} {super().format(record)} {record.args!r}"

    def formatException(self, ei: Any) -> str:
        shown = traceback.TracebackException(*ei, capture_locals=True)
        return "".join(shown.format())


@contextlib.contextmanager
def _everything_written(folder: Path) -> Iterator[_Told]:
    """A block whose logs, at DEBUG, and outputs are files in `folder`."""
    handler = logging.FileHandler(folder / "debug.log", encoding="utf-8")
    handler.setFormatter(_Shouting())
    root, level = logging.getLogger(), logging.getLogger().level
    loggers = [root, *(each for each in _loggers() if not each.propagate)]
    levels = {each: each.level for each in _loggers()}
    out = io.StringIO()
    told = _Told()
    with _descriptors(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        for each in loggers:
            each.addHandler(handler)
        for each in [root, *levels]:
            each.setLevel(logging.DEBUG)
        try:
            yield told
        finally:
            for each in loggers:
                each.removeHandler(handler)
            for each, was in [(root, level), *levels.items()]:
                each.setLevel(was)
            handler.close()
    told.note("stdout and stderr", out.getvalue())


def _loggers() -> list[logging.Logger]:
    known = logging.Logger.manager.loggerDict
    return [each for each in known.values() if isinstance(each, logging.Logger)]


@contextlib.contextmanager
def _descriptors(folder: Path) -> Iterator[None]:
    """A block in which what goes to the descriptors 1 and 2 goes to files."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            file = os.open(folder / f"descriptor-{number}", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(file, number)
            os.close(file)
        yield
    finally:
        for number, file in zip((1, 2), kept, strict=True):
            os.dup2(file, number)
            os.close(file)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"file {path.relative_to(folder)}", path.name.encode() + path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
