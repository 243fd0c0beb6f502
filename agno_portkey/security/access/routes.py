"""What each route of ours takes, in the form of AgentOS' own map."""

from __future__ import annotations

from agno_portkey.security.access.scopes import (
    APPROVE,
    AUDIT,
    DASHBOARD,
    KEYS,
    READ,
    ROTATE,
    STOP,
)

__all__ = ["ROUTE_SCOPES"]

ROUTE_SCOPES: dict[str, list[str]] = {
    "GET /gates": [READ],
    "GET /gates/history": [READ],
    "GET /gates/*": [READ],
    "POST /gates/*/approve": [APPROVE],
    "POST /gates/*/revoke": [APPROVE],
    "GET /swarm/stops": [DASHBOARD],
    "POST /swarm/stop": [STOP],
    "POST /swarm/resume": [STOP],
    "GET /audit": [AUDIT],
    "GET /audit/verify": [AUDIT],
    "GET /keys": [KEYS],
    "POST /keys/*/rotate": [ROTATE],
    "POST /keys/*/revoke": [ROTATE],
    # Whoever is known may ask what they may do.
    "GET /portkey/api/me": [],
    "GET /portkey/api/filters": [DASHBOARD],
    "GET /portkey/api/panels/*": [DASHBOARD],
    "GET /portkey/api/runs": [DASHBOARD],
    "GET /portkey/api/runs/*": [DASHBOARD],
}
"""The scopes that a token needs for each route; `*` stands for what a path names.

The routes ask for them themselves as well. Approving what a gate has refused also takes
`gates:override`.
"""
