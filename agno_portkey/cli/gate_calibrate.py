"""`agno-portkey gate calibrate`: how noisy a team's Judge is, and how often to ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.cli.objects import named
from agno_portkey.cli.report import fail
from agno_portkey.contracts import Judgement, Plan
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.gates import Charter, Sampling
from agno_portkey.gates.briefs import to_assess
from agno_portkey.gates.calibration import Calibration
from agno_portkey.gates.calibration import calibrate as calibration_of
from agno_portkey.gates.checks.models import fresh
from agno_portkey.gates.clearance import Clearances
from agno_portkey.stopping import DATABASE_VARIABLE, missing_file
from agno_portkey.walk import has_schema, name_of, walk

__all__ = ["calibrate"]


def calibrate(
    team: Annotated[
        str, typer.Argument(help="The governed team: package.module:NAME or file.py:NAME (team).")
    ],
    plans: Annotated[
        list[Path] | None,
        typer.Option("--plan", help="A plan as JSON, or a list of them; may be repeated."),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option("--db", envvar=DATABASE_VARIABLE, help="Where its gate has kept plans."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="How often each plan is judged.", min=2)] = 10,
    most: Annotated[int, typer.Option(help="Of the database, so many plans.", min=5)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Judge the same plans again and again, and say how often the verdict flips.

    An A/A test: nothing differs between the runs but chance. It takes 5 plans at least, of --plan
    files or of those that the team's gate has left in the database, and sends a request for each
    repeat; no cache answers one. It proposes a Sampling for the gate.
    """
    try:
        judge, charter = _judge(named(team, "team"))
        cases = [*_from_files(plans or ()), *(_from_database(db, charter, most) if db else ())]
        if len(cases) < 5:
            raise ConfigurationError(
                f"--plan: {len(cases)} plans are too few to go by, and 5 are needed: give more, or "
                "--db with a history"
            )
        said = calibration_of(
            _scores(judge, cases, repeats), threshold=_needed(charter), sampling=_present(charter)
        )
    except (AgnoPortkeyError, SQLAlchemyError, OSError) as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps(said.as_dict(), indent=2, default=str))
    else:
        _show(said)


def _judge(team: Any) -> tuple[Any, Charter]:
    """The team's Judge, as its samples are drawn, and the charter of its gate."""
    charter = getattr(getattr(getattr(team, "model", None), "seat", None), "charter", None)
    if not isinstance(charter, Charter):
        raise ConfigurationError("TEAM: a team with a gate is needed, as govern gives it back")
    judges = [owner for owner, _ in walk(team, None) if has_schema(owner, Judgement)]
    if len(judges) != 1:
        raise ConfigurationError(f"TEAM: it has {len(judges)} Judges, and one is needed")
    twin = judges[0].deep_copy()
    twin.model, twin.db = fresh(judges[0].model), None
    return twin, charter


def _from_files(files: Sequence[Path]) -> Iterator[Plan]:
    for file in files:
        try:
            read = json.loads(file.read_text("utf-8"))
            for each in read if isinstance(read, list) else [read]:
                yield Plan.model_validate(each)
        except (ValueError, ValidationError) as error:
            kind = type(error).__name__
            raise ConfigurationError(f"--plan {file}: no plan as JSON ({kind})") from None


def _from_database(db: str, charter: Charter, most: int) -> list[Plan]:
    """The latest plans that the gate has left there, each once."""
    if (file := missing_file(db)) is not None:
        raise ConfigurationError(f"--db: there is no file {file}")
    grants = Clearances(db).of_swarm(charter.swarm or "")
    return [*{grant.plan_digest: grant.plan for grant in grants}.values()][:most]


def _scores(judge: Any, plans: Sequence[Plan], repeats: int) -> dict[str, list[float]]:
    console = Console(stderr=True)
    asked = [(place, plan) for place, plan in enumerate(plans, start=1) for _ in range(repeats)]
    scores: dict[str, list[float]] = {}
    for place, plan in track(asked, f"{name_of(judge)} judges", console=console, transient=True):
        said = judge.run(to_assess(plan)).content
        if not isinstance(said, Judgement):
            raise ConfigurationError(f"TEAM: {name_of(judge)} gave no judgement of plan {place}")
        scores.setdefault(f"plan {place}", []).append(said.score)
    return scores


def _needed(charter: Charter) -> float:
    return max(check.min_score for gate in charter.gates for check in gate.judges)


def _present(charter: Charter) -> Sampling | None:
    return next((check.sampling for check in charter.samples), None)


def _show(said: Calibration) -> None:
    console = Console()
    heading, *rows = said.rows()
    table = Table(*heading, title=f"{said.cases} plans, {said.scores} judgements")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    interval = f"{said.confidence:.0%} interval {said.low:.2f} to {said.high:.2f}"
    console.print(f"The Judge's noise is {said.noise:.2f} points ({interval}).")
    console.print(f"Proposed: Gate(sampling={_written(said.proposal)})", soft_wrap=True)


def _written(sampling: Sampling) -> str:
    """`sampling` as it is written in Python, without its defaults."""
    plain = Sampling()
    told = {
        each.name: getattr(sampling, each.name)
        for each in fields(Sampling)
        if getattr(sampling, each.name) != getattr(plain, each.name)
    }
    return f"Sampling({', '.join(f'{name}={value!r}' for name, value in told.items())})"
