"""`agno-portkey policy`: check a policy, show how strictly it is held, and print its schema."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.objects import current_folder
from agno_portkey.contracts import Repair
from agno_portkey.environments import check_environment, current, is_allowed
from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.guardrails.pii import Analyzer
from agno_portkey.modes import Mode, mode_now, variable_of
from agno_portkey.policy import BudgetUse, GuardUse, PIIPolicy, Policy, json_schema
from agno_portkey.policy.gates import GatePolicy
from agno_portkey.policy.models import ModelsPolicy
from agno_portkey.policy.parts import ContractsPolicy
from agno_portkey.policy.places import ROOT, Places
from agno_portkey.routing.config.parts import PartError, join_path, part_error
from agno_portkey.routing.config.references import is_reference

__all__ = ["app"]

app = typer.Typer(help="Check and show a policy.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A policy in YAML or JSON.")]


@app.command()
def check(file: File) -> None:
    """List every problem of FILE, or show its parts and their modes, those of the environment too.

    Its guards are imported, also from the current folder, and not made: no variable that it refers
    to has to be set. Recognizers for personal data are read, which takes the extra pii.
    """
    console = Console()
    try:
        with current_folder():
            policy = Policy.from_yaml(file)
        if policy.pii is not None:
            _read_recognizers(policy.pii)
    except ConfigurationError as error:
        table = Table("line", "where", title=f"Problems of {file}", title_justify="left")
        table.add_column("why, and what to do", overflow="fold")
        for line, where, why in _problems(error, file):
            table.add_row(line, Text(where), Text(why))
        console.print(table)
        raise typer.Exit(1) from None
    console.print(_summary(policy, file))


@app.command()
def schema() -> None:
    """Print the JSON schema of a policy, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _read_recognizers(pii: PIIPolicy) -> None:
    """Make what `pii` looks for, as its guard will, unless the environment has a word in it."""
    texts = (*pii.languages, *pii.deny_list, *(pii.entities or ()), pii.recognizers or "")
    if any(map(is_reference, texts)):
        return
    try:
        Analyzer(
            pii.entities,
            languages=pii.languages,
            recognizers=pii.recognizers,
            deny_list=pii.deny_list or None,
        )
    except (ConfigurationError, MissingExtraError) as error:
        name, _, why = str(error).partition(": ")
        known = name in PIIPolicy.model_fields
        problem = (("pii", name), why) if known else (("pii",), str(error))
        raise part_error(ROOT, [problem]) from error


def _problems(error: ConfigurationError, file: Path) -> list[tuple[str, str, str]]:
    """Each problem's line, if it is known, its place and the reason."""
    if isinstance(error, PartError):
        lines = Places.of(file, None)
        return [
            (str(lines.line(path) or ""), join_path(ROOT, path), why)
            for path, why in error.problems
        ]
    place = rf"{re.escape(str(file))}:(?:(\d+):)? (?:(\S+): )?(.*)"
    if (said := re.fullmatch(place, str(error), re.DOTALL)) is None:
        return [("", "", str(error))]
    return [(said[1] or "", said[2] or "", said[3])]


def _summary(policy: Policy, file: Path) -> Table:
    table = Table("part", "mode", "what", title=str(file), title_justify="left")
    for row in (*_whose(policy.environment), *_guards(policy)):
        table.add_row(*row)
    if policy.pii is not None:
        # It is one of the guards, and the variable that overrides their mode overrides its own.
        table.add_row("pii", _now("guards", policy.pii.enforcement), Text(_personal(policy.pii)))
    if policy.gate is not None:
        table.add_row("gate", _now("gate", policy.gate.mode), Text(_gated(policy.gate)))
    mode = _now("contracts", policy.contracts.mode)
    table.add_row("contracts", mode, Text(_mended(policy.contracts)))
    tags = ", ".join(f"{name}={value}" for name, value in policy.tags.values.items())
    table.add_row("tags", _now("tags", policy.tags.mode), Text(tags or "none of its own"))
    database = "of the policy" if policy.stop.database else "of the environment or team"
    table.add_row("stop", _now("stop", policy.stop.mode), f"the database {database}")
    for role, use in policy.cache.items():
        said = f"{use.kind} answers of {role}, for one {use.scope}"
        if use.scope == "public":
            said = f"{use.kind} answers of {role}, for everybody"
        table.add_row("cache", _now("cache", use.mode), Text(said))
    for whose, limit in _limits(policy.models):
        told = f"{whose}: {'; '.join(limit)}"
        table.add_row("models", _now("models", policy.models.mode), Text(told))
    for budget in policy.budgets:
        table.add_row("budgets", _now("budgets", budget.mode), Text(_limited(budget)))
    for path in policy.allow:
        table.add_row("allow", "", Text(path))
    return table


def _gated(gate: GatePolicy) -> str:
    names = ", ".join(f"{each.name} (score {each.min_score:g})" for each in gate.gates)
    refused = gate.mode != "enforce" and not is_allowed("observed-gates")
    told = "; in production govern refuses that mode" if refused else ""
    return f"{names} before {gate.runner or 'the Runner that govern is given'}{told}"


def _whose(name: str | None) -> Iterator[tuple[str, str, Text]]:
    """Of which environment the policy is, and whether this process may govern by it."""
    if name is None:
        return
    try:
        check_environment(name, "it")
        told = name
    except ConfigurationError:
        told = f"{name}; this process is of {current() or 'none'}, where govern refuses it"
    yield "environment", "", Text(told)


def _guards(policy: Policy) -> Iterator[tuple[str, str, Text]]:
    for guard in policy.guards:
        if isinstance(guard, GuardUse):
            yield "guards", _now("guards", guard.mode), Text(guard.use)


def _limits(models: ModelsPolicy) -> Iterator[tuple[str, list[str]]]:
    named = [("everyone", models.everyone), *models.roles.items(), *models.agents.items()]
    for whose, limit in named:
        if limit is not None:
            said = {"providers": limit.providers, "configs": limit.configs}
            yield (
                whose,
                [
                    ", ".join(limit.models) if limit.models else "any model",
                    *(f"{name} {', '.join(held)}" for name, held in said.items() if held),
                ],
            )


def _limited(budget: BudgetUse) -> str:
    limits = [
        f"{limit} {unit}"
        for limit, unit in ((budget.limit_usd, "USD"), (budget.limit_tokens, "tokens"))
        if limit is not None
    ]
    of = {None: "", "*": ", each cost center"}.get(
        budget.cost_center, f", cost center {budget.cost_center}"
    )
    said = f"{' and '.join(limits)} per {budget.per}{of}".replace("per total", "in total")
    return f"{said}; govern is to be given their ledger"


def _mended(contracts: ContractsPolicy) -> str:
    if contracts.mode != "enforce":
        return "structured outputs"  # nobody is asked again
    repair = contracts.repair or Repair()
    stronger = f", then of {repair.stronger}" if repair.stronger else ""
    return f"structured outputs, asked for again {repair.reasks} times{stronger}"


def _personal(pii: PIIPolicy) -> str:
    told = [f"{pii.mode} {', '.join(pii.entities or ['the usual types'])}"]
    if pii.recognizers is not None:
        left = " (not looked at)" if is_reference(pii.recognizers) else ""
        told.append(f"recognizers of {pii.recognizers}{left}")
    if pii.deny_list:
        told.append(f"a deny list of {len(pii.deny_list)}")
    if pii.mode == "pseudonymize":
        kept = pii.vaults is not None and pii.vaults.database is not None
        told.append(f"vaults in {'the database of the policy' if kept else 'the process'}")
    return ", ".join(told)


def _now(part: str, own: Mode | None) -> str:
    """The mode that counts, and the variable that says so; a guard may bring its own."""
    variable = variable_of(part)
    if not os.environ.get(variable):
        return own or "the guard's own"
    return f"{mode_now(part, own or 'enforce')} ({variable})"
