"""Which role gets to which route and command, as measured: each asked with a token of each role.

Behind the roles stand tokens that nobody is to get in with; `ok` if none did. Exits with 1 if one
got in, or if a route or command of ours stands in no map.

    python benchmarks/security/matrix.py
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from pathlib import Path

os.environ["AGNO_TELEMETRY"] = "false"
_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "access")]

import typer
from fastapi.routing import iter_route_contexts
from rich.console import Console
from rich.table import Table
from served_access import Served, bad_tokens, pair, token

from agno_portkey.cli import app
from agno_portkey.security.access import COMMAND_SCOPES, ROLES, scopes_of
from agno_portkey.security.access.tokens import holder_of


def main() -> int:
    """Print both matrices; 0 if nobody got in who was not to."""
    logging.disable(logging.CRITICAL)
    wrong = _routes() + _commands()
    for each in wrong:
        print(f"not as it has to be: {each}")
    return 1 if wrong else 0


def _routes() -> list[str]:
    table, wrong = _table("route"), []
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder), recorded=False)
        tokens = {role: token(scopes_of(role)) for role in ROLES}
        bad = bad_tokens(scopes_of("admin"))
        for route in iter_route_contexts(served.app.routes):
            if not str(getattr(route.endpoint, "__module__", "")).startswith("agno_portkey."):
                continue
            path = re.sub(r"\{[^}]*\}", "x", str(route.path))
            for method in sorted(route.methods or ()):
                asked = [(method, path, each) for each in (*tokens.values(), *bad.values())]
                codes = [answer.status_code for answer in served.ask_all(asked)]
                got_in = [
                    what
                    for what, code in zip(bad, codes[len(tokens) :], strict=True)
                    if code != 401
                ]
                wrong += [f"{method} {path} let in: {what}" for what in got_in]
                cells = ["yes" if code not in (401, 403) else "" for code in codes[: len(tokens)]]
                table.add_row(f"{method} {route.path}", *cells, "ok" if not got_in else "NO")
    Console(width=120).print(table)
    return wrong


def _commands() -> list[str]:
    table, wrong = _table("command"), []
    key = pair()[1]
    holders = {role: holder_of(token(scopes_of(role), aud="agno-portkey"), key) for role in ROLES}
    got_in = [
        what
        for what, each in bad_tokens(["agent_os:admin"], "agno-portkey").items()
        if _holds(each, key)
    ]
    wrong += [f"a command let in: {what}" for what in got_in]
    for path in _leaves(typer.main.get_group(app)):
        scopes = COMMAND_SCOPES.get(path)
        if scopes is None:
            wrong.append(f"no scope stands for agno-portkey {path}")
            continue
        cells = [
            "free" if not scopes else "" if each.lacks(scopes) else "yes"
            for each in holders.values()
        ]
        table.add_row(path, *cells, "" if not scopes else "ok" if not got_in else "NO")
    Console(width=120).print(table)
    return wrong


def _holds(bearer: str | None, key: str) -> bool:
    try:
        holder_of(bearer, key)
    except ValueError:
        return False
    return True


def _leaves(group: object, above: str = "") -> list[str]:
    found = []
    for name, each in dict(getattr(group, "commands", {})).items():
        path = f"{above} {name}".strip()
        found += _leaves(each, path) if getattr(each, "commands", None) else [path]
    return found


def _table(what: str) -> Table:
    return Table(what, *ROLES, "bad tokens kept out", title=f"Role x {what}", title_justify="left")


if __name__ == "__main__":
    sys.exit(main())
