"""`agno-portkey gate waiting|approve|revoke|export|verify|key`: clearances in people's hands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.cli.report import fail, operator
from agno_portkey.contracts import Plan, Risk, Step, canonical
from agno_portkey.environments import current
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.gates import approving
from agno_portkey.gates.books import PUBLIC_KEY, Books, books_of
from agno_portkey.gates.bringing import run_with
from agno_portkey.gates.clearance import Asking, Clearances, Grant, export, new_key, verify
from agno_portkey.gates.commands import DATABASE_NEEDED, option_of
from agno_portkey.stopping import DATABASE_VARIABLE, missing_file
from agno_portkey.verdict import shown

__all__ = ["approve", "export_", "key", "revoke", "verify_", "waiting"]

# Read from the environment alone: a key on a command line is seen by everybody on the machine.
KEY_VARIABLE = "AGNO_PORTKEY_CLEARANCE_KEY"

_RISKS = {Risk.LOW: "green", Risk.MEDIUM: "yellow", Risk.HIGH: "bold red"}

Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar=DATABASE_VARIABLE,
        help="The database that the team uses: an address, or a SQLite file.",
    ),
]
Id = Annotated[str, typer.Argument(help="The clearance's id, as `gate waiting` lists it.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; by default you@host.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept with the decision.")]


def waiting(
    db: Database = None,
    swarm: Annotated[str | None, typer.Option(help="Those of this team alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the plans.")] = False,
) -> None:
    """List the plans that wait for a person: to be approved, or refused by the gate."""
    with _failing():
        kept = _clearances(db)
        grants, altered = kept.waiting(swarm), kept.altered()
    for problem in altered:
        # Of whichever team: what an altered row says of it is not to be trusted.
        Console(stderr=True).print(Text(shown(f"Passed over: {problem}"), "red"), soft_wrap=True)
    if as_json:
        typer.echo(json.dumps([_as_dict(grant) for grant in grants], indent=2))
        return
    if not grants:
        typer.echo("No plan waits for a person.")
        return
    console = Console()
    option = option_of(kept)
    for grant in grants:
        _print(console, grant, f" {option}" if option else "")
    if option is None and os.environ.get(DATABASE_VARIABLE) != db:
        console.print(f"An address is not repeated here: {DATABASE_NEEDED}.", soft_wrap=True)


def _print(console: Console, grant: Grant, where: str) -> None:
    until = f"{grant.expires_at:%Y-%m-%d %H:%M} UTC"
    id = shown(grant.id)
    head = Text.assemble((id, "bold"), f"  {shown(grant.swarm)}, until {until}")
    console.print(head, soft_wrap=True)
    told = _plan_table(grant.plan)
    left = f"{grant.issued_at:%Y-%m-%d %H:%M:%S} UTC, asked by {_named(grant.user_id)}"
    told.add_row("  left", Text(f"{left} in session {_named(grant.session_id)}"))
    if grant.passed:
        said = "The gate has passed it: it runs once a person approves it."
        told.add_row("  gate", Text(said, "green"))
    else:
        told.add_row("  gate", Text(f"The gate has refused it: {shown(grant.reason)}", "red"))
    console.print(told)
    act, override = ("approve", "") if grant.passed else ("override", " --override --reason '...'")
    for what, command in (
        (act, f"approve {id}{where}{override}"),
        ("refuse", f"revoke {id}{where} --reason '...'"),
    ):
        console.print(Text(f"  to {what:<9} agno-portkey gate {command}"), soft_wrap=True)


def _named(who: str | None) -> str:
    return "nobody named" if who is None else shown(who)


def _plan_table(plan: Plan) -> Table:
    """The plan, with a column for what models wrote: however long, it begins no line."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    table.add_row("  goal", Text(shown(plan.goal)))
    for number, step in enumerate(plan.steps, start=1):
        table.add_row(f"  {number}.", Text(_call_of(step)))
        table.add_row("  risk", Text(step.risk, _RISKS[step.risk]))
        if step.expected:
            table.add_row("  then", Text(shown(step.expected)))
    return table


def _call_of(step: Step) -> str:
    inputs = ", ".join(f"{shown(given.name)}={given.value!r}" for given in step.inputs)
    calls = f" [{shown(step.tool)}({inputs})]" if step.tool else ""
    return f"{shown(step.action)}{calls}"


def approve(
    id: Id,
    db: Database = None,
    reason: Reason = None,
    by: By = None,
    hours: Annotated[
        float | None, typer.Option(help="How long it lasts from now; else as it was left.", min=0)
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Though the gate has refused it; needs --reason.")
    ] = False,
) -> None:
    """Let the Runner run a plan that waits, once.

    Its team or workflow takes it where the same is asked again in the same session; the line that
    is printed brings it to a run on any input. Who approved it is kept with the gate's decisions.
    """
    with _failing():
        books = _books(db)
        waits = books.clearances.get(id)
        if not waits.passed and not override:
            raise ConfigurationError(
                f"clearance {id}: the gate has refused this plan ({waits.reason}); to let it run "
                "all the same, give --override and a --reason"
            )
        if override and not waits.passed and not (reason and reason.strip()):
            raise ConfigurationError(
                f"clearance {id}: give --reason: why this plan runs though the gate has refused it"
            )
        seconds = None if hours is None else hours * 3600
        grant = approving.approve(books, id, by=by or operator(), reason=reason, max_age=seconds)
    typer.echo(f"Clearance {grant.id} is granted until {grant.expires_at:%Y-%m-%d %H:%M} UTC.")
    name = shown(grant.swarm or "the team")
    typer.echo(f"To have it run, ask {name} the same again in the same session, or bring it along:")
    call = run_with(grant.id, session_id=grant.session_id, user_id=grant.user_id)
    typer.echo(f"  team_or_workflow.{call}")


def revoke(id: Id, db: Database = None, reason: Reason = None, by: By = None) -> None:
    """Take a clearance back, whatever has become of it; its Runner's next step is refused.

    Its plan then waits for a person each time that it is asked for in the same session, until one
    approves it. A clearance that was revoked before is told, with who did so and when.
    """
    with _failing():
        grant = approving.revoke(_books(db), id, by=by or operator(), reason=reason)
    typer.echo(f"Clearance {grant.id} is revoked.")


def export_(id: Id, db: Database = None) -> None:
    """Print a clearance that nobody has used as a signed token, for a machine without the database.

    It is signed with the private key in AGNO_PORTKEY_CLEARANCE_KEY; `gate key` makes one.
    """
    signing = os.environ.get(KEY_VARIABLE)
    if not signing:
        fail(f"{KEY_VARIABLE}: set it to the private key; `agno-portkey gate key` makes a pair")
    with _failing():
        typer.echo(export(_clearances(db).get(id), signing))


def verify_(
    token: Annotated[str, typer.Argument(help="The token, or - for standard input.")],
    swarm: Annotated[str | None, typer.Option(help="The team that is to run it.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="The team's fingerprint; else any is taken.")
    ] = None,
) -> None:
    """Verify a token offline and print what it clears; ends with 1, and why, if it is refused.

    The public keys are in AGNO_PORTKEY_CLEARANCE_PUBLIC_KEY, several with commas between them.
    Whether it was used before, only the database that is shared knows.
    """
    text = typer.get_text_stream("stdin").read() if token == "-" else token  # noqa: S105
    keys = [each for each in os.environ.get(PUBLIC_KEY, "").split(",") if each.strip()]
    if not keys:
        fail(f"{PUBLIC_KEY}: set it to the public key of who signs")
    with _failing():
        grant = verify(text.strip(), keys, _anybody(text, keys, swarm, fingerprint))
    typer.echo(json.dumps(_as_dict(grant), indent=2))


def key() -> None:
    """Make a pair of keys: the private one signs clearances, the public one verifies them."""
    with _failing():
        pair = new_key()
    typer.echo(f"{KEY_VARIABLE}={pair.private}")
    typer.echo(f"{PUBLIC_KEY}={pair.public}")


def _anybody(text: str, keys: list[str], swarm: str | None, fingerprint: str | None) -> Asking:
    """Whom a token is for, where that is not asked: read from it before it is verified."""
    import jwt

    try:
        told = jwt.decode(text.strip(), options={"verify_signature": False})
    except jwt.PyJWTError:
        told = {}
    texts = {name: value for name, value in told.items() if isinstance(value, str)}
    return Asking(
        runner_run_id="verify",
        plan_digest=None,
        fingerprint=fingerprint or texts.get("fingerprint", "none"),
        swarm=swarm or texts.get("aud"),
        tenant=texts.get("tenant"),
        environment=current() or texts.get("environment"),
        session_id=texts.get("session_id"),
        user_id=texts.get("user_id"),
    )


def _as_dict(grant: Grant) -> dict[str, object]:
    return {
        "id": grant.id,
        "gate": grant.gate,
        "swarm": grant.swarm,
        "state": grant.state,
        "passed": grant.passed,
        "reason": grant.reason,
        "plan": json.loads(canonical(grant.plan)),
        "plan_digest": grant.plan_digest,
        "fingerprint": grant.fingerprint,
        "issued_at": grant.issued_at.astimezone(UTC).isoformat(),
        "expires_at": grant.expires_at.astimezone(UTC).isoformat(),
        "approved_by": grant.approved_by,
    }


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (AgnoPortkeyError, SQLAlchemyError) as error:
        fail(error)


def _database(db: str | None) -> str:
    if not db:
        raise ConfigurationError(f"--db or {DATABASE_VARIABLE}: the team's database is needed")
    return db


def _clearances(db: str | None) -> Clearances:
    return _books(db).clearances


def _books(db: str | None) -> Books:
    if (file := missing_file(named := _database(db))) is not None:
        raise ConfigurationError(f"--db: there is no file {file}")
    return books_of(named)
