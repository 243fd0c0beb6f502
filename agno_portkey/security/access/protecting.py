"""`protect`: our scopes in the map of an AgentOS, whose authorization asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.security.access.refusals import Refusals
from agno_portkey.security.access.routes import ROUTE_SCOPES
from agno_portkey.security.access.scopes import ROLES
from agno_portkey.verdict import Observer, check_observers

if TYPE_CHECKING:
    from agno.os.authz import Authorization
    from fastapi import FastAPI

__all__ = ["define_roles", "protect"]

_OURS = "agno_portkey."


def define_roles(authorization: Authorization) -> Authorization:
    """Define our roles in AgentOS' own store of roles, where it has none of those names yet.

    Who has which is then for AgentOS to say: `assign`, its `/authz` routes, or `roles_claim`. Call
    it before `AgentOS(authorization=...)`.
    """
    for name, scopes in ROLES.items():
        authorization.define_role(name, [*scopes])
    return authorization


def protect(app: FastAPI, *, observers: Sequence[Observer] = ()) -> FastAPI:
    """Have the AgentOS that made `app` ask for our scopes; returns `app`.

    `app` is what `AgentOS.get_app()` gives, with all its routers, before it serves. `observers`
    hear of each request that is refused with 401 or 403, as an event `access`, before its caller
    does.

    Raises ConfigurationError for an app that has no authorization, or one that verifies nothing,
    and for a route of ours that no scope stands for, or that is excluded from the authorization.
    """
    mappings = getattr(app.state, "scope_mappings", None)
    if not isinstance(mappings, dict):
        raise ConfigurationError("protect: give it the app of an AgentOS: protect(os.get_app())")
    excluded = _excluded(app)
    ours: dict[str, list[str]] = {}
    for method, path, name in _routes(app):
        scopes = _scopes_for(f"{method} {path}")
        if scopes is None:
            raise ConfigurationError(
                f"protect: {method} {path} ({name}) is a route of agno-portkey that no scope "
                "stands for, so that anybody with a token could call it: add it to ROUTE_SCOPES"
            )
        if any(fnmatch(path, pattern) for pattern in excluded):
            raise ConfigurationError(
                f"protect: {method} {path} is excluded from the authorization: take it out of "
                "excluded_route_paths"
            )
        ours[f"{method} {path}"] = scopes
    # First: of two patterns that fit a path, AgentOS takes the one that comes first.
    others = {key: held for key, held in mappings.items() if key not in ours}
    mappings.clear()
    mappings.update({**ours, **others})
    app.add_middleware(Refusals, scopes=ours, observers=check_observers(observers))
    return app


def _excluded(app: Any) -> list[str]:
    """The paths that the app's authorization leaves out; refuses an app without one."""
    from agno.os.middleware.jwt import AuthMiddleware

    held = [
        each
        for each in app.user_middleware
        if isinstance(each.cls, type) and issubclass(each.cls, AuthMiddleware)
    ]
    if not held:
        raise ConfigurationError(
            "protect: this AgentOS asks nobody who they are: give it an authorization, such as "
            "AgentOS(authorization=Authorization(verification_keys=[...], audience=...))"
        )
    for each in held:
        if each.cls is AuthMiddleware:
            raise ConfigurationError(
                "protect: a JWTMiddleware of your own has a map of its own: give AgentOS the "
                "authorization in its place"
            )
        if each.kwargs.get("validate") is False:
            raise ConfigurationError("protect: validate=False lets everybody say who they are")
    return [path for each in held for path in each.kwargs.get("excluded_route_paths") or ()]


def _scopes_for(key: str) -> list[str] | None:
    """The scopes of a route, whatever it is put under."""
    method, _, path = key.partition(" ")
    for pattern, scopes in ROUTE_SCOPES.items():
        asked, _, known = pattern.partition(" ")
        if method == asked and (path == known or path.endswith(known)):
            return scopes
    return None


def _routes(app: Any) -> Iterator[tuple[str, str, str]]:
    """Method, path (with `*` for what it names) and name of each route of ours."""
    for path, route in _walked(app.routes, ""):
        endpoint = getattr(route, "endpoint", None)
        if str(getattr(endpoint, "__module__", "")).startswith(_OURS):
            named = "/".join("*" if part[:1] == "{" else part for part in path.split("/"))
            name = getattr(endpoint, "__name__", "")
            for method in sorted(getattr(route, "methods", None) or {"WEBSOCKET"}):
                yield method, named, name


def _walked(routes: Sequence[Any], above: str) -> Iterator[tuple[str, Any]]:
    """Every route with its whole path, in included routers and mounted apps too."""
    from fastapi import routing

    # What was included is one route since FastAPI 0.137.
    flat: Any = getattr(routing, "iter_route_contexts", iter)
    for route in flat(routes):
        path = f"{above}{getattr(route, 'path', None) or ''}"
        inner = getattr(getattr(route, "app", None), "routes", None)
        inner = inner if inner is not None else getattr(route, "routes", None)
        if inner is not None and getattr(route, "endpoint", None) is None:
            yield from _walked(inner, path)
        else:
            yield path, route
