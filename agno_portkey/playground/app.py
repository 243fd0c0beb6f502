"""`app`: governed teams, agents and workflows in an AgentOS, with gates, switch and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agno.agent import Agent
from agno.agent.factory import AgentFactory
from agno.db.base import BaseDb
from agno.factory import BaseFactory
from agno.os import AgentOS
from agno.os.settings import AgnoAPISettings
from agno.team import Team
from agno.team.factory import TeamFactory
from agno.workflow.factory import WorkflowFactory
from agno.workflow.workflow import Workflow
from fastapi import FastAPI

from agno_portkey.errors import ConfigurationError
from agno_portkey.govern import govern, is_governed
from agno_portkey.playground.joining import Joined, database_at
from agno_portkey.playground.origins import OwnPages
from agno_portkey.playground.pages import Pages, me_router
from agno_portkey.security.access import protect
from agno_portkey.serving import audit_router, gate_router, keys_router, stop_router
from agno_portkey.serving.dashboard import dashboard_router
from agno_portkey.serving.desk import has_gate
from agno_portkey.verdict import Observer, check_observers

if TYPE_CHECKING:
    from agno.os.authz import Authorization

    from agno_portkey.gates import Gate
    from agno_portkey.policy import Policy

__all__ = ["app"]

Owner = Agent | Team | Workflow | BaseFactory[Any]
_OWNERS = (Agent, Team, Workflow, BaseFactory)
_KINDS = {
    "agents": (Agent, AgentFactory),
    "teams": (Team, TeamFactory),
    "workflows": (Workflow, WorkflowFactory),
}


def app(
    served: Any,
    *,
    policy: Policy | None = None,
    runner: Agent | str | None = None,
    gate: Gate | Sequence[Gate] | None = None,
    db: BaseDb | str | None = None,
    authorization: Authorization | None = None,
    observers: Sequence[Observer] = (),
    audit: Any = None,
    keys: Any = None,
    redis_url: str | None = None,
    telemetry: bool = True,
    base_app: FastAPI | None = None,
    **agent_os: Any,
) -> FastAPI:
    """An AgentOS that serves `served`, a team, agent or workflow or a list of them, with pages.

    What is not governed yet is governed, by `policy` (its budgets by a ledger in `db`), `runner`
    and `gate`; `observers` hear of it, and of what the routes do. `db` is an Agno database, an
    address or a SQLite file, by default that of the first who has one: sessions, gates, the kill
    switch and spans are kept there.

    `GET /portkey/chat` and `/portkey/` are the pages. Beside AgentOS' own routes there are those of
    gates and of the kill switch, of the audit log where `audit` names its file, or holds the
    options of `audit_router`, and of `keys`, a `KeyKeeper` or rotations. What observers hear of a
    run is in its stream, as an event `CustomEvent` whose `source` is `agno_portkey`.

    With an `authorization` AgentOS asks for a token, and for our scopes. Without one everybody who
    gets to the app may do everything: it is for one machine. Several processes share streams and
    cancellations at `redis_url`; all else they share is in `db`. `telemetry` makes spans of runs,
    which the dashboard shows, unless it is set up already. `agent_os` goes to `AgentOS`.

    Raises ConfigurationError for what can't be served or governed, and where there is no database.
    """
    several = _several(served)
    heard = check_observers(observers)
    database = _database(db, several)
    _govern(several, heard, database, policy=policy, runner=runner, gate=gate)
    base = FastAPI(title="agno-portkey") if base_app is None else base_app
    open_to_all = authorization is None and not _has_key(agent_os)
    doors: dict[str, Any] = {"observers": heard, "allow_unauthenticated": open_to_all}
    base.include_router(gate_router(_gates_of(several, database), **doors))
    base.include_router(stop_router(database, **doors))
    base.include_router(dashboard_router(database, observers=heard))
    base.include_router(me_router(authorization=not open_to_all))
    if audit is not None:
        given = audit if isinstance(audit, Mapping) else {"path": audit}
        base.include_router(audit_router(**{"observers": heard, **given}))
    if keys is not None:
        base.include_router(keys_router(keys, **doors))
    os = AgentOS(
        **{"name": "agno-portkey", "telemetry": False, **_further(agent_os)},
        **_by_kind(several),
        db=database,
        authorization=authorization or False,
        base_app=base,
    )
    joined = Joined(database, redis_url, telemetry)
    made = os.get_app()
    made.router.lifespan_context = joined.around(made.router.lifespan_context)
    if authorization is not None:
        protect(made, observers=heard)
    if open_to_all:
        made.add_middleware(OwnPages)
    made.add_middleware(Pages)
    made.state.agno_portkey_served = [str(each.name or each.id) for each in several]
    made.state.agno_portkey_database = _shown(database)
    return made


def _several(served: Any) -> list[Owner]:
    """The owners in `served`, each once."""
    given = [served] if isinstance(served, _OWNERS) else served
    if not isinstance(given, Iterable):
        given = ()
    several: list[Owner] = [*given]
    if not several or not all(isinstance(each, _OWNERS) for each in several):
        kinds = ", ".join(type(each).__name__ for each in several) or type(served).__name__
        raise ConfigurationError(
            f"playground: a Team, an Agent, a Workflow, a factory of them, or a list, not {kinds}"
        )
    return several


def _by_kind(several: Sequence[Owner]) -> dict[str, Any]:
    """The owners under the names by which AgentOS takes them."""
    return {kind: [each for each in several if isinstance(each, of)] for kind, of in _KINDS.items()}


def _further(agent_os: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of AgentOS, of which none is what is given otherwise."""
    if taken := sorted(agent_os.keys() & {*_KINDS, "event_stream"}):
        raise ConfigurationError(
            f"playground: {', '.join(taken)}: whoever is served is given first, in a list; streams "
            "are shared with redis_url="
        )
    return agent_os


def _govern(
    several: Sequence[Owner], observers: Sequence[Observer], database: BaseDb, **terms: Any
) -> None:
    """Govern what is not governed yet; what is can't be governed in a second way.

    The budgets of a policy are kept in the ledger of `database`.
    """
    fresh = [each for each in several if not is_governed(each)]
    said = [name for name, value in terms.items() if value is not None]
    if said and not fresh:
        raise ConfigurationError(
            f"playground: {' and '.join(said)}: all of it is governed already; say it there"
        )
    if terms["runner"] is not None and len(fresh) > 1:
        raise ConfigurationError("playground: a runner is of one team: govern the others before")
    if terms["policy"] is not None and terms["policy"].budgets:
        # It takes a while to import.
        from agno_portkey.telemetry.ledger import Ledger

        terms["ledger"] = Ledger(database)
    for each in fresh:
        governs: Any = govern
        governs(each, observers=observers, **terms)


def _database(db: BaseDb | str | None, several: Sequence[Owner]) -> BaseDb:
    """The Agno database that is given or named, else the first that somebody has."""
    if isinstance(db, str):
        return database_at(db)
    own = [getattr(each, "db", None) for each in several]
    found = next((each for each in (db, *own) if each is not None), None)
    if not isinstance(found, BaseDb):
        raise ConfigurationError(
            "playground: sessions, gates and spans are kept in a database: give db=, an Agno "
            "database that blocks, an address, or a SQLite file"
        )
    return found


def _shown(database: BaseDb) -> str:
    """Where a database is, without a password."""
    url = getattr(getattr(database, "db_engine", None), "url", None)
    return type(database).__name__ if url is None else url.render_as_string(hide_password=True)


def _has_key(agent_os: Mapping[str, Any]) -> bool:
    """Whether AgentOS asks for a key of its own, which its settings or the environment name."""
    settings = agent_os.get("settings") or AgnoAPISettings()
    return bool(settings.os_security_key or agent_os.get("authorization_config"))


def _gates_of(several: Sequence[Owner], database: BaseDb) -> Any:
    """Whose gates are served: of one team its own, wherever it keeps them; of several, all."""
    gated = [each for each in several if has_gate(each)]
    return gated[0] if len(gated) == 1 and len(several) == 1 else database
