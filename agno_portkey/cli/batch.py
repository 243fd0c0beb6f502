"""`agno-portkey batch`: many inputs of an agent through the provider's Batch API."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from agno_portkey.cli.batch_tables import hint, print_result, print_status
from agno_portkey.cli.objects import named
from agno_portkey.cli.report import fail
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.knowledge.batch import BatchJob, BatchResult
from agno_portkey.knowledge.batch.job import status_of
from agno_portkey.knowledge.batch.journal import JobJournal

__all__ = ["app"]

app = typer.Typer(
    help="Many inputs of an agent through the provider's Batch API: slower, and cheaper.",
    no_args_is_help=True,
)

# Lines that failed; a job that is not over; a command that could not do what it was to.
_FAILED, _RUNNING, _BROKEN = 1, 3, 2

Who = Annotated[
    str, typer.Argument(help="An agent or model: package.module:NAME or file.py:NAME (agent).")
]
Inputs = Annotated[
    Path,
    typer.Argument(
        help='What it is asked: a JSON string a line, or {"id": ..., "input": ...}.',
        metavar="INPUTS.jsonl",
    ),
]
Kept = Annotated[
    Path,
    typer.Option(
        "--journal",
        help="The file that tells what was sent where; no text in it. What was asked again stands "
        "beside it, in JOURNAL.retried; without that file, all that failed is asked anew.",
    ),
]
Target = Annotated[
    str | None, typer.Option(help="The target of the model's route that the batches are at.")
]
Concurrency = Annotated[
    int, typer.Option(help="Inputs that are made ready, or answers looked at, at once.", min=1)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def submit(
    agent: Who,
    inputs: Inputs,
    journal: Kept,
    target: Target = None,
    max_lines: Annotated[int, typer.Option(help="Requests in one file.", min=1)] = 50_000,
    max_bytes: Annotated[int, typer.Option(help="Bytes of one file.", min=1)] = 200_000_000,
    concurrency: Concurrency = 8,
    as_json: AsJson = False,
) -> None:
    """Send what was not sent yet, split by the provider's limits; after a kill, what is left of it.

    Each input passes the model's guards first; one that they refuse is not sent, and `fetch` tells
    why. One on which a guard fails is not sent either, until this is run again. Ends with 0 if all
    is sent, and with 2 if it can't be.
    """
    with _told("made ready") as bar:
        _, given = _read(inputs)
        job = BatchJob(
            named(agent, "agent"),
            given,
            journal=journal,
            target=target,
            max_lines=max_lines,
            max_bytes=max_bytes,
            concurrency=concurrency,
            progress=bar.move,
        )
        status = job.submit()
    print_status(status, as_json)


@app.command()
def status(
    journal: Annotated[Path, typer.Argument(help="The file that `submit` was given.")],
    agent: Annotated[
        str | None,
        typer.Option(
            help="The agent, whose model knows the provider: module:NAME or file.py:NAME."
        ),
    ] = None,
    target: Target = None,
    as_json: AsJson = False,
) -> None:
    """How far a job is; without --agent what the journal knows, and nobody is asked.

    Ends with 0 if it is over, with 3 if it is not, and with 2 if that can't be told.
    """
    with _told("asked"):
        if agent is None:
            found = status_of(JobJournal(journal).read(), {})
        else:
            found = BatchJob(named(agent, "agent"), [], journal=journal, target=target).status()
    print_status(found, as_json)
    if agent is None and not found.over:
        # On stderr, since JSON is on stdout.
        hint(
            "That is what the journal says, as of the last submit: the provider was not asked. "
            "For how far its batches are, add --agent module:NAME (or file.py:NAME)."
        )
    if not found.over:
        raise typer.Exit(_RUNNING)


@app.command()
def cancel(agent: Who, journal: Kept, target: Target = None, as_json: AsJson = False) -> None:
    """Have nothing more answered; what is answered already can be fetched."""
    with _told("cancelled"):
        found = BatchJob(named(agent, "agent"), [], journal=journal, target=target).cancel()
    print_status(found, as_json)


@app.command()
def fetch(
    agent: Who,
    inputs: Inputs,
    journal: Kept,
    out: Annotated[Path, typer.Option(help="Where the results go, a JSON object a line.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job is over.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between looks.", min=0.01)] = 60.0,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry",
            help="Ask failed lines again, by calls at the usual price; what they bring is kept, a "
            "broken answer too, and not asked for again.",
        ),
    ] = False,
    target: Target = None,
    concurrency: Concurrency = 8,
    as_json: AsJson = False,
) -> None:
    """Write the outputs of what is over: each answer goes through the guards and the contract.

    A line has the `id` of its input (or its number), and its `output`, or the `error` and a
    `message`. Ends with 0 if all are there, with 1 if some failed, with 3 if some are not answered
    yet, and with 2 if nothing can be fetched.
    """
    with _told("looked at") as bar:
        _require_other(out, inputs, journal, Path(f"{journal}.retried"))
        ids, given = _read(inputs)
        who = named(agent, "agent")
        if (of_agent := _file_of(agent)) is not None:
            _require_other(out, of_agent)
        job = BatchJob(
            who,
            given,
            journal=journal,
            target=target,
            concurrency=concurrency,
            progress=bar.move,
        )
        if wait:
            bar.begin("answered")
            job.wait(every=every)
            bar.begin("looked at")
        found = job.fetch(retry=retry)
        _write(out, ids, found)
    print_result(found, out, as_json)
    if found.pending:
        raise typer.Exit(_RUNNING)
    if found.errors:
        raise typer.Exit(_FAILED)


class _Bar:
    """A bar of inputs, on a terminal alone."""

    def __init__(self, shown: Progress, doing: str) -> None:
        self._shown = shown
        # It moves before anything is known: an agent may take long to import.
        self._task = shown.add_task(doing, total=None)

    def begin(self, doing: str) -> None:
        self._shown.reset(self._task, description=doing, total=None)

    def move(self, done: int, total: int) -> None:
        self._shown.update(self._task, completed=done, total=total)


@contextmanager
def _told(doing: str) -> Iterator[_Bar]:
    """A block whose errors are told in a line, with a bar that its work can move."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    try:
        # Of a file, even a bar that is not shown would begin a line.
        off = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=off) as shown_at:
            yield _Bar(shown_at, doing)
    except (AgnoPortkeyError, OSError) as error:
        fail(error, _BROKEN)


def _require_other(out: Path, *held: Path) -> None:
    if out.resolve() in [each.resolve() for each in held]:
        raise ConfigurationError(f"--out: {out} is what the job is known by; name another file")


def _file_of(agent: str) -> Path | None:
    """The file that an agent is in, once it was imported."""
    place = agent.partition(":")[0]
    if place.endswith(".py"):
        return Path(place)
    file = getattr(sys.modules.get(place), "__file__", None)
    return None if file is None else Path(file)


def _read(path: Path) -> tuple[list[Any], list[Any]]:
    """The ids and inputs of a file; ConfigurationError names the line that is wrong."""
    ids: list[Any] = []
    given: list[Any] = []
    lines: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                said = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError):
                raise ConfigurationError(f"{path}: line {number} is no JSON in UTF-8") from None
            name: Any = len(ids)
            if isinstance(said, dict) and said.keys() == {"id", "input"}:
                name, said = said["id"], said["input"]
            if not isinstance(said, str) or not said or not isinstance(name, str | int):
                raise ConfigurationError(
                    f'{path}: line {number} is neither a text nor {{"id": ..., "input": a text}}'
                )
            if (first := lines.setdefault(str(name), number)) != number:
                raise ConfigurationError(
                    f"{path}: line {number} has the id {str(name)[:80]!r}, which line {first} has "
                    "already (a line without one has its place among the inputs, from 0)"
                )
            ids.append(name)
            given.append(said)
    return ids, given


def _write(path: Path, ids: list[Any], found: BatchResult) -> None:
    """The results, all or none; for the eyes of whoever runs this alone."""
    # Made for its owner alone, and under a name that is nobody's.
    held, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(held, "w", encoding="utf-8") as file:
            file.writelines(_lines(ids, found))
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _lines(ids: list[Any], found: BatchResult) -> Iterator[str]:
    for place, name in enumerate(ids):
        if (output := found.outputs[place]) is not None:
            content = output.content
            if isinstance(content, BaseModel):
                content = content.model_dump(mode="json")
            line = {"id": name, "output": content}
        elif (error := found.errors.get(place)) is not None:
            line = {"id": name, "error": type(error).__name__, "message": str(error)}
        else:
            continue
        yield json.dumps(line, default=str) + "\n"
