"""The scopes of ours, and roles: bundles of them that a person or service is given together."""

from __future__ import annotations

from collections.abc import Mapping

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.approving import APPROVE, OVERRIDE, READ

__all__ = [
    "ADMIN",
    "APPROVE",
    "AUDIT",
    "DASHBOARD",
    "KEYS",
    "OVERRIDE",
    "READ",
    "ROLES",
    "ROTATE",
    "SCOPES",
    "STOP",
    "TRACES",
    "scopes_of",
]

KEYS, ROTATE = "keys:read", "keys:rotate"
AUDIT, DASHBOARD, STOP = "audit:read", "dashboard:read", "swarm:stop"
# AgentOS' own, which holds all others; and the one for its traces.
ADMIN, TRACES = "agent_os:admin", "traces:read"

SCOPES: Mapping[str, str] = {
    READ: "see plans that wait, decisions of gates and thresholds",
    APPROVE: "decide on plans that a gate has passed; set thresholds",
    OVERRIDE: "let a plan run that a gate has refused; takes gates:approve as well",
    KEYS: "see keys by their names, and when they are due; never their values",
    ROTATE: "replace and revoke keys",
    AUDIT: "read the audit log, and have it verified",
    DASHBOARD: "see what is stopped, spent and cached",
    STOP: "stop swarms, and let them go on",
}
"""What each scope of ours is for."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "viewer": (READ, DASHBOARD),
    "operator": (READ, DASHBOARD, STOP),
    "approver": (READ, DASHBOARD, APPROVE),
    "overrider": (READ, DASHBOARD, APPROVE, OVERRIDE),
    "auditor": (READ, DASHBOARD, KEYS, AUDIT, TRACES),
    "key_admin": (DASHBOARD, KEYS, ROTATE),
    "admin": (ADMIN,),
}
"""The roles, each with its scopes; those of AgentOS for agents and sessions are given beside."""


def scopes_of(*roles: str) -> list[str]:
    """The scopes of `roles` together, as a token has them; ConfigurationError for another name."""
    for role in roles:
        if role not in ROLES:
            raise ConfigurationError(f"role: one of {', '.join(ROLES)}, not {role!r}")
    return list(dict.fromkeys(scope for role in roles for scope in ROLES[role]))
