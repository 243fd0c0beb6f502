"""Every route, asked with every role and every kind of token: each cell as it is written here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from served_access import SECURITY_KEY, Served, bad_tokens, detail, token

from agno_portkey.security.access import ROLES, ROUTE_SCOPES, SCOPES, scopes_of

# v viewer, o operator, p approver, r overrider, u auditor, k key_admin, a admin: who gets in. And
# what those are answered.
LETTERS = dict(zip("vopruka", ROLES, strict=True))
MATRIX = {
    "GET /gates": ("vopru a", 200),
    "GET /gates/history": ("vopru a", 200),
    "GET /gates/{id}": ("vopru a", 404),
    "POST /gates/{id}/approve": ("  pr  a", 404),
    "POST /gates/{id}/revoke": ("  pr  a", 404),
    "GET /swarm/stops": ("vopruka", 200),
    "POST /swarm/stop": (" o    a", 422),
    "POST /swarm/resume": (" o    a", 422),
    "GET /audit": ("    u a", 200),
    "GET /audit/verify": ("    u a", 200),
    "GET /keys": ("    uka", 200),
    "POST /keys/{name}/rotate": ("     ka", 422),
    "POST /keys/{name}/revoke": ("     ka", 422),
}
# What AgentOS answers to anybody, and what its map does not name: whoever has a token gets there.
# Those of the playground are in its app, and its tests.
HERE = {key: scopes for key, scopes in ROUTE_SCOPES.items() if "/portkey/" not in key}
PUBLIC = {"/", "/health", "/info", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
UNMAPPED = {"/queue", "/queue/{path:path}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("served"), recorded=False)


def routes(served: Served) -> Iterator[tuple[str, str, bool]]:
    """Method, path and whether it is ours, of each route there is."""
    for route in iter_route_contexts(served.app.routes):
        ours = str(getattr(route.endpoint, "__module__", "")).startswith("agno_portkey.")
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, str(route.path), ours


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "x", path)


def test_the_matrix_has_every_route_of_ours(served: Served) -> None:
    ours = {f"{method} {path}" for method, path, ours in routes(served) if ours}
    assert ours == MATRIX.keys()
    assert len(ours) == len(HERE)


def test_each_role_gets_where_it_is_written(served: Served) -> None:
    asked = [(key, letter) for key in MATRIX for letter in LETTERS]
    answers = served.ask_all(
        (*filled(key).split(" "), token(scopes_of(LETTERS[letter])))  # type: ignore[misc]
        for key, letter in asked
    )
    found = {pair: answer.status_code for pair, answer in zip(asked, answers, strict=True)}
    wanted = {
        (key, letter): MATRIX[key][1] if letter in MATRIX[key][0] else 403 for key, letter in asked
    }
    assert found == wanted


def test_each_scope_opens_what_it_is_for_and_no_more(served: Served) -> None:
    asked = [(key, scope) for key in MATRIX for scope in (*SCOPES, "agents:run", "keys", "*:*")]
    answers = served.ask_all(
        (*filled(key).split(" "), token([scope]))  # type: ignore[misc]
        for key, scope in asked
    )
    opened: dict[str, set[str]] = {}
    for (key, scope), answer in zip(asked, answers, strict=True):
        if answer.status_code != 403:
            opened.setdefault(scope, set()).add(key)
    assert opened == {
        "gates:read": {"GET /gates", "GET /gates/history", "GET /gates/{id}"},
        "gates:approve": {"POST /gates/{id}/approve", "POST /gates/{id}/revoke"},
        "swarm:stop": {"POST /swarm/stop", "POST /swarm/resume"},
        "dashboard:read": {"GET /swarm/stops"},
        "audit:read": {"GET /audit", "GET /audit/verify"},
        "keys:read": {"GET /keys"},
        "keys:rotate": {"POST /keys/{name}/rotate", "POST /keys/{name}/revoke"},
    }


def test_no_bad_token_gets_anywhere(served: Served) -> None:
    bad = bad_tokens(scopes_of("admin"))
    paths = [(method, path) for method, path, _ in routes(served) if path not in PUBLIC]
    assert len(paths) > 100
    asked = [(method, path, name) for method, path in paths for name in bad]
    # The routes of others are asked by AgentOS itself: one kind of token shows that it does.
    few = {"forged"}
    ours = {key.split(" ")[1] for key in MATRIX}
    asked = [each for each in asked if each[1] in ours or each[2] in few]
    answers = served.ask_all((method, filled(path), bad[name]) for method, path, name in asked)
    wrong = [
        (each, answer.status_code)
        for each, answer in zip(asked, answers, strict=True)
        if answer.status_code != 401
    ]
    assert wrong == []


def test_a_token_that_names_nobody_gets_to_no_route_of_ours(served: Served) -> None:
    for sub in (None, "", "  "):
        asked = [(*filled(key).split(" "), token(scopes_of("admin"), sub=sub)) for key in MATRIX]
        answers = served.ask_all(asked)  # type: ignore[arg-type]
        assert {answer.status_code for answer in answers} == {403}
        assert {detail(answer)["error"] for answer in answers} == {"no_subject"}


def test_our_roles_open_nothing_else_of_agent_os(served: Served) -> None:
    theirs = [
        (method, path)
        for method, path, ours in routes(served)
        if not ours and path not in PUBLIC | UNMAPPED
    ]
    # All that our roles give together, but for admin.
    bearer = token(scopes_of(*(role for role in ROLES if role != "admin")))
    answers = served.ask_all((method, filled(path), bearer) for method, path in theirs)
    opened = {
        path for (_, path), answer in zip(theirs, answers, strict=True) if answer.status_code != 403
    }
    # With an auditor's traces:read.
    assert opened == {
        "/traces",
        "/traces/filter-schema",
        "/traces/search",
        "/traces/{trace_id}",
        "/trace_session_stats",
    }


def test_a_service_account_has_its_own_scopes(served: Served) -> None:
    made = served.as_role(
        "admin",
        "POST",
        "/service-accounts",
        json={"name": "ci", "scopes": [{"scope": "swarm:stop"}]},
    )
    assert made.status_code in (200, 201), made.text
    bearer = made.json()["token"]
    answers = served.ask_all([(*filled(key).split(" "), bearer) for key in MATRIX])  # type: ignore[misc]
    opened = {key for key, answer in zip(MATRIX, answers, strict=True) if answer.status_code != 403}
    assert opened == {"POST /swarm/stop", "POST /swarm/resume"}
    body = {"swarm": "Release", "reason": "wrong prices"}
    assert served.ask("POST", "/swarm/stop", bearer, json=body).json()["stop"]["by"] == "sa:ci"
    served.switch.resume("Release")


def test_the_security_key_opens_all_of_ours_and_nothing_else_does(tmp_path: Path) -> None:
    served = Served(tmp_path, key=True, recorded=False)
    bad = {**bad_tokens(scopes_of("admin")), "good elsewhere": token(scopes_of("admin"))}
    del bad["security key"]
    for key, (_, status) in MATRIX.items():
        method, path = filled(key).split(" ")
        assert served.ask(method, path, SECURITY_KEY).status_code == status, key
    asked = [(*filled(key).split(" "), each) for key in MATRIX for each in bad.values()]
    assert {answer.status_code for answer in served.ask_all(asked)} == {401}  # type: ignore[arg-type]


def test_what_each_route_is_asked_for_is_in_the_map_of_agent_os(served: Served) -> None:
    held: dict[str, Any] = served.app.state.scope_mappings
    assert json.dumps({key: held[key] for key in HERE}) == json.dumps(HERE)
