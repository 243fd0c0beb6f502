"""`agno-portkey gate check`: a suite of evaluations as a gate of a pipeline, with exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer
from agno.eval.suite import Case
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.cli.objects import named
from agno_portkey.cli.report import fail
from agno_portkey.documents import private
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.fingerprint import fingerprint_known
from agno_portkey.gates import Outcome, Sampling, record_suite
from agno_portkey.gates.checks.suite import recording
from agno_portkey.gates.suites import CaseVerdict, SuiteVerdict, run_suite
from agno_portkey.stopping import DATABASE_VARIABLE
from agno_portkey.verdict import shown

__all__ = ["check"]

# Of a suite that can't be found, run or recorded: no verdict on what it is of.
_NOT_RUN = 3
_EXITS = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.UNDERPOWERED: 2}
_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.UNDERPOWERED: "yellow"}


def check(
    suite: Annotated[
        str,
        typer.Argument(
            help="A list of agno.eval.suite.Case: package.module:NAME or file.py:NAME (CASES)."
        ),
    ],
    samples: Annotated[
        int, typer.Option(help="Run a case up to so often, until chance can't explain it.", min=1)
    ] = 1,
    noise: Annotated[
        float | None, typer.Option(help="The judge's noise in points, as `gate calibrate` tells.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="The judge's model, as module:NAME or file.py:NAME.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(help="Keep the result under this name, for a SuiteCheck of the same team."),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option("--db", envvar=DATABASE_VARIABLE, help="Where it is kept."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit XML report there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    timeout: Annotated[int, typer.Option(help="Seconds for one run of a case.", min=1)] = 120,
) -> None:
    """Run a suite; ends with 0 on PASS, 1 on FAIL, 2 on UNDERPOWERED, 3 where it can't be run.

    A case is UNDERPOWERED where --samples runs are not enough to tell a pass from chance. With
    --record, its cases have to be of one agent or team: the result holds for its fingerprint, that
    is for its models, prompts, tools and policy as they are now.
    """
    console = Console(stderr=True)
    try:
        cases = _cases(suite)
        model = named(judge, "model") if judge else None
        kept = _Kept(cases, record, db) if record else None
        with console.status("...") as status, recording(record):
            verdict = run_suite(
                cases,
                sampling=_sampling(samples, noise),
                judge_model=model,
                seconds=timeout,
                on_run=lambda case, number: status.update(f"{case.name}, run {number}"),
            )
        if kept is not None:
            kept.keep(verdict)
            console.print(f"Recorded as {record}: {verdict.outcome.value}", highlight=False)
        if junit is not None:
            with open(junit, "wb", opener=private) as file:
                file.write(as_junit(verdict, suite))
    except (AgnoPortkeyError, SQLAlchemyError, OSError) as error:
        fail(error, _NOT_RUN)
    if as_json:
        typer.echo(json.dumps(_as_dict(verdict), indent=2))
    else:
        Console().print(_table(verdict, suite))
    raise typer.Exit(_EXITS[verdict.outcome])


def _cases(suite: str) -> list[Case]:
    found = named(suite, "CASES")
    if not isinstance(found, Iterable) or not (cases := [*found]):
        raise ConfigurationError(f"{suite}: a list of agno.eval.suite.Case, one at least")
    for each in cases:
        if not isinstance(each, Case):
            kind = type(each).__name__
            raise ConfigurationError(f"{suite}: a list of agno.eval.suite.Case, and no {kind}")
    return cases


class _Kept:
    """Where a result is kept: known to be possible before anything is run."""

    def __init__(self, cases: Sequence[Case], name: str, db: str | None) -> None:
        if not db:
            raise ConfigurationError(f"--db or {DATABASE_VARIABLE}: --record needs a database")
        owners = {id(owner): owner for case in cases if (owner := case.team or case.agent)}
        if len(owners) != 1:
            raise ConfigurationError(
                f"--record: the cases are of {len(owners)} agents and teams; a result is kept for "
                "one fingerprint"
            )
        [owner] = owners.values()
        self._name, self._db = name, db
        self._fingerprint = fingerprint_known(owner).digest

    def keep(self, verdict: SuiteVerdict) -> None:
        record_suite(
            verdict.result, suite=self._name, fingerprint=self._fingerprint, database=self._db
        )


def _sampling(samples: int, noise: float | None) -> Sampling | None:
    if samples == 1:
        return None
    return Sampling(least=min(2, samples), most=samples, noise=noise)


def as_junit(verdict: SuiteVerdict, suite: str) -> bytes:
    """The result as JUnit XML: FAIL is a failure, UNDERPOWERED an error, with its reason."""
    said = [case.outcome for case in verdict.cases]
    root = ElementTree.Element(
        "testsuite",
        name=suite,
        tests=str(len(said)),
        failures=str(said.count(Outcome.FAIL)),
        errors=str(said.count(Outcome.UNDERPOWERED)),
        time=f"{sum(case.seconds for case in verdict.cases):.3f}",
    )
    for case in verdict.cases:
        element = ElementTree.SubElement(
            root, "testcase", classname=suite, name=case.case.name, time=f"{case.seconds:.3f}"
        )
        if case.outcome is not Outcome.PASS:
            kind = "failure" if case.outcome is Outcome.FAIL else "error"
            reason = _clean(case.reason)
            told = ElementTree.SubElement(element, kind, message=reason, type=str(case.outcome))
            told.text = reason
    report: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return report


def _clean(text: str) -> str:
    """`text` without what XML can't hold."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in text)


def _table(verdict: SuiteVerdict, suite: str) -> Table:
    table = Table("case", "", "runs", "score", title=f"{suite}: {verdict.outcome.value.upper()}")
    table.add_column("why", overflow="fold")
    for case in verdict.cases:
        table.add_row(Text(case.case.name), *_cells(case), Text(shown(case.reason)))
    return table


def _cells(case: CaseVerdict) -> tuple[Text, str, str]:
    said = Text(case.outcome.value, _STYLES[case.outcome])
    return said, str(case.poll.samples), f"{case.poll.mean:.3g}"


def _as_dict(verdict: SuiteVerdict) -> dict[str, object]:
    return {
        "outcome": verdict.outcome.value,
        "cases": [
            {
                "name": case.case.name,
                "outcome": case.outcome.value,
                "runs": case.poll.samples,
                "score": case.poll.mean,
                "more": case.poll.more,
                "seconds": case.seconds,
                "reason": case.reason,
            }
            for case in verdict.cases
        ],
    }
